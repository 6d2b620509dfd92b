# Targets for people and CI. `make help` lists them: a target's help is the comment after its `##`.
PYTHON ?= .venv/bin/python
PORT ?= 9092

.DEFAULT_GOAL := help
.PHONY: help kafka kafka-stop

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

kafka: ## start a real Apache Kafka on 127.0.0.1:9092 (PORT=…) without Docker; needs Java 17 and Maven
	@$(PYTHON) deploy/kafka/kafka.py start --port $(PORT)

kafka-stop: ## stop it; its data stays
	@$(PYTHON) deploy/kafka/kafka.py stop

# Targets for people and CI. `make help` lists them: a target's help is the comment after its `##`.
PYTHON ?= .venv/bin/python
PYTHON3 ?= python3
PORT ?= 9092
PYTEST_ARGS ?=
WORKERS ?= 2
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help image deploy-test dist lock sbom demo install check test browser screenshots sim soak mutants kills chaos flood verify kafka kafka-stop bench bench-short bench-profile fuzz schemathesis docs docs-serve

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

demo: ## watch real orders go through real processes, and what happens when things break (half a minute)
	@$(PYTHON3) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@test -x .venv/bin/python || { echo "making .venv …"; $(PYTHON3) -m venv .venv; }
	@.venv/bin/python -c 'import confluent_kafka, kafka_saga.orchestrator.cli.commands' 2>/dev/null || \
	  { echo "installing kafka-saga[demo] …"; .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[demo]'; }
	@.venv/bin/saga demo

install: $(INSTALLED) ## create .venv and install everything that development needs (Python 3.11 or newer)

$(INSTALLED): pyproject.toml
	@$(PYTHON3) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@test -x .venv/bin/python || $(PYTHON3) -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

check: lint types imports generated docs ## lint, format, types, import rules, generated files that are out of date, the documentation

lint: $(INSTALLED)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: $(INSTALLED)
	.venv/bin/mypy

imports: $(INSTALLED)
	.venv/bin/lint-imports --no-logo

generated: $(INSTALLED)
	@if test -f orchestrator/contract.py; then set -x; .venv/bin/python -m kafka_saga.orchestrator.contract --check; fi

docs: $(INSTALLED) ## build the documentation site into build/site, strictly: no link leads to nothing
	@.venv/bin/python -m manual build

docs-serve: $(INSTALLED) ## show the documentation on http://127.0.0.1:8000 while you write it (ADDRESS=127.0.0.1:8001)
	@.venv/bin/python -m manual serve $(if $(ADDRESS),--address $(ADDRESS))

# Tests mostly wait. A file stays with one worker; each worker has a broker and a database server of its own.
test: $(INSTALLED) ## every test; says which Kafka it had, what it skipped and why (PYTEST_ARGS='-k seed' for less; WORKERS=0: one by one)
	.venv/bin/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

browser: $(INSTALLED) ## the dashboard in a real Chromium; STORE=postgresql: with its sagas in a database of a server
	@SAGA_TEST_BROWSER=required $(if $(STORE),SAGA_TEST_BROWSER_STORE=$(STORE) SAGA_TEST_POSTGRES=$(or $(SAGA_TEST_POSTGRES),required)) \
	  .venv/bin/python -m pytest tests/browser $(PYTEST_ARGS)

screenshots: $(INSTALLED) ## take the documentation's pictures anew, of sagas that really run, into docs/images (a minute; needs Chromium)
	@mkdir -p docs/images
	@SAGA_SCREENSHOTS=docs/images SAGA_TEST_BROWSER=required .venv/bin/python -m pytest tests/browser/test_saga_page.py -k 'live or parked'

sim: $(INSTALLED) ## simulate the system under faults: SEEDS=1000 seeds, or SEED=7 to repeat one; REPLICAS=1: replicas on one store
	@PYTHONHASHSEED=0 .venv/bin/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),100) --first $(or $(FIRST),1)) $(if $(REPLICAS),--replicas)

soak: $(INSTALLED) ## fresh seeds for HOURS=1; ends with the seeds that found something; REPLICAS=1: replicas on one store
	@PYTHONHASHSEED=0 .venv/bin/python -m tests.simulation --hours $(or $(HOURS),1) $(if $(REPLICAS),--replicas)

mutants: $(INSTALLED) ## break the code in 69 ways; the simulator must notice each (a few minutes)
	@.venv/bin/python -m tests.simulation.mutants

kills: $(INSTALLED) ## kill -9 real processes on a real Kafka at every failpoint: ROUNDS=10 times (two minutes each), SEED=7 for the same hits
	@.venv/bin/python -m tests.crash --rounds $(or $(ROUNDS),1) $(if $(SEED),--seed $(SEED))

chaos: $(INSTALLED) ## break a cluster of 3 orchestrators and 6 workers at random for MINUTES=10 (root, Kafka and PostgreSQL; SEED=7 for the same faults)
	@.venv/bin/python -m tests.chaos --minutes $(or $(MINUTES),10) $(if $(ORDERS),--orders $(ORDERS)) $(if $(RATE),--rate $(RATE)) $(if $(SEED),--seed $(SEED))

fuzz: $(INSTALLED) ## hostile bytes into everything that reads messages, SECONDS=60; with atheris where it is installed
	@.venv/bin/python -m tests.fuzz --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED))

schemathesis: $(INSTALLED) ## made-up requests for every operation of the HTTP API: EXAMPLES=50 each that its schema allows, and 50 that it does not
	@SAGA_TEST_EXAMPLES=$(or $(EXAMPLES),50) .venv/bin/python -m pytest -q tests/http/test_schema.py

flood: $(INSTALLED) ## ORDERS=20000 orders at once through real processes, and again while the broker is stopped and killed
	@SAGA_TEST_BROKER=real SAGA_TEST_FLOOD=$(or $(ORDERS),20000) SAGA_TEST_ORDERS=$(or $(ORDERS),20000) .venv/bin/python -m pytest \
	  tests/integration/test_load_and_crashes.py tests/crash/test_broker.py -k flood

verify: ## what CI does: check, then test against a real Kafka (SAGA_TEST_BROKER=real)
	@bash .ci/run

image: ## build the container image kafka-saga (Docker; BASE=…: on another Python image)
	@docker build --file deploy/Dockerfile --tag kafka-saga $(if $(BASE),--build-arg BASE=$(BASE)) \
	  --build-arg VERSION=$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml) --build-arg REVISION=$$(git rev-parse HEAD) .

.PHONY: compose compose-down
compose: ## the whole system in containers on this machine (Docker): Kafka, PostgreSQL, 2 orchestrators, 6 workers, dashboard
	@docker image inspect kafka-saga >/dev/null 2>&1 || $(MAKE) --no-print-directory image
	@deploy/compose/secrets.sh && cd deploy/compose && docker compose $(if $(MONITORING),--profile monitoring) up --detach

compose-down: ## stop it; VOLUMES=1: and forget its data
	@cd deploy/compose && docker compose --profile monitoring down $(if $(VOLUMES),--volumes)

deploy-test: $(INSTALLED) ## build and run what deploy/ ships, on an engine of its own and without a registry (root on Debian); prints its times
	@.venv/bin/python -m deploy.test $(if $(ONLY),--only $(ONLY))

kafka: ## start a real Apache Kafka on 127.0.0.1:9092 (PORT=…) without Docker; needs Java 17 and Maven
	@$(PYTHON) deploy/kafka/kafka.py start --port $(PORT)

kafka-stop: ## stop it; its data stays
	@$(PYTHON) deploy/kafka/kafka.py stop

dist: $(INSTALLED) ## build sdist and wheel into dist/
	@rm -rf dist
	@.venv/bin/python -m build --outdir dist .

sbom: dist ## list what the image installs, with licences, as CycloneDX: dist/kafka-saga.cdx.json
	@.venv/bin/python -m venv --without-pip dist/.installed
	@.venv/bin/uv pip install --quiet --python dist/.installed/bin/python --require-hashes --requirements deploy/requirements.lock
	@.venv/bin/uv pip install --quiet --python dist/.installed/bin/python --no-deps dist/*.whl
	@.venv/bin/python deploy/sbom.py dist/.installed/bin/python dist/kafka-saga.cdx.json
	@rm -rf dist/.installed

# What the image installs, to the byte: versions that fit each other on every Python and platform of ours, with hashes.
LOCKED := --extra dashboard --extra otel --extra postgres --extra sqlalchemy

lock: $(INSTALLED) ## pin what the image installs, with hashes, in deploy/requirements.lock; UPGRADE=1: the newest that fit
	@.venv/bin/uv pip compile pyproject.toml $(LOCKED) --universal --python-version 3.11 --generate-hashes --no-annotate \
	  --no-emit-index-url --custom-compile-command 'make lock' --quiet $(if $(UPGRADE),--upgrade) --output-file deploy/requirements.lock

.venv/.bench: $(INSTALLED)
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,bench]'
	@touch $@

bench: .venv/.bench ## measure everything (an hour or two); SECTIONS=latency,limit: some of it; RESUME=1: go on after a stop
	@.venv/bin/python -m bench $(if $(SECTIONS),--sections $(SECTIONS)) $(if $(RESUME),--resume)

bench-short: .venv/.bench ## measure throughput, the limit of this machine, and latency (about a minute)
	@.venv/bin/python -m bench --short $(if $(SECTIONS),--sections $(SECTIONS)) $(if $(RESUME),--resume)

bench-profile: .venv/.bench ## where a process's time goes per saga, in µs: PROCESS=inventory, ORDERS=20000
	@.venv/bin/python -m bench.profile $(if $(PROCESS),--process $(PROCESS)) $(if $(ORDERS),--orders $(ORDERS))

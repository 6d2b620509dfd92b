"""`python -m kafka_saga.orchestrator.cli` is the `saga` command."""

from kafka_saga.orchestrator.cli import main

main()

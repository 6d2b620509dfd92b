"""`python -m orchestrator.cli` is the `saga` command."""

from orchestrator.cli import main

main()

"""The HTTP API, version 1: what the command line can do, for programs."""

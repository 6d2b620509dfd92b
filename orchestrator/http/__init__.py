"""The orchestrator over HTTP: the API under /api/v1, what the dashboard stands on. Needs `kafka-saga[dashboard]`."""

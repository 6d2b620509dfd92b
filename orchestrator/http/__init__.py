"""The orchestrator over HTTP: the API under /api/v1, and what the dashboard stands on. Needs `kafka-saga[cli]`."""

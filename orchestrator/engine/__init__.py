"""A message's path, one file a stage: `worker` → `intake` → `decide` → `commit` → `publish`.

Beside it: `timers` (when a timeout may fire), `admission` (how many sagas run at once), `recovery` (the start).
Every batch is one transaction and, as soon as the broker takes it, one publish.
"""

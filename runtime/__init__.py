"""What every process of ours stands on: errors, limits, the clock, logs, SQLite, and how a process starts and stops.

The lowest room. It knows nothing of sagas, messages or Kafka.
"""

"""Measures the whole system in processes of their own, on a real Kafka. Not part of the distribution.

`python -m bench --help` says what is measured; docs/performance.md says what came out.
"""

"""What is remembered. The database is the only authority: state, log, outbox and offsets change in one transaction.

`port` says what a store can do; `sqlite` and `memory` do it, and both pass tests/contracts/.
"""

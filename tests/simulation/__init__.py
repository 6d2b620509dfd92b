"""The whole system under one seed: production engine, machine, guard, services and SQL; virtual time; a broker in
memory that loses acknowledgements, duplicates and delays; processes that die at named failpoints.

`python -m tests.simulation --seed 7` repeats a run exactly. First a phase with faults (safety), then a healed phase
that must end within a budget of virtual time (liveness). `checkers` read databases and topics, never the engine.
"""

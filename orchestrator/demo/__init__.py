"""`saga demo`: real orders through real processes, and what happens when things break.

Read `scenes` first: what is shown, and which faults are asked for. Nothing else is arranged: the figures at the end
are counted in the orchestrator's and the participants' own databases.
"""

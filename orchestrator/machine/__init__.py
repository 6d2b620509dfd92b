"""The state machine: pure. No I/O, no clock, no await; time comes in as `now`, decisions go out as values.

`transitions` owns the table (state, event) → rule and the one entrance, `advance()`. `forward`, `compensation`
and `acts` hold the rules. Imports here: the standard library, the definition, and the contract's words.
"""

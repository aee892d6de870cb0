"""The words: frozen values, policy, Snapshot, Decision, and the ports (Protocols).

Imports nothing of ours and does no I/O. Every other folder speaks in these types; where a word here
and a word in the documentation differ, one of the two is a bug.
"""

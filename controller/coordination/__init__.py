"""Stores the daemons agree in, behind `model.ports.Coordination`, and what they tell each other without one.

- `local` is a directory with a lock, for one controller; `zookeeper/` the store of several.
- `making` is the first state of either; `files` writes what survives a crash.
- `contact` is what a daemon knows by what was acknowledged: how long it may act, how old each report is.
- `peers` are the connections from daemon to daemon, by `identity`: they see at once that a process has ended.
"""

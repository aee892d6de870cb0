"""Stores the daemons agree in, behind `model.ports.Coordination`, and what they tell each other without one.

- `local` is a directory with a lock, for one controller; `zookeeper/` the store of several.
- `first_state` is the first state of either; `files` writes what survives a crash.
- `contact` is what a daemon knows by what was acknowledged: how long it may act, how old each report is.
- `peers` are the connections that a daemon holds to the others: they see at once that a process has ended.
  `answering` is the other side of them, `tls` who everybody is, to ZooKeeper as well.
"""

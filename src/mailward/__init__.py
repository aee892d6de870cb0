"""mailward: a failover controller for mail clusters.

The package's folders stand at the root of the repository; the symlinks beside this file give them
their import names (`controller/` is `mailward.controller`).
"""

__version__ = "0.1.0"

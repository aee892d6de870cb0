"""The name server inside the daemon: authoritative for one small delegated zone."""

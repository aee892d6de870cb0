"""`mailward demo`: the main job on embedded parts, in processes of its own, without root or Docker.

The mail nodes are small but speak SMTP and IMAP over TCP and TLS; the daemon, its store, its probes and
its name server are the real ones.
"""

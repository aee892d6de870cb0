"""Lag sources. `dovecot23.Dovecot23Source` reads Dovecot 2.3's replicator."""

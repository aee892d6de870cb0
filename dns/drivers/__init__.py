"""DNS targets: each driver implements `model.ports.DnsTarget` for one kind of name server."""

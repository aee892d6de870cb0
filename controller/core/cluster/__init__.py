"""What only a cluster has, where one node serves and others stand by: all of it pure, as the core is.

- What is known: `leases` (when what is open is closed by itself), `ladder` (by what a node is stopped, and
  which rung is next), `candidates` (who may take over, and what mail they would lack).
- What may begin: `takeover` (the gates), `failback` (the way back to who is preferred).
- What is done: `succession`, step by step.
"""

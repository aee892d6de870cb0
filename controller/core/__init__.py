"""The pure core: `decide(Snapshot) -> Decision`, and the tables and rules it stands on.

Read in this order: `sight` (what the observers' reports add up to), `conditions`, `diagnosis` (which
row matches), `cases` (what is asked about, and what all cases share), `gates` (what may hold one back),
`phases` (what a phase does), `operations` (the steps), `decide`. `invariants` states what must hold
whatever all of these say. No await, clock, log, random or I/O here or below.
"""

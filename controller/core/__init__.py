"""The pure core: `decide(Snapshot) -> Decision`, and the tables and rules it stands on.

Read in this order; `decide` calls them so.

- What is seen: `sight` (what the reports add up to), `conditions`, `diagnosis` (the row that matches).
- What has become of what was sent: `outcomes`; `admission` of nodes; `claims` and `expiry`.
- What is done: `phases` (what each means), `operations` (the steps), `doubts` (why not now), `closing` and
  `publishing` (what a step may close and write now).
- What is begun: `cases` (what is asked about), `gates` (what may hold it), `requests` (some for `later`),
  `planning`, `reconciling`.
- What is told: `explain`, `episodes`, `marks`.

`cluster` is the room of what only an active-passive cluster has: leases, the ladder, candidates, gates and
the steps from one node to another.

`draft` is the state in the making, `bounds` how long its lists may be; `invariants` states what must hold
whatever all of these say. `leadership` is asked by the loop alone: who may lead over whom. No await, clock,
log, random or I/O here or below.
"""

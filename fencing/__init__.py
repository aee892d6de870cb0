"""Fencing: client ports of a node opened and closed, and whether that is really so.

node/         the helper, `mailward-node`: its own program (see there)
channel       what a transport gives: a process on the node with its streams
ssh, local    two transports
ask           the third: through the store, to the daemon beside the node; and that daemon's part
near          a lease is renewed by this host's helper first, and by another way after it
wire, helper  the protocol with the helper, over any of them: the port `Helper`
pipe          a probe's way to a service behind closed ports
verification  the refusal seen from outside
rung          acknowledgement and refusal together: the port `Fence`
agent/        power switches, by any program of fence-agents: the port `PowerSwitch`

The lease is no order: the daemon beside a node renews it (`controller.lease`), and when it is over is judged
by the core (`controller.core.cluster.leases`). Which rung is next says `controller.core.cluster.ladder`.

Another power switch that fence-agents know needs no code. Another kind of rung is a `RungKind`; it is put
into ladders by `configs.policy`, chosen by `ladder`, carried out by `controller.executor` with what
`app.compose` gives it, described by `app.ladders`, tried by `app.rungs`, and imitated by the simulator.
"""

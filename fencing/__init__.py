"""Fencing: client ports of a node opened and closed, and whether that is really so.

node/         the helper, `mailward-node`: its own program (see there)
channel       what a transport gives: a process on the node with its streams
ssh, local    two transports
ask           the third: through the store, to the daemon beside the node; and that daemon's part
helper        the protocol with the helper, over either: the port `Helper`
pipe          a probe's way to a service behind closed ports
verification  the refusal seen from outside
rung          acknowledgement and refusal together: the port `Fence`
"""

"""The world in which the controller is proven: virtual time, real core, loop, executor and publishers.

Only the ports are replaced. What can go wrong outside goes wrong here, from one seed: processes are killed
or stand still between any two steps, links delay, lose and cut, the store loses requests and replies, nodes
die and come back. Checkers look at what is true in the world, never at what a controller believes.
"""

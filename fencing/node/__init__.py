"""`mailward-node`: the small root program on a mail node which alone touches its client ports.

Standard library only, Python 3.9 and later, imports nothing of mailward outside this package: it is
shipped as one file (`python -m mailward.fencing.node.build OUT`) to hosts without mailward. The same
program serves the daemon beside it, SSH, and a human.

    cli         the verbs            serve      one request: hello, line, answer
    config      /etc/.../node.json   protocol   what a request may say (no I/O)
    orders      which are obeyed     memory     the highest token and the map, in two places
    terms       what an order wants beside its map
    work        what takes time         writers    stopped and started with their node
    hooks       the admin's own commands at promotion and demotion
    firewall    what closed means    nftables, iptables, sessions: how it is done
    status      what only the node knows: units, package manager, room on disk
    pipe        `connect SERVICE`    journal    who did what, when        install, build

It starts a process for each request: nothing stays resident that could hang, leak or be upgraded.
Imports are kept few on the path of an order, since each costs time before a port closes.
"""

VERSION = "0.1.0"

"""How far mailbox replication is behind (`sources` of lag, one a node), and whether two nodes hold the same
mail (`audit`).

A figure nobody can vouch for is UNKNOWN, and unknown is the worst lag (I5). Sources measure and, when
told to, kick; they decide nothing. Left out so far: the canary, the ledger, repairs, the scheduler
for Dovecot 2.4.

DoveadmError            a doveadm command had no usable answer; stays inside this package
└── Malformed           ... the answer is not what Dovecot 2.3 says
"""

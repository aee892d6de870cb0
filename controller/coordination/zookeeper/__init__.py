"""ZooKeeper: the store that several daemons agree in.

    /mailward/<cluster>
        store        the store-id, written once by `make`
        epoch        a number; raised by each election, in the same step that makes the leader
        leader       ephemeral: name, epoch and nonce of who leads
        state        the state document; its znode's version is the state's
        pause        the pause, or null
        requests/    one for each request not yet answered
        observers/   one for each daemon: its newest report; below it `beat`, written as the heartbeat

Every state is written in one transaction that checks epoch and pause as they were read, and that its own
leader znode is there. Either check alone would not do: the epoch stays when our session ends and nobody else
is elected, and a leader znode made anew by another looks like ours.

- `client` speaks to kazoo and lets nothing of it through: `values`, deadlines, `StoreError`s.
- `tree` says where things are and what is in them.
- `requests` reads those that wait, and takes away what is none.
- `rights` says who may do what with it.
- `store` is `model.ports.Coordination`, the heartbeat and the reports; `trouble` why no server can be used.
- `making` makes a new store, and grants rights in one that is there; `connecting` is for single commands.
- `ensemble` is what the servers themselves need, as files.
"""

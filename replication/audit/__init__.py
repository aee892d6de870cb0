"""Whether two nodes hold the same mail, message by message.

Status counters prove nothing: two mailboxes that differ can have the same number of messages, next UID,
size and GUID. So every message's GUID, UID and flags are read on both nodes and compared. Nothing is changed
anywhere.

    contents    what a node holds of a mailbox: a digest of each folder, messages only where asked for
    compare     two of those: what differs, and how
    auditor     reads both nodes, mailbox by mailbox, and again where they differ: mail on its way is no loss
"""

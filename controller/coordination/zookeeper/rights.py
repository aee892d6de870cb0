"""Who may do what with which znode, as ZooKeeper's ACLs: nobody more than it takes. Pure.

An ACL is not inherited, and a znode is deleted by the right on what is above it. Whoever is not named sees
that a znode is there, and nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mailward.controller.coordination.zookeeper.tree import Tree
from mailward.controller.coordination.zookeeper.values import Acl, Grant
from mailward.model.ports import Box

ABOVE = "/mailward"


@dataclass(frozen=True, slots=True)
class Rights:
    """`scheme` is how ZooKeeper knows a client: `x509` by its certificate's subject, `sasl` by its user; ''
    not at all: then nothing is kept from anybody. `observers` says who each one is, `leaders` which of them
    may lead; `admins` are others who may pause. `beside` says whose daemon answers for which node."""

    scheme: str = ""
    observers: Mapping[str, str] = field(default_factory=dict)
    leaders: frozenset[str] = frozenset()
    admins: tuple[str, ...] = ()
    beside: Mapping[str, str] = field(default_factory=dict)

    def above(self) -> Acl:
        """Of what the clusters of an ensemble have in common: each makes and removes its own below it."""
        return (Grant("world", "anyone", "cdr"),) if self.scheme else ()

    def of(self, at: Tree) -> Mapping[str, Acl]:
        """Of every znode that lasts, from the top."""
        fixed = {
            at.root: self._acl("acdr"),
            at.store: self._acl("ar"),
            at.epoch: self._acl("arw"),
            at.state: self._acl("arw"),
            at.pause: self._acl("arw", observers="rw", admins="rw"),
            at.requests: self._acl("acdr", observers="cr"),
            at.observers: self._acl("acdr"),
        }
        for name in self.observers:
            fixed |= self.of_observer(at, name)
        for box in Box if self.beside else ():
            fixed[at.letters(box)] = self._acl("acdr")
        for node, name in self.beside.items():
            fixed[at.letters(Box.ASKS, node)] = self._acl("acdr")
            fixed[at.letters(Box.ANSWERS, node)] = self._acl("ar", own={name: "cdr"})
        return fixed

    def of_observer(self, at: Tree, name: str) -> Mapping[str, Acl]:
        """Of an observer's own: its report, and the heartbeat below that."""
        return {
            at.report(name): self._acl("acdr", own={name: "crw"}),
            at.beat(name): self._acl("ar", own={name: "rw"}),
        }

    def of_letter(self, box: Box, node: str) -> Acl:
        """Who may lead asks, and who is beside the node answers."""
        if box is Box.ASKS:
            return self._acl("arw")
        return self._acl("ar", own={self.beside[node]: "rw"} if node in self.beside else {})

    def of_passing(self) -> Acl:
        """Of who leads, and of requests: made whole, and taken away whole."""
        return self._acl("adr")

    def _acl(
        self, leaders: str, *, observers: str = "r", admins: str = "r", own: Mapping[str, str] | None = None
    ) -> Acl:
        if not self.scheme:
            return ()
        may = {who: set(admins) for who in self.admins}
        may |= {who: set(observers) for who in self.observers.values()}
        for name, who in self.observers.items():
            may[who] |= set((own or {}).get(name, ""))
            may[who] |= set(leaders if name in self.leaders else "")
        return tuple(Grant(self.scheme, who, "".join(sorted(may[who]))) for who in sorted(may) if may[who])


OPEN = Rights()

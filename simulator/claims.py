"""What a scenario may claim, in words, and whether it is true: of the world, never of what a daemon believes.

A claim answers '' when it holds, and otherwise what is so instead. Some compare with the moment since when
they are claimed: that is the `Baseline`. What automation says is heard from whoever leads.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mailward.controller.loop import Loop
from mailward.model.decision import Answered, Explanation
from mailward.model.dns import RRset
from mailward.model.fencing import PortKind, PortState
from mailward.model.policy import Endpoint
from mailward.model.state import Kind
from mailward.simulator.checkers.addresses import OnlyListed
from mailward.simulator.checkers.mail import NothingLost
from mailward.simulator.events import leader_of, nodes_of
from mailward.simulator.names import Resolver
from mailward.simulator.phrases import LEADER, Phrase, Said, listed
from mailward.simulator.world import World

ON_THE_WAY_S = 2.0
"""A message accepted since then may still be on its way to the other nodes."""


@dataclass(frozen=True)
class Baseline:
    """How it was when a claim began."""

    published: Mapping[tuple[str, str], tuple[str, ...]]
    rrsets: Mapping[str, Mapping[tuple[str, str], RRset]]
    ports: Mapping[str, Mapping[str, PortState]]
    leader: str
    epoch: int
    begun: int
    heard: int


@dataclass
class Scene:
    """The world while a scenario is played: `begun` lists operations in the order in which they began,
    `heard` all that was said of commits and by whoever led. Clients have resolvers of their own, one for
    each DNS target."""

    world: World
    resolvers: Mapping[str, Resolver]
    begun: list[Kind] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)

    def baseline(self) -> Baseline:
        world = self.world
        return Baseline(
            published={
                (target, endpoint.name): world.published(target, endpoint.name)
                for endpoint in world.policy.endpoints
                for target in endpoint.targets
            },
            rrsets={name: dict(zone.primary.rrsets) for name, zone in world.zones.items()},
            ports={name: dict(node.helper.ports) for name, node in world.nodes.items()},
            leader=leader_of(world),
            epoch=world.ensemble.epoch,
            begun=len(self.begun),
            heard=len(self.heard),
        )

    def held(self) -> list[str]:
        """Why the automation of whoever leads is held."""
        found = []
        for loop in self._loops():
            found += [loop.problem] if loop.problem else []
            found += [loop.decision.superseded] if loop.decision and loop.decision.superseded else []
        return found + [text for each in self._explanations() if each.held for text in _holding(each)]

    def explained(self) -> list[str]:
        """What `mailward explain` has to say, beside what is as it should be."""
        return [text for each in self._explanations() for text in (each.evidence, *_holding(each))]

    def _loops(self) -> list[Loop]:
        """Whoever leads; all that run while nobody does."""
        leader = self.world.ensemble.leader
        running = [c for c in self.world.controllers.values() if c.runs]
        return [c.loop for c in running if c.loop and (leader is None or c.name == leader.name)]

    def _explanations(self) -> list[Explanation]:
        return [e for loop in self._loops() if loop.decision for e in loop.decision.explanations]


def _holding(each: Explanation) -> list[str]:
    return [f"{f.gate}: {f.reason}" for f in each.findings if f.answer is not Answered.YES]


Look = Callable[[Scene, Said, Baseline], str]


@dataclass(frozen=True)
class Claim:
    phrase: Phrase
    look: Look


def _endpoints(scene: Scene, said: Said) -> list[Endpoint]:
    policy = scene.world.policy
    if said["ENDPOINTS"] == "every endpoint":
        return list(policy.endpoints)
    return [policy.endpoint_by_name[name] for name in listed(said["ENDPOINTS"])]


def _published(wanted: bool) -> Look:
    def look(scene: Scene, said: Said, _since: Baseline) -> str:
        targets = [said["TARGET"]] if "TARGET" in said else None
        for endpoint in _endpoints(scene, said):
            for target in targets or endpoint.targets:
                there = scene.world.published(target, endpoint.name)
                wrong = [n for n in nodes_of(scene.world, said) if (n in there) is not wanted]
                if wrong:
                    return f"{target} answers {' and '.join(there) or 'nobody'} for {endpoint.name}"
        return ""

    return look


def _ports(kind: PortKind) -> Look:
    def look(scene: Scene, said: Said, _since: Baseline) -> str:
        for name in nodes_of(scene.world, said):
            ports = scene.world.nodes[name].helper.ports
            for service, state in sorted(ports.items()):
                if state.kind is not kind:
                    return f"{service} of {name} is {state.kind}"
        return ""

    return look


def _served(scene: Scene, said: Said, _since: Baseline) -> str:
    world = scene.world
    for endpoint in _endpoints(scene, said):
        for target in endpoint.targets:
            nodes = [world.node_at(a) for a in scene.resolvers[target].resolve(endpoint.name)]
            if not any(
                world.network.passes("clients", node.name) and all(node.serves(s) for s in endpoint.services)
                for node in nodes
            ):
                known = " and ".join(node.name for node in nodes) or "nobody"
                return f"a client of {endpoint.name} that asks {target} knows {known} only"
    return ""


def _nothing_withdrawn(scene: Scene, _said: Said, since: Baseline) -> str:
    for (target, endpoint), before in since.published.items():
        gone = [name for name in before if name not in scene.world.published(target, endpoint)]
        if gone:
            return f"{' and '.join(gone)} left {endpoint} on {target}"
    return ""


def _nothing_changed(scene: Scene, _said: Said, since: Baseline) -> str:
    world = scene.world
    for target, before in since.rrsets.items():
        if dict(world.zones[target].primary.rrsets) != before:
            now = [(e.name, " and ".join(world.published(target, e.name))) for e in world.policy.endpoints]
            return f"{target} answers " + "; ".join(f"{nodes or 'nobody'} for {name}" for name, nodes in now)
    for name, ports in since.ports.items():
        if dict(world.nodes[name].helper.ports) != ports:
            return f"the client ports of {name} have changed"
    return ""


def _counted(kinds: tuple[Kind, ...], most: bool) -> Look:
    def look(scene: Scene, said: Said, since: Baseline) -> str:
        found = sum(1 for kind in scene.begun[since.begun :] if kind in kinds)
        wanted = int(said.get("COUNT", "0"))
        return "" if found == wanted or (most and found < wanted) else f"there have been {found}"

    return look


def _leads(wanted: bool) -> Look:
    def look(scene: Scene, said: Said, since: Baseline) -> str:
        leader = scene.world.ensemble.leader
        names = [since.leader if name == LEADER else name for name in listed(said["DAEMONS"])]
        leads = leader is not None and leader.name in names
        return "" if leads is wanted else f"{leader.name if leader else 'nobody'} leads"

    return look


def _another_leads(scene: Scene, _said: Said, since: Baseline) -> str:
    leader = scene.world.ensemble.leader
    if leader is None:
        return "nobody leads"
    return "" if leader.name != since.leader else f"{leader.name} leads"


def _same_leads(scene: Scene, _said: Said, since: Baseline) -> str:
    leader = scene.world.ensemble.leader
    same = leader is not None and leader.epoch == since.epoch
    return "" if same else f"{leader.name if leader else 'nobody'} leads, epoch {scene.world.ensemble.epoch}"


def _nobody_leads(scene: Scene, _said: Said, _since: Baseline) -> str:
    leader = scene.world.ensemble.leader
    return f"{leader.name} leads" if leader else ""


def _says(found: list[str], said: Said) -> str:
    words = " ".join(said["WORDS"].strip('"').lower().split())
    if any(words in " ".join(text.lower().split()) for text in found):
        return ""
    return f"it says: {'; '.join(found[-3:]) or 'nothing'}"


def _held(scene: Scene, said: Said, _since: Baseline) -> str:
    found = scene.held()
    if not found:
        return "it is not held"
    return _says(found, said) if "WORDS" in said else ""


def _not_held(scene: Scene, _said: Said, _since: Baseline) -> str:
    return "; ".join(scene.held())


def _explains(scene: Scene, said: Said, _since: Baseline) -> str:
    return _says(scene.explained(), said)


def _has_said(scene: Scene, said: Said, since: Baseline) -> str:
    return _says(scene.heard[since.heard :], said)


def _nothing_lost(scene: Scene, _said: Said, _since: Baseline) -> str:
    return "; ".join(NothingLost.now(scene.world))


def _everywhere(scene: Scene, _said: Said, _since: Baseline) -> str:
    found = []
    for name, node in scene.world.nodes.items():
        waiting = [at for at in node.mailbox.values() if scene.world.now_s - at >= ON_THE_WAY_S]
        found += [f"{len(waiting)} messages of {name} are not on every node"] if waiting else []
    return "; ".join(found)


def _not_everywhere(scene: Scene, said: Said, since: Baseline) -> str:
    return "" if _everywhere(scene, said, since) else "every message is on every node"


def _only_listed(scene: Scene, _said: Said, _since: Baseline) -> str:
    return "; ".join(OnlyListed.now(scene.world))


def _well(scene: Scene, _said: Said, _since: Baseline) -> str:
    return scene.world.settled(mail_s=ON_THE_WAY_S)


_OPERATIONS = {
    "failover|failovers": (Kind.FAILOVER,),
    "drain|drains": (Kind.DRAIN,),
    "readmission|readmissions": (Kind.READMIT,),
    "operation|operations": (Kind.FAILOVER, Kind.DRAIN, Kind.READMIT),
}
"""What repeats an effect (reconcile) is no operation to a reader."""


def _counts() -> tuple[Claim, ...]:
    found = []
    for words, kinds in _OPERATIONS.items():
        found += [
            Claim(Phrase(f"there has|have been COUNT {words}"), _counted(kinds, False)),
            Claim(Phrase(f"there has|have been at most COUNT {words}"), _counted(kinds, True)),
            Claim(Phrase(f"there has|have been no {words}"), _counted(kinds, False)),
        ]
    return tuple(found)


CLAIMS: tuple[Claim, ...] = (
    Claim(Phrase("NODES is|are in ENDPOINTS"), _published(True)),
    Claim(Phrase("NODES is|are in ENDPOINTS on TARGET"), _published(True)),
    Claim(Phrase("NODES is|are out of ENDPOINTS"), _published(False)),
    Claim(Phrase("NODES is|are out of ENDPOINTS on TARGET"), _published(False)),
    Claim(Phrase("the ports of NODES are open"), _ports(PortKind.OPEN)),
    Claim(Phrase("the ports of NODES are closed"), _ports(PortKind.CLOSED)),
    Claim(Phrase("clients of ENDPOINTS are served"), _served),
    Claim(Phrase("nothing is withdrawn"), _nothing_withdrawn),
    Claim(Phrase("nothing is changed"), _nothing_changed),
    *_counts(),
    Claim(Phrase("nobody leads"), _nobody_leads),
    Claim(Phrase("another daemon leads"), _another_leads),
    Claim(Phrase("the same daemon leads"), _same_leads),
    Claim(Phrase("DAEMONS leads"), _leads(True)),
    Claim(Phrase("DAEMONS does not lead"), _leads(False)),
    Claim(Phrase("automation is held"), _held),
    Claim(Phrase("automation is held and says WORDS"), _held),
    Claim(Phrase("automation is not held"), _not_held),
    Claim(Phrase("mailward explain says WORDS"), _explains),
    Claim(Phrase("mailward has said WORDS"), _has_said),
    Claim(Phrase("no accepted mail is lost"), _nothing_lost),
    Claim(Phrase("every message is on every node"), _everywhere),
    Claim(Phrase("not every message is on every node"), _not_everywhere),
    Claim(Phrase("only the listed names are in the zones"), _only_listed),
    Claim(Phrase("everything is well"), _well),
)

"""A node's closed ports, looked at from where they can be seen: from here, or by another daemon.

On the node itself packets stay on loopback, which is never closed; and port 25 stays open to the other mail
nodes, which have mail for it. So a daemon beside a mail node asks the others for what it cannot see. What
is asked names a node and client ports of the other's own configuration: nobody is made to connect to anything
else.
"""

import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Protocol

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from mailward.configs import effective
from mailward.configs.schema import Config
from mailward.fencing.verification import Look, Seen, Sight, look

ON_THE_WAY_S = 2.0
"""For the question and its answer, beside the look itself."""
LONGEST_LOOK_S = 5.0

SMTP_PORT = 25

Object = Mapping[str, Any]


_STRICT = ConfigDict(extra="ignore", strict=True)


@checked(config=_STRICT)
class Asked:
    """To look at client ports of a node, each for at most `timeout_s`."""

    node: str
    ports: Annotated[list[int], Field(max_length=64)]
    timeout_s: Annotated[float, Field(gt=0, le=LONGEST_LOOK_S, allow_inf_nan=False)]


@checked(config=_STRICT)
class Question:
    look: Asked


_QUESTION: TypeAdapter[Question] = TypeAdapter(Question)


class Others(Protocol):
    """The other daemons; `controller.coordination.peers`."""

    async def ask(self, question: Object, timeout_s: float) -> Mapping[str, Object]: ...


class Place:
    """What can be seen of the nodes of `config` from this host; `from_here` is how."""

    def __init__(self, config: Config, from_here: Look = look) -> None:
        self._config = config
        self._from_here = from_here

    async def look(
        self, addresses: Sequence[str], ports: Sequence[int], timeout_s: float
    ) -> tuple[Sight, ...]:
        """Nothing of this host; of the others' port 25 nothing from a mail node."""
        if any(map(_is_ours, addresses)):
            return tuple(Sight(a, p, Seen.UNKNOWN, "it is this host") for a in addresses for p in ports)
        sights = await self._from_here(addresses, ports, timeout_s)
        if not any(_is_ours(effective.probe_address_of(self._config, node)) for node in self._config.nodes):
            return sights
        return tuple(replace(each, seen=Seen.EXCEPTED) if _is_peers(each) else each for each in sights)

    async def answer(self, question: Object) -> Object:
        """What other daemons are answered; {} where it is not for us to answer."""
        try:
            asked = _QUESTION.validate_json(json.dumps(question)).look
        except ValidationError:
            return {}
        if asked.node not in self._config.nodes:
            return {}
        node = asked.node
        ports = {effective.port_of(self._config, service, node) for service in self._config.services}
        chosen = [port for port in asked.ports if port in ports]
        address = effective.probe_address_of(self._config, node)
        sights = await self.look([address], chosen, asked.timeout_s)
        return {"seen": {str(each.port): each.seen.value for each in sights}}


def look_at(node: str, here: Place, others: Others) -> Look:
    """Sights of a node: what cannot be seen from here the other daemons are asked for."""

    async def looked(addresses: Sequence[str], ports: Sequence[int], timeout_s: float) -> tuple[Sight, ...]:
        sights = await here.look(addresses, ports, timeout_s)
        hidden = sorted({each.port for each in sights if each.seen in (Seen.UNKNOWN, Seen.EXCEPTED)})
        if not hidden:
            return sights
        question = {"look": {"node": node, "ports": hidden, "timeout_s": timeout_s}}
        answers = await others.ask(question, timeout_s + ON_THE_WAY_S)
        return tuple(_with(answers, each) if each.port in hidden else each for each in sights)

    return looked


def _with(answers: Mapping[str, Object], sight: Sight) -> Sight:
    """Accepted anywhere is accepted; refused somewhere is refused."""
    said = {name: _seen(answer, sight.port) for name, answer in answers.items()}
    for seen in (Seen.ACCEPTED, Seen.REFUSED, Seen.EXCEPTED):
        names = [name for name, each in said.items() if each is seen]
        if names:
            return replace(sight, seen=seen, detail=f"seen from {', '.join(names)}")
    if sight.seen is Seen.EXCEPTED:
        return sight
    return replace(sight, detail=f"{sight.detail}, and no other daemon can tell")


def _is_peers(sight: Sight) -> bool:
    return sight.port == SMTP_PORT and sight.seen is Seen.ACCEPTED


def _seen(answer: Object, port: int) -> Seen:
    """UNKNOWN for whatever is not understood."""
    seen = answer.get("seen")
    said = seen.get(str(port)) if isinstance(seen, dict) else None
    return Seen(said) if said in tuple(Seen) else Seen.UNKNOWN


def _is_ours(address: str) -> bool:
    """Whether it is an address of this host: what is sent to such a one comes from it. Nothing is sent."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))
            return bool(probe.getsockname()[0] == address)
    except OSError:
        return False

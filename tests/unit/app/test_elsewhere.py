"""Whether a node's ports are closed is seen from where it can be: on the node itself nothing ever is, and its
peers always see port 25 open."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.unit.configs.good import FILES

import mailward.configs
from mailward.app import elsewhere
from mailward.configs.loading import load
from mailward.configs.schema import Config
from mailward.fencing.verification import Look, Seen, Sight

HERE = "127.0.0.1"
HYBRID = Path(mailward.configs.__file__).parent / "deployments" / "hybrid.yaml"

Answers = Mapping[str, Mapping[str, Any]]


class Others:
    """Answer as told; `asked` is what they were asked."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.asked: list[Mapping[str, Any]] = []

    async def ask(self, question: Mapping[str, Any], _timeout_s: float) -> Answers:
        self.asked.append(question)
        return self.answers


def seeing(seen: Seen) -> Look:
    """Every port does the same."""

    async def look(addresses: Sequence[str], ports: Sequence[int], _timeout_s: float) -> tuple[Sight, ...]:
        return tuple(Sight(a, p, seen) for a in addresses for p in ports)

    return look


@pytest.fixture
def config(tmp_path: Path) -> Config:
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o600)
    text = HYBRID.read_text(encoding="utf-8").replace("/etc/mailward/", "")
    (tmp_path / "mailward.yaml").write_text(text)
    return load(tmp_path / "mailward.yaml", {})


@pytest.fixture
def on_a_node(monkeypatch: pytest.MonkeyPatch, config: Config) -> str:
    """This host is mail-a; its address."""
    ours = config.nodes["mail-a"].addresses[0]
    monkeypatch.setattr(elsewhere, "_is_ours", lambda address: address == ours)
    return ours


async def seen(
    config: Config, node: str, here: Seen, answers: Answers, ports: Sequence[int] = (25, 993)
) -> list[Seen]:
    look = elsewhere.look_at(node, elsewhere.Place(config, seeing(here)), Others(answers))
    return [each.seen for each in await look([config.nodes[node].addresses[0]], ports, 1.0)]


def said(**ports: str) -> dict[str, Any]:
    return {"seen": {name.removeprefix("p"): value for name, value in ports.items()}}


async def test_what_is_seen_from_a_host_that_is_no_node_is_asked_of_nobody(config: Config) -> None:
    others = Others({"mail-b": said(p25="accepted", p993="accepted")})
    look = elsewhere.look_at("mail-a", elsewhere.Place(config, seeing(Seen.REFUSED)), others)
    address = config.nodes["mail-a"].addresses[0]
    assert await look([address], [25], 1.0) == (Sight(address, 25, Seen.REFUSED),)
    assert others.asked == []


async def test_this_very_host_is_looked_at_by_the_others(config: Config, on_a_node: str) -> None:
    others = Others({"witness": said(p25="refused", p993="refused")})
    look = elsewhere.look_at("mail-a", elsewhere.Place(config, seeing(Seen.ACCEPTED)), others)
    sights = await look([on_a_node], [25, 993], 1.5)
    assert others.asked == [{"look": {"node": "mail-a", "ports": [25, 993], "timeout_s": 1.5}}]
    assert sights == tuple(Sight(on_a_node, port, Seen.REFUSED, "seen from witness") for port in (25, 993))


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({}, Seen.UNKNOWN),
        ({"b": {}}, Seen.UNKNOWN),
        ({"b": {"seen": ["refused"]}}, Seen.UNKNOWN),
        ({"b": said(p25="closed")}, Seen.UNKNOWN),
        ({"b": said(p25="unknown")}, Seen.UNKNOWN),
        ({"b": said(p25="excepted")}, Seen.EXCEPTED),
        ({"b": said(p25="excepted"), "w": said(p25="refused")}, Seen.REFUSED),
        ({"b": said(p25="accepted"), "w": said(p25="refused")}, Seen.ACCEPTED),
    ],
)
async def test_what_is_accepted_anywhere_is_not_closed(
    config: Config, on_a_node: str, answers: Answers, expected: Seen
) -> None:
    assert on_a_node
    assert (await seen(config, "mail-a", Seen.ACCEPTED, answers))[0] is expected


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({}, Seen.EXCEPTED),
        ({"w": said(p25="unknown")}, Seen.EXCEPTED),
        ({"w": said(p25="refused")}, Seen.REFUSED),
        ({"w": said(p25="accepted")}, Seen.ACCEPTED),
    ],
)
async def test_port_25_of_a_node_is_open_to_its_peers(
    config: Config, on_a_node: str, answers: Answers, expected: Seen
) -> None:
    assert on_a_node
    assert await seen(config, "mail-b", Seen.ACCEPTED, answers) == [expected, Seen.ACCEPTED]


async def test_what_does_not_answer_here_may_answer_another(config: Config) -> None:
    refused = {"w": said(p25="refused", p993="unknown")}
    assert await seen(config, "mail-a", Seen.UNKNOWN, refused) == [Seen.REFUSED, Seen.UNKNOWN]


async def answered(config: Config, question: Mapping[str, Any]) -> Mapping[str, Any]:
    return await elsewhere.Place(config, seeing(Seen.REFUSED)).answer(question)


async def test_who_is_asked_looks_at_client_ports_of_known_nodes_alone(config: Config) -> None:
    asked = {"look": {"node": "mail-a", "ports": [993, 22], "timeout_s": 1}}
    assert await answered(config, asked) == {"seen": {"993": "refused"}}


@pytest.mark.parametrize(
    "question",
    [
        {},
        {"look": "mail-a"},
        {"look": {"node": "mail-x", "ports": [993], "timeout_s": 1}},
        {"look": {"node": ["mail-a"], "ports": [993], "timeout_s": 1}},
        {"look": {"node": "mail-a", "ports": 993, "timeout_s": 1}},
        {"look": {"node": "mail-a", "ports": [993], "timeout_s": None}},
        {"look": {"node": "mail-a", "ports": [[993]], "timeout_s": 1}},
        {"look": {"node": "mail-a", "ports": [True], "timeout_s": 1}},
        {"look": {"node": "mail-a", "ports": ["993"], "timeout_s": 1}},
        {"look": {"node": "mail-a", "ports": [993] * 65, "timeout_s": 1}},
        {"look": {"node": "mail-a", "ports": [993], "timeout_s": float("nan")}},
        {"look": {"node": "mail-a", "ports": [993], "timeout_s": 0}},
        {"look": {"node": "mail-a", "ports": [993], "timeout_s": -(10**400)}},
    ],
)
async def test_what_is_not_understood_is_not_answered(config: Config, question: Mapping[str, Any]) -> None:
    assert await answered(config, question) == {}


async def test_who_is_on_the_node_as_well_cannot_tell(config: Config, on_a_node: str) -> None:
    assert on_a_node
    asked = {"look": {"node": "mail-a", "ports": [993], "timeout_s": 1}}
    assert await answered(config, asked) == {"seen": {"993": "unknown"}}


def test_an_address_of_this_host_is_known_as_such() -> None:
    assert elsewhere._is_ours(HERE)
    assert not elsewhere._is_ours("192.0.2.7")

"""Service moves from one node of a cluster to the other, under load, and everything about it is measured.

From outside: when the old one greeted last, the new one first, when every name server answered so, how long
no message was accepted anywhere, which messages the new one did not have at that moment (the RPO, as a list).
From inside: how long each part of the operation took, by its marks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.lab.harness.audit import AuditReport, audit, behind
from tests.lab.harness.both import Both
from tests.lab.harness.layout import DOMAIN, ENDPOINTS
from tests.lab.harness.load import Load
from tests.lab.harness.publication import Publication
from tests.lab.harness.sites import Sites

MOVED_WITHIN_S = 60
RATE = 5.0
PARTS = ("detect", "agree", "fence", "catch-up", "promote", "publish", "verify")


@dataclass(frozen=True)
class Fault:
    """What becomes of the node that serves; `strike` is told its name, and returns the moment."""

    name: str
    strike: Callable[[Sites, str], float]


FAULTS = (
    Fault("crash", lambda sites, name: sites.at[name].crash()),
    Fault("hang", lambda sites, name: sites.at[name].hang()),
    Fault("node-loss", lambda sites, name: sites.at[name].lose()),
    Fault("site-cut", lambda sites, name: sites.cut_off(name)),
)


@dataclass(frozen=True)
class Moved:
    """One move, in seconds since it was struck, or asked for."""

    what: str
    old: str
    new: str
    led_by: str
    last_s: float
    """The old one's last greeting."""
    first_s: float
    """The new one's first."""
    named_s: float
    silent_s: float
    """The longest time in which no node greeted."""
    outage_s: float
    """The longest time in which no message was accepted."""
    missing: list[int]
    at_once: list[str]
    asked: int
    unasked_s: float
    """The longest time between two questions to a node."""
    ended: list[dict[str, Any]]
    report: AuditReport

    def marks(self) -> dict[str, float]:
        """How long each part of the operation took."""
        (operation,) = self.ended
        return {mark["part"]: mark["lasted_s"] for mark in operation.get("marks", ())}

    def __str__(self) -> str:
        marks = self.marks()
        parts = ", ".join(f"{part} {marks[part]:.2f}" for part in PARTS if part in marks)
        return (
            f"{self.what}, {self.old} to {self.new}, led by {self.led_by}: old {self.last_s:+.2f}, new "
            f"{self.first_s:+.2f}, named {self.named_s:+.2f} s; nobody greeted for {self.silent_s:.2f} s, "
            f"nothing accepted for {self.outage_s:.2f} s; {len(self.missing)} messages of the old one not at "
            f"the new one then {self.missing[:10]}; {parts or 'no marks'}; {self.asked} rounds, "
            f"{self.unasked_s:.2f} s the longest without; {self.report}"
        )


def fail_over(sites: Sites, fault: Fault, run: str) -> Moved:
    """A fault of whoever serves, until everything is well again, the other one serving."""

    def strike(old: str, _new: str) -> float:
        return fault.strike(sites, old)

    return _move(sites, fault.name, run, strike)


def switch_over(sites: Sites, run: str) -> Moved:
    """A planned one, asked for at a daemon that does not lead."""

    def ask(_old: str, new: str) -> float:
        at = time.time()
        sites.daemons.asked().do("switchover", new, "--wait", "--timeout", "60", timeout_s=90)
        return at

    return _move(sites, "switchover", run, ask)


def _move(sites: Sites, what: str, run: str, begin: Callable[[str, str], float]) -> Moved:
    cluster = sites.cluster
    old, new = sites.make_whole()
    leaving, coming = cluster.nodes[old], cluster.nodes[new]
    led_by, before = sites.daemons.leader(), sites.ended()
    with Publication(cluster) as dns, Both(cluster) as both:
        with Load(cluster, run, rate_per_s=RATE, mx=f"mail.{DOMAIN}") as load:
            time.sleep(3)
            at = begin(old, new)
            named = dns.wait_with(coming.address, ENDPOINTS, MOVED_WITHIN_S)
            named += dns.wait_without(leaving.address, ENDPOINTS, MOVED_WITHIN_S)
            missing = behind(load, leaving, coming)
            time.sleep(2)
            sites.mend()
            sites.settle(new)
            time.sleep(2)
        report = audit(cluster, load)
    last, first = both.moved(old, new)
    known = {each["id"] for each in before}
    return Moved(
        what, old, new, led_by, last - at, first - at, max(change.at for change in named) - at,
        both.silence_s(), load.outage_s(), missing, both.at_once(), both.asked, both.longest_s,
        [each for each in sites.ended() if each["id"] not in known and each["kind"] in MOVES], report,
    )  # fmt: skip


MOVES = ("failover", "switchover")

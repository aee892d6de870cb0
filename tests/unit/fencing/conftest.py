"""A node as the helper sees it, with a firewall that only remembers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mailward.fencing.node.clock import Deadline
from mailward.fencing.node.config import NodeConfig
from mailward.fencing.node.firewall import Plan, Shown
from mailward.fencing.node.memory import Memory, PortMap, Record
from mailward.fencing.node.orders import Obeyed, Orders
from mailward.fencing.node.terms import Terms
from mailward.fencing.node.token import parse_token


class FakeFirewall:
    """`left_s` is what the kernel's lease has left: a test lets it lapse."""

    name = "fake"
    leases = True

    def __init__(self) -> None:
        self.plan: Plan | None = None
        self.broken = ""
        self.left_s = 0
        self.renewed_within_s = 0.0

    def works(self) -> bool:
        return True

    def apply(self, plan: Plan) -> str:
        if not self.broken:
            self.plan, self.left_s = plan, int(plan.lease_s or 0)
        return self.broken

    def renew(self, plan: Plan, timeout_s: float) -> str:
        self.renewed_within_s = timeout_s
        if self.broken or not self.plan or not self.left_s:
            return self.broken or "No such file or directory"
        self.left_s = int(plan.lease_s or 0)
        return ""

    def shown(self) -> Shown | None:
        if self.plan is None:
            return Shown()
        held = frozenset(self.plan.held)
        return Shown(frozenset(self.plan.closed), held, self.left_s if held else None)

    def remove(self) -> str:
        self.plan = None
        return ""


class FullDisk(Memory):
    """A memory whose disk, or whose every place, can be full."""

    disk_full = False
    run_full = False

    def keep_on_disk(self, record: Record) -> str:
        return f"{self.disk}: No space left on device" if self.disk_full else super().keep_on_disk(record)

    def keep_in_run(self, record: Record) -> str:
        return f"{self.run}: No space left on device" if self.run_full else super().keep_in_run(record)


@dataclass
class Node:
    config: NodeConfig
    memory: FullDisk
    firewall: FakeFirewall = field(default_factory=FakeFirewall)
    ended: list[Plan] = field(default_factory=list)
    noted: list[str] = field(default_factory=list)

    @property
    def orders(self) -> Orders:
        return Orders(self.config, self.memory, lambda: self.firewall, self.ended.append)

    def order(self, token: str, ports: PortMap, window_s: float = 2.0, **terms: Any) -> Obeyed:
        return self.orders.ports(parse_token(token), ports, Deadline(window_s), Terms(**terms))

    def renew(self, token: str, window_s: float = 2.0) -> Obeyed:
        return self.orders.renew(parse_token(token), Deadline(window_s))

    def claim(self, token: str) -> Obeyed:
        return self.orders.claim(parse_token(token), Deadline(2.0))

    @property
    def closed(self) -> tuple[int, ...]:
        """What is refused now."""
        plan = self.firewall.plan or Plan((), ())
        return plan._replace(lease_s=plan.lease_s if self.firewall.left_s else None).refused

    @property
    def token(self) -> str:
        return str(self.memory.read().record.token)

    def reboot(self) -> None:
        """/run and the kernel's rules are gone."""
        Path(self.memory.run).unlink(missing_ok=True)
        self.firewall.plan, self.firewall.left_s = None, 0


@pytest.fixture
def node(tmp_path: Path) -> Node:
    config = NodeConfig(
        services={"smtp": 25, "imaps": 993},
        replication_ports=(12345,),
        peers=("192.0.2.12/32", "2001:db8::12/128"),
        units=(),
        paths={},
        state_dir=str(tmp_path / "state"),
        run_dir=str(tmp_path / "run"),
    )
    return Node(config, FullDisk(config.state_dir, config.run_dir))


@pytest.fixture
def refused_with() -> Callable[..., object]:
    """`with refused_with("stale", "…part of the message")`."""
    import re

    from mailward.fencing.node.refusal import Refused

    class _Refused:
        def __init__(self, code: str, *parts: str) -> None:
            self.code, self.parts = code, parts
            self.raises = pytest.raises(Refused, match="(?s)" + ".*".join(map(re.escape, parts)))

        def __enter__(self) -> None:
            self.caught = self.raises.__enter__()

        def __exit__(self, *exc: object) -> bool:
            passed = self.raises.__exit__(*exc)  # type: ignore[arg-type]
            assert self.caught.value.code == self.code
            return bool(passed)

    return _Refused

"""Every fault under load: the node is withdrawn, the other never, all accepted mail is on both afterwards.

The times here are only limits that a broken controller would miss; `make bench` measures.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from tests.lab.harness.audit import audit
from tests.lab.harness.cluster import Cluster
from tests.lab.harness.controller import Controller
from tests.lab.harness.layout import ENDPOINTS
from tests.lab.harness.load import Load
from tests.lab.harness.node import MailNode
from tests.lab.harness.publication import Publication

WITHDRAWN_WITHIN_S = 20
READMITTED_WITHIN_S = 90


@dataclass(frozen=True)
class Fault:
    """`endpoints` are those which the node can no longer serve; it must stay behind all others. `long`: one
    of its kind is enough for every day."""

    name: str
    strike: Callable[[MailNode], float]
    endpoints: tuple[str, ...] = ENDPOINTS
    long: bool = False


FAULTS = (
    Fault("kill -9 of Dovecot", lambda node: node.kill_unit("dovecot"), long=True),
    Fault("kill -9 of Postfix", lambda node: node.kill_unit("postfix"), ("mail", "smtp")),
    Fault("hung Dovecot", lambda node: node.freeze_unit("dovecot")),
    Fault("killed node", lambda node: node.kill(), long=True),
    Fault("hung node", lambda node: node.pause(), long=True),
    Fault("network cut", lambda node: node.cut()),
    Fault("disk full", lambda node: node.fill_disk()),
)


@pytest.mark.parametrize(
    "fault",
    [pytest.param(each, id=each.name, marks=[pytest.mark.long] if each.long else []) for each in FAULTS],
)
def test_failed_node_is_withdrawn_and_readmitted_and_no_accepted_message_is_lost(
    cluster: Cluster, fault: Fault
) -> None:
    failing, surviving = cluster.mail_a, cluster.mail_b
    spared = [endpoint for endpoint in ENDPOINTS if endpoint not in fault.endpoints]
    with Controller(cluster), Publication(cluster) as dns:
        with Load(cluster, fault.name.replace(" ", "-")) as load:
            time.sleep(2)
            at = fault.strike(failing)
            gone = dns.wait_without(failing.address, fault.endpoints, WITHDRAWN_WITHIN_S)
            time.sleep(3)
            failing.heal()
            healed = time.time()
            back = dns.wait_with(failing.address, fault.endpoints, READMITTED_WITHIN_S)
            time.sleep(2)
        report = audit(cluster, load)
    print(
        f"{fault.name}: withdrawn after {max(change.at for change in gone) - at:.2f} s, "
        f"readmitted {max(change.at for change in back) - healed:.2f} s after its return; {report}"
    )
    assert report.is_clean, report
    assert report.accepted > 20
    assert dns.gaps_of(surviving.address) == []
    assert dns.gaps_of(failing.address, spared) == []

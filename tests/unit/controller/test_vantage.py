"""Which way services are probed while ports are closed and opened; and when replication is waited for."""

from dataclasses import replace

import pytest

from mailward.controller.vantage import Vantages
from mailward.model.clock import Moment
from mailward.model.fencing import CLOSED, OPEN, FenceOutcome, PortState, Scope
from mailward.model.health import Vantage
from mailward.model.orders import Order, OrderPorts
from mailward.model.state import Cause, Kind, Operation, PortsRecord, State, Step
from mailward.model.token import Token

NOW = Moment("boot", 0.0, 0.0)
TOKEN = Token("0123456789ab", 1, 1)


def state(port: PortState, fence: FenceOutcome, *, under_way: bool = False) -> State:
    ports = {"imaps": port}
    record = PortsRecord("mail-a", TOKEN, ports, fence, Scope.USERS, NOW)
    order = Order(TOKEN, OrderPorts("mail-a", ports), NOW, 8.0)
    return replace(State(TOKEN.store_id, 1), ports=(record,), orders=(order,) if under_way else ())


def test_a_port_nobody_touched_is_probed_as_clients_come() -> None:
    vantages = Vantages()
    assert not vantages.update(State(TOKEN.store_id, 1))
    assert vantages.of("mail-a", "imaps") is Vantage.DIRECT


def test_a_port_known_to_be_closed_is_probed_behind() -> None:
    vantages = Vantages()
    assert vantages.update(state(CLOSED, FenceOutcome.CONFIRMED))
    assert vantages.of("mail-a", "imaps") is Vantage.HELPER
    assert vantages.of("mail-a", "smtp") is Vantage.DIRECT


def test_a_port_that_may_be_open_is_probed_as_clients_come() -> None:
    vantages = Vantages()
    vantages.update(state(CLOSED, FenceOutcome.UNKNOWN))
    assert vantages.of("mail-a", "imaps") is Vantage.DIRECT


def test_a_port_that_was_ordered_closed_and_whose_lease_is_over_is_probed_behind() -> None:
    """It refuses, whatever became of the order; seen from outside its node failed for ever."""
    vantages = Vantages()
    for port, way in ((CLOSED, Vantage.HELPER), (OPEN, Vantage.DIRECT)):
        unheard = state(port, FenceOutcome.UNKNOWN)
        lapsed = tuple(replace(record, lapsed=NOW) for record in unheard.ports)
        vantages.update(replace(unheard, ports=lapsed))
        assert vantages.of("mail-a", "imaps") is way


def test_what_an_old_copy_says_of_ports_is_not_believed() -> None:
    """A node that it had closed was never looked at as clients come, and served them all."""
    vantages = Vantages()
    closed = state(CLOSED, FenceOutcome.CONFIRMED)
    vantages.update(closed)
    assert vantages.update(replace(closed, superseded="restored from a backup"))
    assert vantages.of("mail-a", "imaps") is Vantage.DIRECT


def test_while_an_order_is_out_the_way_stays() -> None:
    """Else the refusals before the port is open would make the service DOWN, and slow to come UP."""
    vantages = Vantages()
    vantages.update(state(CLOSED, FenceOutcome.CONFIRMED))
    assert not vantages.update(state(OPEN, FenceOutcome.UNKNOWN, under_way=True))
    assert vantages.of("mail-a", "imaps") is Vantage.HELPER
    assert vantages.update(state(OPEN, FenceOutcome.CONFIRMED))
    assert vantages.of("mail-a", "imaps") is Vantage.DIRECT


@pytest.mark.parametrize(
    ("kind", "step", "waited_for"),
    [
        (Kind.FAILOVER, Step.RESCUE, True),
        (Kind.SWITCHOVER, Step.CATCH_UP, True),
        (Kind.SWITCHOVER, Step.FENCE, False),
        (Kind.READMIT, Step.CATCH_UP, False),
    ],
)
def test_replication_is_waited_for_while_service_moves(kind: Kind, step: Step, waited_for: bool) -> None:
    vantages, before = Vantages(), State(TOKEN.store_id, 1)
    assert not vantages.mail_is_waited_for
    operation = Operation("1-1", kind, "mail-a", (), step, NOW, NOW, Cause.NONE, "because", 0)
    vantages.update(replace(before, operation=operation))
    assert vantages.mail_is_waited_for is waited_for
    vantages.update(before)
    assert not vantages.mail_is_waited_for

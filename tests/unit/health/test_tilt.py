"""When an observer should not trust what it saw."""

import pytest

from mailward.health.tilt import TICK_S, Tilt
from mailward.model.clock import Moment


def at(boot_s: float, wall_s: float) -> Moment:
    return Moment("boot", boot_s, wall_s)


@pytest.mark.parametrize(
    ("loop_s", "boot_s", "wall_s", "says"),
    [
        (TICK_S, TICK_S, TICK_S, ""),
        (TICK_S + 0.4, TICK_S + 0.4, TICK_S + 0.4, ""),
        (TICK_S + 1.5, TICK_S + 1.5, TICK_S + 1.5, "this process stood still for 1.5 s"),
        (TICK_S, 30 + TICK_S, 30 + TICK_S, "this host was suspended for 30.0 s"),
        (TICK_S, TICK_S, 60 + TICK_S, "the wall clock jumped by +60.0 s"),
        (TICK_S, TICK_S, -60 + TICK_S, "the wall clock jumped by -60.0 s"),
    ],
)
def test_disagreeing_clocks_are_a_tilt(loop_s: float, boot_s: float, wall_s: float, says: str) -> None:
    tilt = Tilt(stall_s=0.5, hold_s=5.0)
    assert tilt.tick(100.0, at(500.0, 9000.0)) == ""
    now = at(500.0 + boot_s, 9000.0 + wall_s)
    assert tilt.tick(100.0 + loop_s, now) == says
    assert tilt.tilted(now) is bool(says)
    assert not tilt.tilted(at(now.boot_s + 5.0, now.wall_s + 5.0))


def test_the_first_look_at_the_clocks_is_no_tilt() -> None:
    tilt = Tilt(0.5, 5.0)
    assert tilt.tick(100.0, at(1.0, 9e9)) == ""
    assert not tilt.tilted(at(1.0, 9e9))

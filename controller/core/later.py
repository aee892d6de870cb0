"""Requests for later: when one is due, and when it is begun no more.

What counts is the wall clock of whoever leads. Beside it stands the boot clock of the daemon that was asked:
while that leads itself, a wall clock that has jumped since begins nothing early, and nothing an hour late.
Where another daemon leads, what it was asked for is begun between its time and `LATE_S` after it, or never.
"""

from mailward.model.clock import Moment
from mailward.model.state import Request

LATE_S = 600.0
"""After its time, and no later, a request may still be begun; two clocks may differ by as much."""


def waits(request: Request, now: Moment) -> bool:
    """Whether its time has not come."""
    by_wall_s, by_boot_s = _left_s(request, now)
    if abs(by_wall_s - by_boot_s) > LATE_S:
        return min(by_wall_s, by_boot_s) > 0
    return by_wall_s > 0


def missed(request: Request, now: Moment) -> str:
    """Why a request whose time has come is not begun any more, '' where it may be."""
    by_wall_s, by_boot_s = _left_s(request, now)
    if abs(by_wall_s - by_boot_s) > LATE_S:
        moved_s = by_boot_s - by_wall_s
        said = f"the clock here has been set {'forward' if moved_s > 0 else 'back'} by {abs(moved_s):.0f} s"
        return f"missed: {said} since it was asked for, and when its time is nobody knows: ask again"
    if -by_wall_s > LATE_S:
        late = f"its time was {-by_wall_s:.0f} s ago"
        return f"missed: {late}, and nobody could begin within {LATE_S:.0f} s of it: ask again"
    return ""


def overdue_s(request: Request, now: Moment) -> float:
    """For how long it has been due, by the wall clock."""
    return max(0.0, -_left_s(request, now)[0])


def _left_s(request: Request, now: Moment) -> tuple[float, float]:
    """Seconds until its time, below 0 after it: by the wall clock, and by the boot clock of who was asked;
    after another boot, or on another host, that is the same."""
    if request.due_wall_s is None:
        return 0.0, 0.0
    by_wall_s = request.due_wall_s - now.wall_s
    if request.at.boot_id != now.boot_id:
        return by_wall_s, by_wall_s
    return by_wall_s, request.due_wall_s - request.at.wall_s - request.at.age_s(now)

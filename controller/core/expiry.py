"""Expiry: until when what was sent may still arrive. Nothing is sent that was not recorded, with its expiry.

It matters where an old order cannot be refused: there nothing new is sent before.
"""

from mailward.controller.core.bounds import EXPIRY_MARGIN_S
from mailward.model.clock import Moment
from mailward.model.policy import Rules
from mailward.model.state import State


def earlier_orders_expired(state: State, now: Moment, rules: Rules) -> bool:
    """Whether all that was begun before this epoch has had its time, also what was begun by a leader that was
    deposed and does not know it, its own right to act not yet over. Nothing is sent that was not recorded.
    Recording checks the epoch, which was raised before we took it up: so what was recorded last was recorded
    before `epoch_since`. And an order is carried out within its expiry, from when it was issued, which was
    before it was recorded. By `epoch_since` and the longest expiry recorded, all of it is over; the margin is
    for what has left and is on its way."""
    since, longest_s = state.epoch_since, max(rules.order_timeout_s, state.earlier_expire_s)
    return since is not None and since.age_s(now) > longest_s + EXPIRY_MARGIN_S


def may_still_arrive(state: State, target: str, now: Moment, rules: Rules) -> bool:
    """Whether a target that cannot refuse it may yet take what was sent in this epoch, and was not answered:
    it would undo whatever is sent meanwhile."""
    begun = state.target(target).begun
    return begun is not None and begun.age_s(now) <= rules.order_timeout_s + EXPIRY_MARGIN_S

"""Guards of the core, and of what its orders meet, taken away one by one: by name, what does it.

Each mutant patches the real modules, wherever the guard is known by name, and is undone with the
`monkeypatch` it was given. Which test objects to which mutant is that test's own business.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from mailward.controller import executor, loop
from mailward.controller.core import (
    admission,
    bounds,
    claims,
    closing,
    conditions,
    diagnosis,
    doubts,
    draft,
    expiry,
    gates,
    invariants,
    later,
    operations,
    outcomes,
    phases,
    planning,
    publishing,
    reconciling,
    requests,
    sight,
)
from mailward.controller.core.cases import Case
from mailward.controller.core.cluster import candidates, failback, ladder, leases, takeover
from mailward.controller.core.cluster.succession import choosing, course, moving, stopping
from mailward.controller.core.gates import Gate
from mailward.controller.core.operations import STEPS
from mailward.controller.executor import Executor
from mailward.controller.lease import LeaseKeeper
from mailward.controller.loop import Loop
from mailward.controller.promises import Promises
from mailward.controller.vantage import Vantages
from mailward.dns import publication
from mailward.health.tilt import Tilt
from mailward.model.decision import Answered, Decision, Finding
from mailward.model.dns import Applied, in_common
from mailward.model.fencing import HelperAnswer, Hook
from mailward.model.orders import Order, OrderPorts, Outcome
from mailward.model.policy import Policy
from mailward.model.ports import Recorded
from mailward.model.snapshot import Versions
from mailward.model.state import Kind, Operation, State, Step
from mailward.model.token import Sent, Token
from mailward.simulator import nodes
from mailward.simulator.names import Zone
from mailward.simulator.nodes import Helper
from mailward.simulator.store import Ensemble

Patch = pytest.MonkeyPatch
Mutant = Callable[[Patch], None]

_CORE = "mailward.controller.core"


def everywhere(patch: Patch, original: object, instead: object) -> None:
    """Put `instead` in the place of `original` under every name the core's modules know it by."""
    found = 0
    for module in (sys.modules[name] for name in sorted(sys.modules) if name.startswith(_CORE)):
        for name, value in list(vars(module).items()):
            if value is original:
                patch.setattr(module, name, instead)
                found += 1
    assert found, f"nothing in the core knows {original}"


LISTS: tuple[tuple[ModuleType, tuple[str, ...]], ...] = (
    (gates, ("WITHDRAW", "WITHDRAW_BY_HAND", "READMIT", "READMIT_BY_HAND")),
    (takeover, ("WITHDRAW", "WITHDRAW_BY_HAND", "AGAIN", "STAND_DOWN")),
)
"""Where gates are asked one after the other."""


def without(name: str, module: ModuleType = gates) -> Mutant:
    """This gate says yes wherever it is asked."""

    def mutant(patch: Patch) -> None:
        _mute(patch, getattr(module, name), name)

    return mutant


def _mute(patch: Patch, gate: Gate, name: str) -> None:
    def mute(_case: object) -> Finding:
        return Finding(name, Answered.YES, "not asked")

    def muted(checks: tuple[Gate, ...]) -> tuple[Gate, ...]:
        return tuple(mute if check is gate else check for check in checks)

    everywhere(patch, gate, mute)
    for module, names in LISTS:
        for checks in names:
            patch.setattr(module, checks, muted(getattr(module, checks)))


def answering(original: Callable[..., Any], answer: object) -> Mutant:
    """A function of the core that says the same whatever it is asked."""
    return lambda patch: everywhere(patch, original, lambda *_, **__: answer)


def in_order(kind: Kind, *steps: Step) -> Mutant:
    """An operation with other steps, or in another order."""
    return lambda patch: everywhere(patch, STEPS, {**STEPS, kind: steps})


def all_of(*mutants: Mutant) -> Mutant:
    def mutant(patch: Patch) -> None:
        for each in mutants:
            each(patch)

    return mutant


def _checked_unseen(patch: Patch) -> None:
    """A node just opened is let in without an answer from outside."""
    patch.setitem(operations._PROGRESS, Step.CHECK, lambda _at: operations.Progress(operations.Turn.DONE))


def _promoted_unseen(patch: Patch) -> None:
    """Who was opened is published without an answer from outside."""
    done = operations.Progress(operations.Turn.DONE)
    everywhere(patch, operations.checked, lambda *_: done)


def _opened_unpromoted(patch: Patch) -> None:
    ordered = phases.order_of_ports

    def plain(policy: Policy, state: State, node: str, hook: Hook | None = None) -> OrderPorts:
        action = ordered(policy, state, node, hook)
        promotes = action.terms.hook is Hook.PROMOTE
        return replace(action, terms=replace(action.terms, hook=None)) if promotes else action

    everywhere(patch, ordered, plain)


async def _nobody_is_missing(_self: Promises) -> str:
    return ""


def _an_operators_word_forgotten(patch: Patch) -> None:
    patch.setattr(diagnosis, "TABLE", tuple(row for row in diagnosis.TABLE if row.id != 310))


def _orders_that_never_expire(patch: Patch) -> None:
    patch.setattr(bounds, "EXPIRY_MARGIN_S", float("inf"))


def _the_first_stale_claim_believed(patch: Patch) -> None:
    patch.setattr(outcomes, "STALE_CLAIMS_BELIEVED", 1)


def _patience_without_end(patch: Patch) -> None:
    patch.setattr(operations._At, "impatient", False)


def _tokens_of_an_epoch_go_on(patch: Patch) -> None:
    """A new epoch keeps what the last one had out and had claimed."""
    taken_up = outcomes.take_up_epoch

    def take_up(sketch: draft.Draft) -> None:
        before = sketch.state
        taken_up(sketch)
        sketch.state = replace(sketch.state, targets=before.targets, helpers=before.helpers)

    everywhere(patch, taken_up, take_up)


def _any_order_is_obeyed(patch: Patch) -> None:
    obey = Helper.obey

    def obey_anybody(self: Helper, token: Token, *rest: Any) -> HelperAnswer:
        self.token = None
        return obey(self, token, *rest)

    patch.setattr(Helper, "obey", obey_anybody)


def _any_update_is_taken(patch: Patch) -> None:
    compare_and_set = Zone.compare_and_set

    def set_only(self: Zone, _expected: Token | None, new: Token, changes: Any) -> Applied:
        return compare_and_set(self, self.token, new, changes)

    patch.setattr(Zone, "compare_and_set", set_only)


def _whoever_writes(leads: bool, reads: bool) -> Mutant:
    """A store that checks only whether the writer leads, or only what it has read."""

    def allows(self: Ensemble, session: int, seen: Versions, found: Versions) -> bool:
        leader = self.leader
        of_the_leader = leader is not None and leader.session == session
        return (of_the_leader or not leads) and (seen == found or not reads)

    return lambda patch: patch.setattr(Ensemble, "allows", allows)


def _sent_first(patch: Patch) -> None:
    record = Loop._record

    async def send_and_record(self: Loop, decision: Decision, recorded: Recorded) -> bool:
        for order in decision.send:
            self._executor.send(order)
        return await record(self, decision, recorded)

    patch.setattr(Loop, "_record", send_and_record)


def _late_is_in_time(patch: Patch) -> None:
    async def in_time(self: Executor, order: Order) -> Outcome:
        return await self._dispatch(order)

    patch.setattr(Executor, "_in_time", in_time)


def _nothing_is_claimed_unasked(patch: Patch) -> None:
    claimed = claims._to_be_claimed

    def nothing_unasked(sketch: draft.Draft) -> object:
        targets, nodes = claimed(sketch)
        return targets, () if sketch.situation.only_watches else nodes

    patch.setattr(claims, "_to_be_claimed", nothing_unasked)


def _lapsed_is_looked_at_from_outside(patch: Patch) -> None:
    update = Vantages.update

    def unaware(self: Vantages, state: State) -> bool:
        ports = tuple(replace(record, lapsed=None) for record in state.ports)
        return update(self, replace(state, ports=ports))

    patch.setattr(Vantages, "update", unaware)


def _lapsed_is_renewed(patch: Patch) -> None:
    """A kernel that brings back what has run out."""
    renew = Helper.renew

    def renew_anyway(self: Helper, token: Token, at_s: float, *rest: Any) -> HelperAnswer:
        if self.lease is not None and self.token == token and not self.lets_in:
            self.lease.renew(at_s)
        return renew(self, token, at_s, *rest)

    patch.setattr(Helper, "renew", renew_anyway)


def _never_too_late(patch: Patch) -> None:
    send = Executor.send
    patch.setattr(Executor, "send", lambda self, order: send(self, replace(order, expires_s=1e6)))


def _one_vote_is_a_verdict(patch: Patch) -> None:
    agree = sight._agree
    patch.setattr(sight, "_agree", lambda service, ballots, _needed, *rest: agree(service, ballots, 1, *rest))


def _old_reports_count(patch: Patch) -> None:
    patch.setattr(sight, "_void", lambda view, _snapshot: "" if view.report else "has not reported yet")


def _behind_is_outside(patch: Patch) -> None:
    judged = conditions.condition_of
    everywhere(patch, judged, lambda *args: replace(judged(*args), outside=True))


def _nobody_who_fails_is_in_doubt(patch: Patch) -> None:
    """Who is to be let in is asked about by what it adds to the zone alone."""

    def by_the_zone(operation: Operation, cases: tuple[Case, ...]) -> str:
        situation = cases[0].situation
        targets = operations.targets_of(situation.snapshot.policy, operation)
        return next(
            filter(None, (doubts.adds_in_doubt(situation, t, operation.endpoints) for t in targets)), ""
        )

    everywhere(patch, doubts._let_in_in_doubt, by_the_zone)


def _a_claim_overtakes_an_order(patch: Patch) -> None:
    patch.setattr(claims, "OrderPorts", type("Nothing", (), {}))


def _goes_back_without(name: str) -> Mutant:
    """A failback that this guard never holds."""
    guard = getattr(failback, name)

    def mutant(patch: Patch) -> None:
        everywhere(patch, guard, lambda _back: "")
        patch.setattr(failback, "GUARDS", tuple(each for each in failback.GUARDS if each is not guard))

    return mutant


def _by_the_wall_clock_alone(patch: Patch) -> None:
    left = later._left_s
    everywhere(patch, left, lambda request, now: (left(request, now)[0],) * 2)


def _deposing(answer: Answered) -> Mutant:
    """Followers are told the same, whoever saw the leader's process end."""
    finding = Finding("depose", answer, "not asked")
    return lambda patch: patch.setattr(loop, "may_depose", lambda _snapshot: finding)


def _nobody_is_tilted(patch: Patch) -> None:
    patch.setattr(Tilt, "tilted", lambda _self, _now: False)
    patch.setattr(Tilt, "tick", lambda *_: "")


MUTANTS: Mapping[str, Mutant] = {
    # receivers, the store, and what is done with an order
    "helpers compare tokens": _any_order_is_obeyed,
    "helpers keep a window": lambda patch: patch.setattr(nodes, "WINDOW_S", float("inf")),
    "name servers compare tokens": _any_update_is_taken,
    "publishers compare tokens": lambda patch: patch.setattr(publication, "_overtaken", lambda *_: None),
    "what receivers remember": lambda patch: patch.setattr(Sent, "explains", lambda *_: True),
    "the store asks who leads": _whoever_writes(leads=False, reads=True),
    "the store asks what was read": _whoever_writes(leads=True, reads=False),
    "recorded before sent": _sent_first,
    "late orders are not sent": _late_is_in_time,
    "orders end when they expire": _never_too_late,
    "what cannot refuse is waited for": answering(expiry.earlier_orders_expired, True),
    "what may still arrive is waited for": answering(expiry.may_still_arrive, False),
    "no claim overtakes an order": _a_claim_overtakes_an_order,
    "claims rest between tries": answering(claims._may_be_tried, True),
    "votes to depose a leader": _deposing(Answered.YES),
    "a leader that ended is deposed": _deposing(Answered.NO),
    # what is believed
    "votes for a verdict": _one_vote_is_a_verdict,
    "old and tilted reports": _old_reports_count,
    "tilt": _nobody_is_tilted,
    "helpers are heard first": answering(admission._may_yet_tell, []),
    "clocks of hosts are not compared": lambda patch: everywhere(
        patch, outcomes._carried_over, lambda _draft, at: at
    ),
    "closed before the store was made": answering(admission._closed_before, []),
    "who has not said what it holds": answering(admission._unheard, []),
    "whom DNS names no more": answering(admission.left_out, ()),
    "seen from outside": _behind_is_outside,
    "failed again": answering(doubts.failed_again, ""),
    "nobody is put in who fails": answering(publishing._without_the_failing, []),
    "nobody is let in in doubt": answering(doubts.adds_in_doubt, ""),
    "nobody is let in who fails": _nobody_who_fails_is_in_doubt,
    "who is known to serve": answering(doubts.known_to_serve, True),
    "the last who serve are kept": answering(publishing._with_the_last, []),
    "who is named and away is kept": answering(publishing._named_and_away, []),
    "who is just being closed is not kept": answering(publishing._closing, False),
    "what may be repeated": answering(doubts.may_be_repeated, True),
    "restarts are seen": answering(conditions.restart_seen, ""),
    "a restart is remembered": answering(gates._running, False),
    "away for the other endpoints": answering(admission._away, None),
    # gates
    "acting": without("acting"),
    "deployment": without("deployment"),
    "pause": without("not_paused"),
    "votes": without("votes"),
    "rate": without("rate"),
    "caught up": without("caught_up"),
    "measured since the catch-up began": answering(gates._measured_before, ""),
    "grace": without("grace"),
    "self trust": without("self_trust"),
    "successor": without("successor"),
    "a successor has answered since": answering(gates._answered_within, True),
    "a successor is not behind": answering(gates._too_far_behind, ""),
    "last address": all_of(without("last_address"), answering(invariants.somebody_stays_open, ())),
    "claimed": without("claimed"),
    "claimed by its helper": answering(gates._unclaimed_helper, []),
    "one operation": without("one_operation"),
    "helper answers": without("helper_answers"),
    "behind closed ports": without("behind_closed_ports"),
    "well": without("well"),
    "room to come back": answering(gates._scarce, ""),
    "stable": without("stable"),
    "hold-down": without("hold_down"),
    # where one serves and others stand by
    "a takeover waits": without("outlasts", takeover),
    "who has never obeyed boots open": without("all_have_obeyed", takeover),
    "nobody has tried it yet": answering(takeover._just_being_opened, False),
    "who closed by itself is opened first": answering(reconciling.open_again, None),
    "nobody has tried what was opened": answering(takeover._not_tried_since_opened, False),
    "an heir": without("heir", takeover),
    "stopped for certain": answering(ladder.stopped, "assumed"),
    "recorded to be stopped": answering(invariants.opens_only_where_others_are_stopped, ()),
    "the others are closed first": answering(reconciling._others_may_be_open, False),
    "who serves and is closed comes first": answering(ladder.serves_and_is_closed, ""),
    "what is over is recorded": answering(ladder.note, None),
    "who answers is not off": lambda patch: patch.setattr(ladder, "facts_since", lambda *_: None),
    "planned work leaves the power alone": answering(ladder._may_be_switched_off, True),
    "what may yet go off": answering(ladder.may_yet_go_off, False),
    "what may be lost": answering(candidates.too_much, ""),
    "a figure grows with its age": answering(candidates._stopped_for_s, float("inf")),
    "an heir has answered since": answering(candidates._silent_since, ""),
    "who serves again": answering(stopping._serves_again, False),
    "stopped all the while": answering(moving._not_stopped_any_more, ""),
    "an heir answers from outside": _promoted_unseen,
    "opened again only when stopped": answering(choosing._may_reopen, True),
    "promoted before it opens": _opened_unpromoted,
    "demoted before it stands by": answering(operations.demotion, ()),
    "a demotion opens nothing": answering(draft.stays_closed, False),
    "who was opened in vain is closed": answering(stopping._closed_anyhow, ()),
    "who is shut is closed for certain": answering(stopping._is_shut, False),
    "who has stopped somebody counts": answering(stopping.count, None),
    "who was being opened is closed first": answering(course.close_who_was_being_opened, None),
    "a firewall that cannot be read": answering(ladder.unreadable, False),
    "opened by root's hand": answering(ladder.open_by_hand, ""),
    "just what was accepted": answering(candidates.accepted_s, float("inf")),
    "an answer counts for its own order": answering(outcomes._ordered_last, True),
    # leases
    "a lease has to be over": answering(leases._quiet_s, float("inf")),
    "revoked before it counts": answering(leases._is_revoked, True),
    "an order to open may be late": answering(leases._opened_s, 0.0),
    "an order to open ends in time": lambda patch: patch.setattr(executor, "_takes_s", lambda _order: 0.0),
    "what has lapsed refuses": _lapsed_is_looked_at_from_outside,
    "open since it ran out": answering(leases._opens_since, False),
    "open under no lease": answering(leases._opens_without, False),
    "seen open though it is over": all_of(
        lambda patch: patch.setattr(leases, "answers_clients", lambda *_: False),
        answering(leases._says_open, False),
    ),
    "renewed by another configuration": answering(leases._is_configured_otherwise, False),
    "who would renew": answering(leases.unattended, ""),
    "who would renew a first lease": answering(leases.unattended_by_ours, ""),
    "renewals that go on": answering(leases._renews, False),
    "what has lapsed is not renewed": _lapsed_is_renewed,
    "renewed while it is to be open": lambda patch: patch.setattr(LeaseKeeper, "_opens", lambda *_: True),
    "who has promised is bound": lambda patch: patch.setattr(Promises, "binds", lambda _self: ""),
    "promised by all": lambda patch: patch.setattr(Promises, "all_given", _nobody_is_missing),
    # planned for later, and going back
    "a time is waited for": answering(later.waits, False),
    "begun in time or never": answering(later.missed, ""),
    "a clock that was set": _by_the_wall_clock_alone,
    "what was withdrawn": answering(requests._cancel, None),
    "what is wrong already": answering(requests.preflight, ""),
    "nobody serves by a word from before": lambda patch: everywhere(
        patch, requests._nobody_serves, requests._serve_again
    ),
    "a failover's own": _goes_back_without("put_by_a_person"),
    "who may go back at all": _goes_back_without("does_not_act"),
    "once a day": _goes_back_without("tried_today"),
    "who flaps does not go back": _goes_back_without("flaps"),
    "not while a failover runs": answering(failback.failing_over, False),
    "fit for long": _goes_back_without("fit_for_long"),
    "in its window": _goes_back_without("outside_the_window"),
    "when nothing is lacking": _goes_back_without("lacks_something"),
    "what holds any switchover": _goes_back_without("no_switchover"),
    # what is asked again while an operation runs
    "a full disk still serves": answering(doubts._answers_nobody, True),
    "to open takes nothing away": answering(doubts.closes_nothing, False),
    "nobody to leave it to": answering(doubts.nobody_to_leave_it_to, ""),
    "closed for its DNS alone": answering(doubts.nobody_else_serves, False),
    "only the withdrawn serve": answering(doubts.only_the_withdrawn_serve, ""),
    "left open": answering(closing.left_open, ""),
    "what is given up while it only observes": answering(claims.may_come_late, False),
    "what is given up is void": lambda patch: patch.setattr(
        draft.Draft, "void_what_is_unheard", lambda _self: None
    ),
    "asked again after a doubt": lambda patch: patch.setattr(draft.Draft, "ask_anew", lambda _self: None),
    "who is taken out again": answering(doubts.takes_in_doubt, ""),
    "put in late": answering(closing.may_yet_be_put_in, ""),
    "patience with who fails": lambda patch: patch.setattr(closing, "PATIENCE_S", 0.0),
    "what a target surely holds": lambda patch: everywhere(patch, in_common, lambda one, _other: one),
    "a drain's successor": answering(doubts.successor_lost, ""),
    "a drain's successor after the TTL": answering(
        operations._with_a_successor, operations.Progress(operations.Turn.DONE)
    ),
    "what gives way": answering(planning.preemptible, True),
    "what gives way to a request": answering(requests._gives_way, True),
    "what a request may begin": answering(requests._may_begin, True),
    "the check from outside": _checked_unseen,
    "impatience": _patience_without_end,
    "expiry of orders": _orders_that_never_expire,
    "an operator's word": _an_operators_word_forgotten,
    "reconciliation": answering(reconciling.reconcile, None),
    "rests between reconciliations": answering(reconciling._may_reconcile, True),
    "ports of a cluster are kept in a pause": answering(reconciling._even_in_a_pause, False),
    "publishing again after a drain": lambda patch: everywhere(patch, planning.abandon, planning.roll_back),
    "several stale claims": _the_first_stale_claim_believed,
    "believing a stale claim": answering(outcomes.believed_stale, False),
    "superseded": answering(outcomes.note_superseded, None),
    "another store's target": answering(outcomes._watch_for_foreign, None),
    "claims of each epoch": _tokens_of_an_epoch_go_on,
    "claiming": answering(claims.claim, None),
    "who has closed is claimed": _nothing_is_claimed_unasked,
    # the order of steps
    "publish before fence": in_order(Kind.FAILOVER, Step.FENCE, Step.PUBLISH, Step.VERIFY),
    "fence before publish when repeating": in_order(Kind.RECONCILE, Step.PUBLISH, Step.FENCE, Step.VERIFY),
    "open before publish": in_order(
        Kind.READMIT, Step.CATCH_UP, Step.PUBLISH, Step.VERIFY, Step.OPEN, Step.CHECK
    ),
    "check before publish": in_order(
        Kind.READMIT, Step.CATCH_UP, Step.OPEN, Step.PUBLISH, Step.VERIFY, Step.CHECK
    ),
    "open before check": in_order(
        Kind.READMIT, Step.CATCH_UP, Step.CHECK, Step.OPEN, Step.PUBLISH, Step.VERIFY
    ),
    "wait for the TTL before fence": in_order(
        Kind.DRAIN, Step.PUBLISH, Step.VERIFY, Step.FENCE, Step.WAIT_TTL
    ),
    "verify before fence": in_order(Kind.DRAIN, Step.PUBLISH, Step.WAIT_TTL, Step.FENCE, Step.VERIFY),
    "publish before wait": in_order(Kind.DRAIN, Step.WAIT_TTL, Step.PUBLISH, Step.VERIFY, Step.FENCE),
}

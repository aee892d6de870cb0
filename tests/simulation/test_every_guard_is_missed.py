"""The table of guards: which test misses each when it is taken away, alone or with the one behind it.

It stands in `guards.md` beside this file, and is written from what the tests themselves go by: each line of
it is tested, there or here. A guard that nobody misses is not there.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.simulation.mutants import MUTANTS
from tests.simulation.shrinking import story_of
from tests.simulation.test_chance_objects import HUNTS
from tests.simulation.test_found import FOUND
from tests.simulation.test_guards_taken_away import ALONE, BACKED, OUT_OF_REACH
from tests.simulation.test_scenarios import MUTED
from tests.simulation.worlds import Budget

TABLE = Path(__file__).with_name("guards.md")
SEARCH, CHANCE, SCENARIO = "exhaustive search", "runs by chance", "scenario"


class Unit(NamedTuple):
    """Where a unit test fails without a guard, and why no simulation shows harm."""

    file: str
    test: str
    why: str


_ANEW = "tests/unit/core/test_a_store_made_anew.py"
_ANOTHER = "tests/unit/core/test_another_controller.py"
_CLOSING = "tests/unit/core/test_closing.py"
_EPOCH = "tests/unit/core/test_a_new_epoch.py"
_EXECUTOR = "tests/unit/controller/test_executor.py"
_GATES = "tests/unit/core/test_every_gate_matters.py"
_PUBLISHING = "tests/unit/core/test_publishing.py"
_READMISSION = "tests/unit/core/test_readmission.py"
_RECONCILING = "tests/unit/core/test_reconciling.py"
_FAILBACK = "tests/unit/core/cluster/test_failback.py"
_LATER = "tests/unit/core/cluster/test_switchover_for_later.py"
_AGAIN = "tests/unit/core/cluster/test_opened_again.py"
_FAILOVER = "tests/unit/core/cluster/test_failover.py"
_LADDER = "tests/unit/core/cluster/test_ladder.py"
_SWITCHOVER = "tests/unit/core/cluster/test_switchover.py"
_TWO = "tests/unit/core/cluster/test_two_may_serve.py"
_LEASES = "tests/unit/core/cluster/test_leases.py"
_SLOW_ANYHOW = "a lease has mostly run out there by the time that anybody has tried all else"
_SELDOM_WATCHED = "a run by chance seldom looks at just that second"
_REQUESTS = "tests/unit/core/test_requests.py"
_STORE = "tests/simulation/test_simulated_store.py"
_ONE_ENDPOINT = "it takes a second endpoint on the same target"
_SELDOM_LATE = "by chance an order to what cannot refuse it is late by seconds once in hundreds of runs"
_SELDOM_ANEW = "a store is seldom made anew there while ports are closed"

BY_UNIT_TESTS: Mapping[str, Unit] = {
    "nobody has tried it yet": Unit(
        _AGAIN,
        "test_who_is_closed_when_it_is_said_to_serve_is_opened_and_not_taken_over",
        _SELDOM_ANEW,
    ),
    "nobody has tried what was opened": Unit(
        _AGAIN,
        "test_who_was_just_opened_again_is_tried_before_it_is_taken_over[nobody tries it]",
        "a failover that was not needed breaks no rule",
    ),
    "who closed by itself is opened first": Unit(
        _AGAIN,
        "test_who_closed_by_itself_is_opened_before_it_is_taken_over[obeys]",
        "a failover that was not needed breaks no rule",
    ),
    "the others are closed first": Unit(
        _AGAIN,
        "test_who_is_said_to_serve_is_opened_when_the_others_are_closed",
        _SELDOM_ANEW,
    ),
    "who serves and is closed comes first": Unit(
        _AGAIN,
        "test_the_active_that_reboots_is_opened_though_a_standby_is_catching_up_and_in_a_pause",
        "a readmission seldom lasts long enough there",
    ),
    "what is over is recorded": Unit(
        _LADDER,
        "test_who_was_stopped_and_is_cut_off_after_it_was_opened_does_not_count_as_stopped[off]",
        "by chance a node is seldom cut off just after it was switched on and opened",
    ),
    "who answers is not off": Unit(
        _LADDER,
        "test_who_was_switched_off_and_answers_again_is_not_off",
        _SELDOM_WATCHED,
    ),
    "what may yet go off": Unit(
        _LADDER,
        "test_who_may_yet_be_switched_off_is_not_given_back_nor_promoted",
        "a node switched off late is an outage, and breaks no rule",
    ),
    "a figure grows with its age": Unit(
        _FAILOVER,
        "test_a_figure_from_before_it_was_closed_grows_with_its_age",
        "figures are seldom old there",
    ),
    "an heir has answered since": Unit(
        _FAILOVER,
        "test_a_standby_that_has_not_answered_since_is_not_promoted",
        "who is promoted and does not answer is stopped again",
    ),
    "who serves again": Unit(
        _AGAIN,
        "test_who_serves_again_before_it_was_stopped_keeps_serving",
        "to stop it all the same costs an outage, and breaks no rule",
    ),
    "stopped all the while": Unit(
        _SWITCHOVER,
        "test_a_source_that_is_opened_by_hand_while_its_mail_is_waited_for_is_stopped_again",
        "before anybody is opened it is looked at once more",
    ),
    "an heir answers from outside": Unit(
        _FAILOVER,
        "test_who_does_not_answer_from_outside_is_stopped_and_the_next_is_tried",
        "who is well behind its ports mostly is well before them",
    ),
    "opened again only when stopped": Unit(
        _LADDER,
        "test_who_is_not_known_to_be_stopped_is_not_opened_again_by_a_failover",
        "it is open already, as far as anybody knows",
    ),
    "a demotion opens nothing": Unit(
        "tests/unit/core/cluster/test_hooks.py",
        "test_a_failover_goes_on_without_a_demotion_that_fails_and_the_node_stays_stopped",
        "who does not count as stopped any more is stopped once more, and that costs a moment",
    ),
    "ports of a cluster are kept in a pause": Unit(
        _TWO,
        "test_a_standby_whose_firewall_shows_something_else_is_closed_also_in_a_pause[True]",
        "who boots there boots closed, and nobody flushes a firewall",
    ),
    "who was opened in vain is closed": Unit(
        "tests/unit/core/cluster/test_who_was_opened_in_vain.py",
        "test_who_was_opened_in_vain_is_closed_though_nobody_can_take_over",
        "it is stopped as soon as anybody can take over",
    ),
    "who is shut is closed for certain": Unit(
        "tests/unit/core/cluster/test_closed_and_unheard.py",
        "test_it_is_closed_for_certain_and_serves_again_if_well_behind_its_ports[by an order-failover]",
        "an outage that lasts until the other node is back breaks no rule",
    ),
    "not while a failover runs": Unit(
        _FAILBACK,
        "test_while_a_failover_runs_nobody_is_fit_whoever_stands_by",
        "by chance a failover seldom ends where it began, and is published late",
    ),
    "planned work leaves the power alone": Unit(
        "tests/unit/core/cluster/test_who_was_opened_in_vain.py",
        "test_a_source_that_planned_work_cannot_stop_is_not_switched_off",
        "who is off does not serve, and has all its mail when it is back",
    ),
    "who has stopped somebody counts": Unit(
        "tests/unit/core/cluster/test_failovers_an_hour.py",
        "test_the_limit_holds_the_next_one",
        "there are seldom so many failovers within an hour there",
    ),
    "a firewall that cannot be read": Unit(
        _TWO,
        "test_before_anybody_is_opened_who_cannot_be_read_is_closed_once_more",
        "there a firewall can always be read",
    ),
    "opened by root's hand": Unit(
        _TWO,
        "test_nobody_else_is_promoted_while_root_has_opened_a_standby",
        "nobody is root there",
    ),
    "an answer counts for its own order": Unit(
        _LADDER,
        "test_what_is_said_of_one_way_does_not_count_for_what_went_another_way_since",
        "the ways are gone one after the other, and each closes: what was closed by the one is closed",
    ),
    "a lease has to be over": Unit(
        _LEASES,
        "test_who_is_cut_off_is_stopped_when_its_lease_is_over_for_certain",
        _SLOW_ANYHOW,
    ),
    "revoked before it counts": Unit(
        _LEASES,
        "test_it_is_judged_on_what_was_read_after_it_was_revoked",
        "what is judged over too soon is looked at again before anybody is opened",
    ),
    "an order to open may be late": Unit(
        _LEASES,
        "test_what_was_ordered_open_and_not_heard_of_may_have_begun_late",
        "who was just opened is seldom cut off within that second",
    ),
    "an order to open ends in time": Unit(
        _EXECUTOR,
        "test_an_order_that_opens_is_not_sent_when_it_would_end_after_its_expiry[9.0-False]",
        "an order seldom waits there for another to the same node",
    ),
    "open since it ran out": Unit(
        _LEASES,
        "test_who_says_since_that_it_is_open_does_not_count_as_stopped[it runs]",
        "a kernel there never opens what has run out",
    ),
    "open under no lease": Unit(
        _LEASES,
        "test_who_says_that_it_is_open_under_no_lease_is_not_leased[by hand]",
        "nobody is root there",
    ),
    "seen open though it is over": Unit(
        _LEASES,
        "test_who_is_seen_to_be_open_is_not_over_whatever_was_counted[it answers its clients]",
        "a kernel there closes in time, unless its machine stands still",
    ),
    "renewed by another configuration": Unit(
        _LEASES,
        "test_a_lease_that_is_renewed_by_another_configuration_is_never_over",
        "the same daemons may lead by each configuration there",
    ),
    "who would renew": Unit(
        _LEASES,
        "test_nobody_is_promoted_whose_lease_nobody_would_renew",
        "who is opened in vain closes by itself, and that is an outage",
    ),
    "who would renew a first lease": Unit(
        _LEASES,
        "test_who_serves_without_a_lease_is_left_so_while_nobody_would_renew_one[not restarted yet]",
        "leases are armed there from the start",
    ),
    "renewals that go on": Unit(
        _LEASES,
        "test_renewals_that_go_on_are_waited_for_no_longer_than_they_should_last",
        "to wait for them costs an outage, and breaks no rule",
    ),
    "what has lapsed is not renewed": Unit(
        "tests/simulation/test_leases.py",
        "test_a_lease_that_has_lapsed_is_not_renewed",
        "a daemon that comes back reads that its node is to be closed first",
    ),
    "renewed while it is to be open": Unit(
        "tests/unit/controller/test_lease.py",
        "test_a_node_that_is_to_be_closed_is_renewed_no_more_and_the_report_says_since_when",
        "who can read that its node is to be closed mostly has a helper that can be told so as well",
    ),
    "who has promised is bound": Unit(
        "tests/unit/controller/test_promises.py",
        "test_who_promises_is_bound_for_as_long_as_a_lease_may_last_and_no_longer",
        _SLOW_ANYHOW,
    ),
    "just what was accepted": Unit(
        "tests/unit/core/cluster/test_what_force_accepts.py",
        "test_it_counts_up_to_that_amount_and_what_its_age_adds[700.0-False]",
        "replication seldom falls behind there after a person has insisted",
    ),
    "begun in time or never": Unit(
        _LATER,
        "test_later_than_that_it_is_answered_as_missed",
        "nobody leads for ten minutes there only seldom, and never just then",
    ),
    "a clock that was set": Unit(
        _LATER,
        "test_a_clock_that_was_set_since_it_was_asked_for_leaves_its_time_in_doubt[3600.0]",
        "people ask at a host of their own there, whose boot clock tells a daemon nothing",
    ),
    "what was withdrawn": Unit(
        _LATER,
        "test_it_can_be_withdrawn_until_it_has_begun_also_at_its_very_time",
        "a word that is not taken up is no word that was disregarded",
    ),
    "what is wrong already": Unit(
        _LATER,
        "test_what_does_not_mend_by_itself_is_refused_at_once",
        "what is wrong when it is asked for is refused at its time as well",
    ),
    "nobody serves by a word from before": Unit(
        _LATER,
        "test_nobody_is_made_to_serve_by_a_word_from_before",
        "that somebody is made to serve where nobody does breaks no rule",
    ),
    "a failover's own": Unit(
        _FAILBACK,
        "test_what_a_person_has_moved_stays_where_it_was_put",
        "it takes a switchover by hand and a calm minute after it, and faults strike faster there",
    ),
    "once a day": Unit(
        _FAILBACK,
        "test_once_it_has_failed_or_was_undone_it_is_not_tried_for_a_day[failed]",
        "who has failed twice flaps, and that is missed itself",
    ),
    "who may go back at all": Unit(
        _FAILBACK,
        "test_never_while_paused_or_only_observing_or_against_what_runs",
        "who only observes there has never failed over",
    ),
    "who flaps does not go back": Unit(
        _FAILBACK,
        "test_who_flaps_is_not_trusted_before_that_is_forgotten",
        "once a day is seldom enough there",
    ),
    "when nothing is lacking": Unit(
        _FAILBACK,
        "test_it_begins_when_nothing_is_lacking",
        "what is lacking is waited for, with nobody served: that takes longer, and breaks no rule",
    ),
    "what holds any switchover": Unit(
        _FAILBACK,
        "test_never_while_paused_or_only_observing_or_against_what_runs",
        "pauses are seldom long enough there",
    ),
    "publishers compare tokens": Unit(
        "tests/unit/dns/test_publication.py",
        "test_a_token_used_for_something_else_is_stale",
        "name servers compare them again with each update, and are missed themselves",
    ),
    "the store asks who leads": Unit(
        _STORE,
        "test_who_has_stepped_down_records_nothing_though_nobody_has_raised_the_epoch_yet",
        "who knows that it does not lead records nothing, and who does not know it has read another epoch",
    ),
    "what cannot refuse is waited for": Unit(
        "tests/simulation/test_deposing.py",
        "test_a_leader_deposed_in_error_sends_nothing_later_than_its_orders_expire[0]",
        _SELDOM_LATE,
    ),
    "what may still arrive is waited for": Unit(
        "tests/unit/core/test_a_target_that_cannot_refuse.py",
        "test_what_was_not_answered_may_still_arrive_and_nothing_is_sent_before_that",
        _SELDOM_LATE,
    ),
    "the store asks what was read": Unit(
        _STORE,
        "test_what_was_decided_on_an_old_reading_is_not_recorded",
        "of those who write to it only the leader writes states, each on what it has read just before",
    ),
    "late orders are not sent": Unit(
        _EXECUTOR,
        "test_an_order_whose_time_has_passed_is_not_sent",
        "receivers refuse whatever is older than what they have obeyed, and that is missed itself",
    ),
    "orders end when they expire": Unit(
        _EXECUTOR,
        "test_a_port_that_never_answers_is_unknown_at_the_deadline",
        "each call of a simulated driver ends by itself, with an answer or without",
    ),
    "no claim overtakes an order": Unit(
        _EPOCH,
        "test_a_claim_never_overtakes_an_order_on_its_way_to_the_same_helper",
        "an order made void by our own claim is given again, and costs a moment",
    ),
    "claims rest between tries": Unit(
        _EPOCH,
        "test_claims_are_repeated_more_and_more_slowly_and_without_end",
        "haste tires nobody there",
    ),
    "votes to depose a leader": Unit(
        "tests/unit/controller/test_deposing.py",
        "test_the_end_of_another_process_makes_nobody_stand",
        "to depose in error costs a change of leaders and no more",
    ),
    "tilt": Unit(
        "tests/unit/health/test_tilt.py",
        "test_disagreeing_clocks_are_a_tilt",
        "simulated probes are never slow, and who wakes from a stop soon has fresh ones",
    ),
    "helpers are heard first": Unit(
        _ANEW,
        "test_nobody_is_admitted_to_an_empty_record_before_every_helper_has_had_time_to_answer",
        _SELDOM_ANEW,
    ),
    "closed before the store was made": Unit(
        _ANEW,
        "test_a_node_that_an_earlier_store_had_closed_is_out_until_a_person_readmits_it",
        _SELDOM_ANEW,
    ),
    "who has not said what it holds": Unit(
        _ANEW,
        "test_a_node_that_has_not_said_what_it_holds_is_out_until_a_person_readmits_it",
        _SELDOM_ANEW,
    ),
    "seen from outside": Unit(
        _ANEW,
        "test_nobody_is_left_to_a_node_that_is_known_to_work_behind_closed_ports_only",
        _SELDOM_ANEW,
    ),
    "failed again": Unit(
        _READMISSION,
        "test_who_fails_again_before_it_is_published_is_not_published",
        "who fails is not published by the next doubt either: this one only gives up sooner",
    ),
    "nobody is put in who fails": Unit(
        _PUBLISHING,
        "test_a_failover_puts_nobody_in_who_is_known_to_fail",
        "it takes a third node, automation that only observes, and a store made anew",
    ),
    "nobody is let in who fails": Unit(
        _READMISSION,
        "test_who_just_fails_is_not_published_while_the_zone_may_name_anything",
        "it takes a failure in the moment before publishing, while the zone may name anything",
    ),
    "who is known to serve": Unit(
        _READMISSION,
        "test_who_is_not_known_to_serve_any_more_is_not_published_blindly",
        "nobody stays unknown there for long, and of who fails the doubts ask besides",
    ),
    "the last who serve are kept": Unit(
        _PUBLISHING,
        "test_an_endpoint_with_nobody_to_serve_it_keeps_who_is_away_while_another_is_published",
        _ONE_ENDPOINT,
    ),
    "who is named and away is kept": Unit(
        _PUBLISHING,
        "test_who_is_away_and_named_may_be_the_first_to_serve_again",
        f"{_ONE_ENDPOINT}, with a node that is kept there and then cut off: once in 600 hours",
    ),
    "who is just being closed is not kept": Unit(
        _PUBLISHING,
        "test_who_is_closed_is_not_kept_though_observers_have_not_noticed_yet",
        _ONE_ENDPOINT,
    ),
    "what may be repeated": Unit(
        _PUBLISHING,
        "test_what_only_repeats_ports_does_not_write_to_a_target_that_was_never_written_to",
        "who fails is left out of what is published besides, unless nobody is known to serve",
    ),
    "a restart is remembered": Unit(
        "tests/unit/core/test_a_restart_is_not_a_crash.py",
        "test_the_longer_grace_lasts_though_the_node_stops_reporting_the_restart",
        "a simulated node tells of its restart until its services are back",
    ),
    "away for the other endpoints": Unit(
        "tests/unit/core/test_configuration_changes.py",
        "test_a_new_endpoint_does_not_let_in_a_node_that_an_operator_took_out",
        "no endpoint is added there while it runs",
    ),
    "votes": Unit(
        _GATES,
        "test_each_gate_of_a_withdrawal[votes]",
        "no verdict has fewer votes than it needs, which is missed itself",
    ),
    "self trust": Unit(
        "tests/unit/core/test_nobody_to_fail_over_to.py",
        "test_when_everything_looks_down_the_observer_suspects_itself",
        "where nothing answers there is no successor either, which is missed itself",
    ),
    "a successor has answered since": Unit(
        "tests/unit/core/test_a_restart_is_not_a_crash.py",
        "test_silence_moves_a_node_only_after_the_other_has_answered",
        "what strikes several nodes there strikes them at once, and their verdicts turn together",
    ),
    "a successor is not behind": Unit(
        _REQUESTS,
        "test_force_lifts_the_lag_limit_and_the_refusal_says_so",
        "no mail is lost by it, and no rule broken: users miss what is new for a while",
    ),
    "last address": Unit(
        _REQUESTS,
        "test_the_last_serving_node_is_not_taken_out_even_by_force",
        "a successor serves, and who serves has an address there; it is missed itself",
    ),
    "claimed": Unit(
        _GATES,
        "test_each_gate_of_a_withdrawal[claimed]",
        "the token of the first order that is obeyed voids what came before as well",
    ),
    "claimed by its helper": Unit(
        _READMISSION,
        "test_a_helper_that_obeys_another_controller_keeps_its_node_out",
        "the token of the order to open is refused by who obeys another",
    ),
    "helper answers": Unit(
        _GATES,
        "test_each_gate_of_a_readmission[helper_answers]",
        "an order that no helper takes opens nothing, so the check from outside fails, and is missed itself",
    ),
    "well": Unit(
        _READMISSION,
        "test_a_node_that_fails_while_it_catches_up_goes_out_again",
        "who is not well does not answer from outside with its ports open, and that check is missed itself",
    ),
    "room to come back": Unit(
        _READMISSION,
        "test_a_node_that_was_full_comes_back_with_twice_the_room",
        "a simulated disk is full or empty, nothing between",
    ),
    "measured since the catch-up began": Unit(
        _READMISSION,
        "test_a_figure_from_before_the_catch_up_does_not_count",
        "it takes mail accepted in the last moments before, and hours of chance",
    ),
    "patience with who fails": Unit(
        "tests/unit/core/test_closing.py",
        "test_a_failed_node_stays_open_while_it_may_be_the_only_one_named_but_not_for_ever",
        "closed in haste is only who serves nobody",
    ),
    "rests between reconciliations": Unit(
        _RECONCILING,
        "test_a_firewall_that_loses_its_rules_at_once_is_set_again_only_now_and_then",
        "haste tires nobody there",
    ),
    "publishing again after a drain": Unit(
        "tests/unit/core/test_preemption.py",
        "test_a_drain_with_nobody_left_is_rolled_back_and_published_again_at_once",
        "what a rolled back drain does not publish is not as recorded, and reconciled; that is missed itself",
    ),
    "several stale claims": Unit(
        _ANOTHER,
        "test_one_stale_claim_may_be_a_late_order_three_are_somebody_else",
        "a late order of our own seldom meets a claim there, and never one of the same epoch",
    ),
    "believing a stale claim": Unit(
        _ANOTHER,
        "test_who_has_been_superseded_claims_no_more_and_does_nothing_not_even_when_started_anew",
        "two stores of one id never lead at the same time there",
    ),
    "closed for its DNS alone": Unit(
        _RECONCILING,
        "test_who_is_not_named_by_the_dns_of_a_store_made_anew_is_closed_when_another_is_known_to_serve",
        _SELDOM_ANEW,
    ),
    "put in late": Unit(
        _CLOSING,
        "test_a_node_just_let_in_is_not_closed_while_a_name_server_may_yet_take_what_puts_it_in",
        "it takes an update held up just while whom it lets in fails",
    ),
    "a full disk still serves": Unit(
        _RECONCILING,
        "test_a_full_disk_is_not_closed_again_while_nobody_is_known_to_serve_instead",
        "it takes a full disk and a new leader that knows nothing of others, which fail: once in 300 hours",
    ),
    "fence before publish when repeating": Unit(
        _RECONCILING,
        "test_ports_are_repeated_before_names_are",
        "both orders leave within the same second, and no clients are sent to closed ports for long",
    ),
}
"""Of these no simulation shows harm, and each says why."""


def lines() -> Iterator[tuple[str, str, str]]:
    """Guard, the one behind it or nothing, and by what they are missed."""
    for name, budget, _ in ALONE:
        yield name, "", f"{SEARCH} ({_bounds(budget)})"
    for name, budget in OUT_OF_REACH:
        yield name, "", f"{SEARCH} ({_bounds(budget)}, hosts out of reach)"
    for name, behind, budget, _ in BACKED:
        yield name, behind, f"{SEARCH} ({_bounds(budget)})"
    for hunt in HUNTS:
        yield hunt.guards[0], ", ".join(hunt.guards[1:]), f"{CHANCE} ({', '.join(hunt.kinds)})"
    for scenario, guards in MUTED.items():
        yield guards[0], ", ".join(guards[1:]), f"{SCENARIO} {scenario}"
    for path in FOUND:
        without = story_of(path.read_text()).without
        yield without[0], ", ".join(without[1:]), f"{CHANCE}, found/{path.name}"
    for name, unit in BY_UNIT_TESTS.items():
        yield name, "", f"{unit.file}, {unit.test}"


def _bounds(budget: Budget) -> str:
    return ", ".join(f"{count} {name}" for name, count in budget._asdict().items() if count)


def table() -> str:
    order = list(MUTANTS)
    rows = sorted(set(lines()), key=lambda row: (order.index(row[0]), row[1], row[2]))
    units = sorted(BY_UNIT_TESTS.items(), key=lambda item: order.index(item[0]))
    return "\n".join(
        [
            "# Guards, and what misses them\n",
            "Written by `test_every_guard_is_missed.py`.\n",
            "| taken away | and, behind it | missed by |",
            "|---|---|---|",
            *(f"| {guard} | {behind} | {by} |" for guard, behind, by in rows),
            "\nWhy no simulation misses what only a unit test does:\n",
            *(f"- {name}: {unit.why}" for name, unit in units),
            "",
        ]
    )


def test_every_guard_is_missed_itself() -> None:
    """Alone, or with another away that stands behind it; to stand behind another is not enough."""
    assert sorted(set(MUTANTS) - {name for name, _, _ in lines()}) == []


def test_the_table_says_what_the_tests_do() -> None:
    if os.environ.get("MAILWARD_UPDATE_GOLDEN"):
        TABLE.write_text(table())
    assert TABLE.read_text() == table()


def test_each_guard_that_only_a_unit_test_misses_has_a_reason() -> None:
    elsewhere = [name for name, _, by in lines() if not by.startswith("tests/")]
    assert [name for name, unit in BY_UNIT_TESTS.items() if not unit.why] == []
    assert sorted(set(BY_UNIT_TESTS) & set(elsewhere)) == []


@pytest.mark.proof
def test_with_every_guard_in_its_place_these_unit_tests_pass() -> None:
    done = run_of(*sorted({f"{unit.file}::{unit.test}" for unit in BY_UNIT_TESTS.values()}))
    assert done.returncode == 0, done.stdout[-1000:]


@pytest.mark.proof
@pytest.mark.parametrize("name", BY_UNIT_TESTS)
def test_exactly_that_unit_test_fails_without(name: str) -> None:
    unit = BY_UNIT_TESTS[name]
    done = run_of(f"{unit.file}::{unit.test}", without=name)
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert done.returncode == 1, done.stdout[-1000:]
    assert failed, done.stdout[-1000:]
    assert all(unit.test in line for line in failed)
    print(failed[0])


def run_of(*tests: str, without: str = "") -> "subprocess.CompletedProcess[str]":
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), *sys.path])
    muting = ["-p", "tests.simulation.muting"] if without else []
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *muting, *tests],
        env={**os.environ, "MAILWARD_WITHOUT": without, "PYTHONPATH": path},
        cwd=root, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

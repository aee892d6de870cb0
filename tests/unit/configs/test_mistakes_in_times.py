"""Times that contradict each other.

Each row: what is changed in the good file, and exactly what is said.
"""

import pytest

ROWS = {
    "a probe that may take longer than the time to the next": (
        ("interval_s: 2", "interval_s: 2, timeout_s: 3"),
        "line 17: services.imaps.probe.timeout_s: timeout_s (3 s) is longer than interval_s (2 s): probes"
        " of a hung"
        " server would pile up",
    ),
    "a probe more often than its default timeout allows": (
        ("interval_s: 2", "interval_s: 1"),
        "line 17: services.imaps.probe.interval_s: timeout_s (1.2 s) is longer than interval_s (1 s):"
        " probes of a"
        " hung server would pile up",
    ),
    "a grace above that of a known restart": (
        ("canary: {", "policy: {restart_grace_s: 30}\ncanary: {"),
        "line 18: policy.restart_grace_s: 30 s is longer than known_restart_grace_s (15 s): a restart the"
        " node"
        " reports would get less time than an unknown one",
    ),
    "a known restart's grace below the other": (
        ("canary: {", "policy: {known_restart_grace_s: 0.5}\ncanary: {"),
        "line 18: policy.known_restart_grace_s: restart_grace_s (1 s) is longer than known_restart_grace_s"
        " (0.5 s):"
        " a restart the node reports would get less time than an unknown one",
    ),
    "a hold-down above its maximum": (
        ("canary: {", "policy: {hold_down_s: 60, hold_down_max_s: 30}\ncanary: {"),
        "line 18: policy.hold_down_s: 60 s is longer than hold_down_max_s (30 s): the first hold-down"
        " would exceed"
        " its own maximum",
    ),
    "flaps forgotten during the hold-down": (
        ("canary: {", "policy: {flap_memory_s: 600}\ncanary: {"),
        "line 18: policy.flap_memory_s: hold_down_max_s (3600 s) is longer than flap_memory_s (600 s):"
        " flaps would"
        " be forgotten while the hold-down for them lasts",
    ),
    "caught up while too far behind": (
        ("canary: {", "policy: {caught_up_lag_s: 600}\ncanary: {"),
        "line 18: policy.caught_up_lag_s: 600 s is longer than max_lag_s (300 s): a node too far behind to"
        " take"
        " over would count as caught up",
    ),
    "reports fresh for less than two heartbeats": (
        ("canary: {", "policy: {report_fresh_s: 3}\ncanary: {"),
        "line 18: policy.report_fresh_s: 3 s is shorter than two heartbeats (4 s): one late report would"
        " make every"
        " verdict UNKNOWN",
    ),
    "an order that outlives the patience for its step": (
        ("canary: {", "policy: {order_timeout_s: 60}\ncanary: {"),
        "line 18: policy.order_timeout_s: 60 s is not shorter than step_patience_s (60 s): a step's only"
        " try could"
        " not end in time",
    ),
    "a retry above its maximum": (
        ("canary: {", "policy: {retry_s: 40}\ncanary: {"),
        "line 18: policy.retry_s: 40 s is longer than retry_max_s (30 s): the first wait would exceed its own"
        " maximum",
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_the_mistake_is_told_in_these_words(row, problems) -> None:  # type: ignore[no-untyped-def]
    edits = [part for part in row if isinstance(part, tuple)]
    said = tuple(part for part in row if isinstance(part, str))
    assert problems(*edits) == said

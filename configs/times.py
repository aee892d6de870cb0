"""Times that contradict each other: both are allowed, together they cannot work."""

from collections.abc import Iterator

from mailward.configs.problems import Path, Problem
from mailward.configs.schema import Config
from mailward.configs.values import plain

HEARTBEAT_S = 2.0

# (this one, must not be above that one, because)
NOT_ABOVE = (
    (
        "restart_grace_s",
        "known_restart_grace_s",
        "a restart the node reports would get less time than an unknown one",
    ),
    ("caught_up_lag_s", "max_lag_s", "a node too far behind to take over would count as caught up"),
    ("hold_down_s", "hold_down_max_s", "the first hold-down would exceed its own maximum"),
    ("hold_down_max_s", "flap_memory_s", "flaps would be forgotten while the hold-down for them lasts"),
    ("retry_s", "retry_max_s", "the first wait would exceed its own maximum"),
)


def contradictions(config: Config) -> Iterator[Problem]:
    """Every pair of times that cannot work together."""
    rules = config.policy
    for low, high, because in NOT_ABOVE:
        one, other = getattr(rules, low), getattr(rules, high)
        if one > other:
            yield _problem(config, low, high, f"is longer than {high} ({plain(other)} s): {because}")
    if rules.order_timeout_s >= rules.step_patience_s:
        yield _problem(
            config,
            "order_timeout_s",
            "step_patience_s",
            f"is not shorter than step_patience_s ({plain(rules.step_patience_s)} s): a step's only try could"
            " not end in time",
        )
    if rules.report_fresh_s < 2 * HEARTBEAT_S:
        yield Problem(
            ("policy", "report_fresh_s"),
            f"{plain(rules.report_fresh_s)} s is shorter than two heartbeats ({plain(2 * HEARTBEAT_S)} s):"
            f" one late"
            " report would make every verdict UNKNOWN",
        )
    for name, service in config.services.items():
        probe = service.probe
        here: Path = ("services", name, "probe")
        if probe.timeout_s > probe.interval_s:
            yield Problem(
                (*here, "timeout_s" if "timeout_s" in probe.model_fields_set else "interval_s"),
                f"timeout_s ({plain(probe.timeout_s)} s) is longer than interval_s"
                f" ({plain(probe.interval_s)} s):"
                " probes of a hung server would pile up",
                ((*here, "timeout_s"), (*here, "interval_s")),
            )


def _problem(config: Config, low: str, high: str, sentence: str) -> Problem:
    """Shown at the key the file gives: the other one is a default."""
    given = (
        low if low in config.policy.model_fields_set or high not in config.policy.model_fields_set else high
    )
    value = plain(getattr(config.policy, low))
    text = f"{value} s {sentence}" if given == low else f"{low} ({value} s) {sentence}"
    return Problem(("policy", given), text, (("policy", low), ("policy", high)))

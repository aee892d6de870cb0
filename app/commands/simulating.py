"""`mailward simulate`: what would this cluster do if …, by the code that would do it, in virtual time."""

import json
import logging
import secrets
from dataclasses import asdict, replace
from pathlib import Path

import typer

from mailward.app import terminal
from mailward.app.commands import rehearsing
from mailward.app.commands.apart import apart
from mailward.app.exits import Exit
from mailward.configs.loading import load
from mailward.configs.policy import policy_of
from mailward.model.policy import Automation, Deployment, Policy
from mailward.simulator.expectations import Expectation, expectations
from mailward.simulator.run import Outcome, play

AS_IF = "Played as if it acted; as configured (automation: {}) it only watches."


def simulate(
    file: Path, *, hours: float, seed: int | None, as_json: bool, scenario: Path | None = None
) -> Exit:
    """Faults one by one, then `hours` of all kinds at random, from one seed; or the story of `scenario`."""
    config = load(file, with_secrets=False)
    policy = policy_of(config)
    if policy.deployment is Deployment.STANDARD or len(policy.nodes) < 2:
        terminal.complain(f"{file}: one node alone has nothing to fail over to: there is nothing to simulate")
        return Exit.FAILED
    configured, policy = policy.automation, replace(policy, automation=Automation.ACT)
    as_if = "" if configured is Automation.ACT else AS_IF.format(configured)
    chosen = seed if seed is not None else secrets.randbelow(2**31)
    logging.disable(logging.CRITICAL)
    try:
        if scenario is not None:
            return rehearsing.play(scenario, config, policy, chosen, as_if, as_json=as_json)
        expected, outcome = expectations(policy, chosen), play(policy, chosen, hours)
    finally:
        logging.disable(logging.NOTSET)
    if as_json:
        typer.echo(
            json.dumps(
                {
                    **asdict(outcome),
                    **_summed(outcome),
                    "configured": configured,
                    "expected": [asdict(e) for e in expected],
                }
            )
        )
    else:
        typer.echo(_text(policy, expected, outcome))
        typer.echo(as_if, nl=bool(as_if))
    return Exit.FAILED if outcome.violations else Exit.DONE


def _summed(outcome: Outcome) -> dict[str, object]:
    return {
        "operations": sum(outcome.operations.values()),
        "operations_by_ending": dict(outcome.operations),
        "violations": len(outcome.violations),
        "violated": list(outcome.violations),
    }


def _text(policy: Policy, expected: tuple[Expectation, ...], outcome: Outcome) -> str:
    lines = [
        f"{policy.cluster}: what one fault would cost ({expected[0].runs} runs each; median, worst)",
        "",
        f"{'fault':<16}{'out of DNS after':>19}{'back after repair':>20}{'only there':>13}",
        *(_row(each) for each in expected),
        "",
        *_of_a_cluster(policy),
        f'A client may hold the old answer for its TTL, {expected[0].ttl_s:.0f} s, after that. "Only there"',
        "counts messages that had not reached another node (simulated replication takes",
        "half a second): they come with its return, if yours replicate.",
        "",
        f"{outcome.hours:.1f} hours of {sum(outcome.faults.values())} faults at random, seed {outcome.seed}: "
        f"{sum(outcome.operations.values())} operations,",
        f"{outcome.elections} elections, {len(outcome.violations)} rules broken, {outcome.excused} excused.",
        "To try more than is configured, its rules (grace, limits, ...) were drawn too.",
        *outcome.violations,
        *apart(outcome.outside, outcome.excused_by_reason, outcome.set_aside, terminal.width()),
    ]
    return "\n".join(lines)


def _of_a_cluster(policy: Policy) -> tuple[str, ...]:
    if policy.deployment is not Deployment.CLUSTER:
        return ()
    return (
        "Where it stays published nobody was promoted: the old one could not be stopped for",
        "certain (`agent` would switch it off), and mailward waits for a person's word.",
    )


def _row(each: Expectation) -> str:
    out = _pair(each.withdrawn_s, each.withdrawn_worst_s, "stays published")
    back = _pair(each.back_s, each.back_worst_s, "-")
    return f"{each.fault:<16}{out:>19}{back:>20}{each.at_risk:>13}"


def _pair(median_s: float | None, worst_s: float | None, never: str) -> str:
    return never if median_s is None or worst_s is None else f"{median_s:.1f} s, {worst_s:.1f} s"

"""The numbers of the policy: `model.policy.Rules` with bounds and reasons. Defaults stand in the model."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from mailward.configs.sections import Section
from mailward.configs.values import Count, Seconds, Switch, shown, wrong
from mailward.configs.windows import window_text
from mailward.model.fencing import Scope
from mailward.model.policy import Failback, Loss, Rules

_DAY = 86400.0


_SCOPES = (Scope.USERS, Scope.WRITES)
_NOT_THERE = {
    "power": "power is not there yet: write users, or writes where nodes share a store",
    "none": "none would let two serve: write users, or writes where nodes share a store",
}


def _scope(value: Any) -> Any:
    if value in _SCOPES:
        return value
    raise wrong(_NOT_THERE.get(str(value), f"{shown(value)} is not known here: write {' or '.join(_SCOPES)}"))


class RulesSection(Section):
    """Same names as the model's, all optional."""

    restart_grace_s: Annotated[float, Seconds(0, 60, "longer leaves clients at a dead server")] = Field(
        default=Rules.restart_grace_s,
        description="Seconds a service may be down before anything moves: a restart is not a crash.",
    )
    known_restart_grace_s: Annotated[float, Seconds(0, 900, "a restart that long is an outage")] = Field(
        default=Rules.known_restart_grace_s,
        description="The same while the node itself says that a unit is being restarted or a package"
        " upgraded.",
    )
    max_lag_s: Annotated[float, Seconds(1, _DAY, "mail that is a day behind is not a replica")] = Field(
        default=Rules.max_lag_s,
        description="Seconds the remaining nodes may be known to be behind and a failed node still be"
        " withdrawn without a human.",
    )
    caught_up_lag_s: Annotated[float, Seconds(0, 3600, "users would miss mail for that long")] = Field(
        default=Rules.caught_up_lag_s,
        description="Seconds behind at which a returning node counts as caught up.",
    )
    catch_up_wait_s: Annotated[float, Seconds(0, _DAY, "a node that needs longer wants a human")] = Field(
        default=Rules.catch_up_wait_s,
        description="Seconds a readmission waits until the node has caught up; then it is rolled back."
        " Dovecot retries failed mailboxes only every 300 s.",
    )
    stable_s: Annotated[float, Seconds(0, 3600, "longer leaves one node alone")] = Field(
        default=Rules.stable_s,
        description="Seconds a returning node must stay healthy before it is readmitted.",
    )
    hold_down_s: Annotated[float, Seconds(0, _DAY, "longer leaves one node alone")] = Field(
        default=Rules.hold_down_s,
        description="Seconds before a node that went out for the second time for the same cause is readmitted"
        " automatically; doubled with each further time.",
    )
    hold_down_max_s: Annotated[float, Seconds(0, 7 * _DAY, "after a week a human has looked")] = Field(
        default=Rules.hold_down_max_s,
        description="Seconds the growing hold-down never exceeds.",
    )
    flap_memory_s: Annotated[float, Seconds(1, 30 * _DAY, "older trouble says nothing")] = Field(
        default=Rules.flap_memory_s,
        description="Seconds after which a flap is forgotten.",
    )
    failovers_per_hour: Annotated[int, Count(1, 60, "failovers", "0 is `automation: observe`")] = Field(
        default=Rules.failovers_per_hour,
        description="Failovers in an hour, those by hand included, after which automation starts no more.",
    )
    report_fresh_s: Annotated[float, Seconds(0, 300, "an old report is no evidence")] = Field(
        default=Rules.report_fresh_s,
        description="Seconds without a new report after which another observer counts as UNKNOWN; a single"
        " one's own report is always new. At least two of the heartbeats, which come every 2 s.",
    )
    facts_fresh_s: Annotated[float, Seconds(9, 300, "helpers are asked every 4 s and have 4 s to answer")] = (
        Field(
            default=Rules.facts_fresh_s,
            description="Seconds for which what a helper said (units, free space) counts.",
        )
    )
    lag_fresh_s: Annotated[float, Seconds(2, 3600, "an old figure is no evidence")] = Field(
        default=Rules.lag_fresh_s,
        description="Seconds for which a measured lag counts; older is unknown, the worst lag.",
    )
    order_timeout_s: Annotated[float, Seconds(0.5, 60, "an answer that late is worth nothing")] = Field(
        default=Rules.order_timeout_s,
        description="Seconds an order may take; after that its outcome is UNKNOWN and is looked at anew.",
    )
    step_patience_s: Annotated[float, Seconds(1, 3600, "longer leaves an operation half done")] = Field(
        default=Rules.step_patience_s,
        description="Seconds a step is retried before the operation goes on without it or to a human.",
    )
    retry_s: Annotated[float, Seconds(0.1, 60, "faster is a load, slower is idle")] = Field(
        default=Rules.retry_s,
        description="Seconds before a failed order is repeated; doubled each time.",
    )
    retry_max_s: Annotated[float, Seconds(0.1, 3600, "slower is idle")] = Field(
        default=Rules.retry_max_s,
        description="Seconds between repeats at most.",
    )
    min_free_bytes: Annotated[int, Count(0, 1 << 50, "bytes", "that is more than a disk holds")] = Field(
        default=Rules.min_free_bytes,
        description="Free bytes below which a mail or queue disk counts as full: login works on a full"
        " disk, so"
        " probes do not notice.",
    )
    min_free_inodes: Annotated[int, Count(0, 1 << 40, "inodes", "that is more than a disk holds")] = Field(
        default=Rules.min_free_inodes,
        description="The same for inodes: a maildir needs one for each message.",
    )
    last_resort: Switch = Field(
        default=Rules.last_resort,
        description="`true` or `false`: readmit a healthy node that has not caught up when nobody else"
        " serves.",
    )
    takeover_after_s: Annotated[float, Seconds(1, 3600, "longer leaves everybody without mail")] = Field(
        default=Rules.takeover_after_s,
        description="In a cluster: seconds a failure must last before another node is promoted. A promotion"
        " can lose mail; a cut of some seconds is ridden out.",
    )
    rescue_s: Annotated[float, Seconds(0, 600, "longer leaves everybody without mail")] = Field(
        default=Rules.rescue_s,
        description="In a cluster: seconds for which what a stopped node still has is waited for, before"
        " another is promoted without it.",
    )
    demote_s: Annotated[float, Seconds(0, 600, "longer leaves everybody without mail")] = Field(
        default=Rules.demote_s,
        description="In a cluster: seconds for which a failover waits until a stopped node has run its"
        " `demote` hook, before another is promoted without that. Planned work waits for it.",
    )
    fence_scope: Annotated[Scope, BeforeValidator(_scope)] = Field(
        default=Rules.fence_scope,
        description="In a cluster: what must be stopped on the old node before another is promoted, `users`"
        " (its client ports) or `writes` (what writes mail as well, where nodes share a store).",
    )
    loss: Loss = Field(
        default=Rules.loss,
        description="In a cluster: how much accepted mail an automatic promotion may leave behind: `lossless`"
        " (none), `balanced` (of `max_lag_s`), `availability` (however much, if it is known).",
    )
    lease_s: Annotated[float | None, Seconds(5, 300, "longer stops nothing in time")] = Field(
        default=Rules.lease_s,
        description="In a cluster: seconds for which the serving node's kernel lets clients in, renewed all"
        " the time by the daemon beside it. One that is cut off refuses them by itself, and after two leases"
        " and a margin counts as stopped. Left out: no leases.",
    )
    failback: Failback = Field(
        default=Rules.failback,
        description="In a cluster: whether service goes back to the node of the highest priority: `never`,"
        " `manual` (status says when it could, and what to type), `window` (by itself, within"
        " `failback_window`), `auto` (by itself). Only what a failover has moved by itself goes back so, and"
        " at most once a day.",
    )
    failback_window: Annotated[str | None, BeforeValidator(window_text)] = Field(
        default=None,
        description="With `failback: window`: when, each day, as `02:00-04:00 Europe/Berlin`; UTC without a"
        " zone. Clocks of the daemon that leads count.",
    )
    failback_after_s: Annotated[float, Seconds(60, 7 * _DAY, "what has just failed fails again")] = Field(
        default=Rules.failback_after_s,
        description="Seconds for which the preferred node must have been fit to serve, and nobody have"
        " failed, before service goes back by itself.",
    )

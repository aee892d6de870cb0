"""`status` and `explain` as text for a terminal: pure, plain, and the same for the same values.

Colour is not decided here: `app.terminal` paints words like DOWN where a person looks on. Lines are
ASCII, except for what others wrote, and never longer than `width`.
"""

import textwrap
from datetime import tzinfo

from mailward.app.ladder_text import in_brief
from mailward.app.layout import LABEL, Lines, block, field, joined, wrapped
from mailward.app.operations import ENDINGS
from mailward.app.status import (
    Automation,
    EndpointStatus,
    EpisodeStatus,
    Explained,
    Explanations,
    HelperStatus,
    Mode,
    NodeStatus,
    ObserverStatus,
    OperationStatus,
    PortsStatus,
    PowerStatus,
    Progress,
    RequestStatus,
    ServiceStatus,
    Status,
    Suggestion,
    TargetStatus,
    WaitingRequest,
)
from mailward.app.wording import clock_time, duration
from mailward.model.decision import Answered, Condition, Finding
from mailward.model.fencing import FenceOutcome
from mailward.model.health import Vantage, Verdict
from mailward.model.policy import Deployment
from mailward.model.replication import Confidence, Lag
from mailward.model.state import Kind, Phase

GATE = 14
OLD_PROBE_S = 10.0
CERTIFICATE_WARNING_DAYS = 21.0
SHOWN_OPERATIONS = 3
SHOWN_EPISODES = 3
WITHDRAWN = "withdrawn"
"""Episodes which ended so are told as operations."""


def status(shown: Status, zone: tzinfo | None = None, width: int = 80) -> str:
    """One screen: what automation does, what is wrong, every node, DNS, operations, what to type."""
    cluster = shown.deployment is Deployment.CLUSTER
    out = _top(shown, zone, width)
    out += [line for cut in shown.cuts for line in field("Cut", cut, width, indent=0)]
    for node in shown.nodes:
        out += ["", *_node(node, shown.unbelieved, width)]
        out += field("fencing", in_brief(node.rungs), width) if cluster else []
    if shown.lags or shown.targets:
        out += [
            "",
            *_lags(shown.lags, width),
            *(line for each in shown.targets for line in _target(each, width)),
        ]
    if len(shown.observers) > 1:
        out += ["", *block("Observers", list(map(_observer, shown.observers)), width)]
    if shown.operation is not None:
        out += ["", *_running(shown.operation, width)]
    waiting = [_waiting(each) for each in shown.requests if each.due_unix_s is None]
    if waiting:
        out += ["", *block("Waiting", waiting, width)]
    out += _scheduled(shown, zone, width)
    told = [each for each in shown.episodes if each.ended != WITHDRAWN]
    episodes = [_episode(each, shown.at_unix_s) for each in told[:SHOWN_EPISODES]]
    if episodes:
        in_all = ", ".join(f"{key} {count}" for key, count in shown.tallies.items())
        out += ["", *block("Episodes", episodes + ([f"in all: {in_all}"] if in_all else []), width)]
    out += _bottom(shown.ended, shown.next, width)
    return joined([*out, _footer(shown, zone, width)])


def explanations(shown: Explanations, zone: tzinfo | None = None, width: int = 80) -> str:
    """Every (node, endpoint): what is seen, the row that matched, each gate's finding, what follows."""
    out = _top(shown, zone, width)
    for each in shown.explanations:
        out += ["", *_explained(each, shown.unbelieved, width)]
    if shown.operation is not None:
        out += ["", *_running(shown.operation, width)]
    out += _scheduled(shown, zone, width)
    return joined(out + _bottom(shown.ended, shown.next, width))


def _top(shown: Status | Explanations, zone: tzinfo | None, width: int) -> Lines:
    out = automation_line(shown.automation, shown.at_unix_s, zone, width)
    out += wrapped(shown.headline, width)
    return out + [line for notice in shown.notices for line in field("Notice", notice, width, indent=0)]


def _bottom(ended: tuple[OperationStatus, ...], suggestions: tuple[Suggestion, ...], width: int) -> Lines:
    last = block("Last", [_ended(each) for each in ended[:SHOWN_OPERATIONS]], width)
    return [*(["", *last] if last else []), "", *_next(suggestions, width)]


def _scheduled(shown: Status | Explanations, zone: tzinfo | None, width: int) -> Lines:
    """What people have asked for later, the next one first."""
    coming = sorted((e.due_unix_s, e) for e in shown.requests if e.due_unix_s is not None)
    told = []
    for due_unix_s, each in coming:
        at = clock_time(due_unix_s, zone, shown.at_unix_s)
        held = f"; as things are it would be refused: {each.waits_for}" if each.waits_for else ""
        soon = duration(max(0.0, each.due_in_s or 0.0))
        told.append(f"{each.kind} {each.node} at {at}, in {soon}, by {each.by} (request {each.id}){held}")
    return ["", *block("Scheduled", told, width)] if told else []


def request(
    shown: RequestStatus, width: int = 80, zone: tzinfo | None = None, now_unix_s: float = 0.0
) -> str:
    """What became of a request; `now_unix_s` is for times of today."""
    if shown.progress is Progress.SCHEDULED and shown.due_unix_s is not None:
        at = clock_time(shown.due_unix_s, zone, now_unix_s)
        dry = "Dry run: it would be " if shown.dry_run else ""
        name = f" (request {shown.id})" if shown.id else ""
        held = f"; as things are it would be refused then: {shown.detail}" if shown.detail else ""
        return joined(wrapped(f"{dry}{shown.progress} for {at}{name}{held}", width))
    if shown.dry_run:
        return joined(_dry_run(shown, width))
    told = _with_notes(shown.detail, shown.operation)
    detail = f": {told}" if told else ""
    out = wrapped(f"{shown.progress} (request {shown.id}){detail}", width)
    if shown.operation is not None and shown.operation.ending is None:
        out += _running(shown.operation, width)
    return joined(out)


_WOULD = {
    Progress.WAITING: "it would wait",
    Progress.REFUSED: "it would be refused",
    Progress.RUNNING: "it would start now",
}


def _dry_run(shown: RequestStatus, width: int) -> Lines:
    detail = f": {shown.detail}" if shown.detail else ""
    out = wrapped(f"Dry run: {_WOULD.get(shown.progress, 'it would end at once')}{detail}", width)
    if shown.operation is not None:
        out += field("first", f"step {shown.operation.step} of a {_named(shown.operation)}", width)
    out += block("sending", shown.would_send, width, indent=2)
    for each in shown.explanations if shown.progress in (Progress.WAITING, Progress.REFUSED) else ():
        out += ["", *_explained(each, "", width)]
    return out


def automation_line(now: Automation, at_unix_s: float, zone: tzinfo | None, width: int) -> Lines:
    text = f"Automation: {now.mode}"
    if now.mode is Mode.PAUSED and now.until_unix_s is not None:
        left = duration(now.until_unix_s - at_unix_s)
        text += f" by {now.by} until {clock_time(now.until_unix_s, zone, at_unix_s)} ({left} more)"
    if now.reason:
        text += f": {now.reason}"
    return wrapped(text, width, hang=len("Automation: "))


def _node(node: NodeStatus, unbelieved: str, width: int) -> Lines:
    troubled = any(each.verdict is not Verdict.UP for each in node.services)
    phases = {each.endpoint: _phase(each, unbelieved, evidence=not troubled) for each in node.endpoints}
    alike = len(set(phases.values())) == 1
    shared = f": {next(iter(phases.values()))}" if alike else ""
    out = wrapped(f"{node.node} ({node.site}){shared}", width, hang=LABEL)
    for name, phase in phases.items() if not alike else ():
        out += field(name, phase, width)
    out += block("services", _services(node.services), width, indent=2)
    recorded = _NOT_BELIEVED if unbelieved and (node.ports or node.power) else ""
    out += field("ports", f"{recorded}{_ports(node)}", width)
    if node.fenced and _remarkable(node.helper):
        out += field("helper", _helper(node.helper), width)
    return out


_NOT_BELIEVED = "recorded, but not believed: "


def _phase(each: EndpointStatus, unbelieved: str, evidence: bool) -> str:
    if each.phase is None:
        return f"no phase recorded; now {each.condition}"
    since = f" for {duration(each.for_s)}" if each.for_s is not None else ""
    phase = f"{each.phase.value.upper()}{since}"
    if each.detail:
        phase += f" ({each.detail})"
    seen = f"now {each.condition}"
    if evidence and each.condition is not Condition.HEALTHY and each.evidence:
        seen += f": {each.evidence}"
    return f"{seen}; {_NOT_BELIEVED}{phase}" if unbelieved else f"{phase}; {seen}"


def _services(services: tuple[ServiceStatus, ...]) -> Lines:
    """All that are up in one breath, then those that are not, alike ones together; never empty."""
    told: Lines = []
    for inside in (Vantage.DIRECT, Vantage.HELPER):
        up = [each for each in services if each.verdict is Verdict.UP and each.vantage is inside]
        behind = " (behind closed ports)" if inside is Vantage.HELPER else ""
        told += [", ".join(f"{each.service} UP{_took(each)}" for each in up) + behind] if up else []
    ailing: dict[str, list[str]] = {}
    for each in services:
        if each.verdict is not Verdict.UP:
            ailing.setdefault(_ailing(each), []).append(each.service)
    told += [f"{', '.join(names)} {text}" for text, names in ailing.items()]
    told += [
        f"{each.service}: certificate valid for {each.certificate_days:.0f} more days"
        for each in services
        if each.certificate_days is not None and each.certificate_days < CERTIFICATE_WARNING_DAYS
    ]
    told += [
        f"{each.service}: {name} says {verdict}"
        for each in services
        for name, verdict in sorted(each.verdicts.items())
        if verdict is not each.verdict
    ]
    return told or ["none"]


def _took(each: ServiceStatus) -> str:
    doubt = f" (last probe: {each.failure})" if each.failure else ""
    return f"{f' {each.took_s * 1000:.0f} ms' if each.took_s is not None else ''}{doubt}"


def _ailing(each: ServiceStatus) -> str:
    since = f" for {duration(each.for_s)}" if each.for_s is not None else ""
    old = each.probe_age_s is not None and each.probe_age_s > OLD_PROBE_S
    probed = f", probed {duration(each.probe_age_s or 0)} ago" if old else ""
    inside = " behind closed ports" if each.vantage is Vantage.HELPER else ""
    why = each.evidence or each.failure
    return f"{each.verdict}{since}{inside}{': ' + why if why else ''}{probed}"


def _ports(node: NodeStatus) -> str:
    if node.power is not None and node.power.confirmed:
        return _off(node.power)
    if not node.fenced:
        return "no helper is configured: mailward cannot close them"
    ordered = _ordered(node.ports) if node.ports else "no order yet, as the node has them"
    ordered += _leased(node.helper)
    if _remarkable(node.helper) or node.helper.age_s is None:
        return ordered
    return f"{ordered}; helper answered {duration(node.helper.age_s)} ago"


def _off(power: PowerStatus) -> str:
    return f"none is open: mailward switched the node off {duration(power.for_s)} ago, read back off"


def _leased(helper: HelperStatus) -> str:
    if helper.lease_ran_out:
        return "; their lease HAS RUN OUT, clients are refused"
    if helper.lease_s is None:
        return ""
    ago_s = helper.renewed_ago_s
    return f"; leased, {'nobody knows since when' if ago_s is None else f'renewed {duration(ago_s)} ago'}"


def _ordered(ports: PortsStatus) -> str:
    by_state: dict[str, list[str]] = {}
    for service, state in ports.ports.items():
        by_state.setdefault(state, []).append(service)
    text = "; ".join(
        f"all {state}" if len(by_state) == 1 else f"{state}: {' '.join(services)}"
        for state, services in sorted(by_state.items())
    )
    if ports.fence is FenceOutcome.CONFIRMED:
        how = f" ({ports.detail})" if ports.detail else ""
        shut = "" if set(by_state) == {"open"} else f", CONFIRMED for {ports.scope}{how}"
        return f"{text} for {duration(ports.for_s)}{shut}"
    detail = f": {ports.detail}" if ports.detail else ""
    return f"{text} ordered {duration(ports.for_s)} ago, but {ports.fence}{detail}"


def _remarkable(helper: HelperStatus) -> bool:
    """Whether the helper says anything but that it is there."""
    firewall = helper.forced_open or helper.firewall_differs
    at_work = helper.package_manager or helper.units or helper.low_space
    return bool(helper.age_s is None or helper.error or firewall or at_work)


def _helper(helper: HelperStatus) -> str:
    if helper.age_s is None:
        told = [f"does not answer: {helper.error}" if helper.error else "has never answered"]
    elif helper.error:
        told = [f"does not answer: {helper.error}; last heard {duration(helper.age_s)} ago"]
    else:
        told = [f"answered {duration(helper.age_s)} ago"]
    told += ["ports FORCED OPEN by root"] if helper.forced_open else []
    told += ["the firewall DIFFERS from the order"] if helper.firewall_differs else []
    told += ["a package manager is at work"] if helper.package_manager else []
    told += [f"{unit} {state}" for unit, state in helper.units.items()]
    told += list(helper.low_space)
    return "; ".join(told)


def _lags(lags: tuple[Lag, ...], width: int) -> Lines:
    """Alike ones in one breath, for of most there is nothing to say."""
    by_figure: dict[str, list[str]] = {}
    for lag in lags:
        by_figure.setdefault(_lag(lag), []).append(f"{lag.source} to {lag.target}")
    return block("Lag", [f"{', '.join(ways)}: {figure}" for figure, ways in by_figure.items()], width)


def _lag(lag: Lag) -> str:
    figure = "unknown" if lag.seconds is None else duration(lag.seconds)
    if lag.mailboxes:
        figure += f", {lag.mailboxes} {'mailbox waits' if lag.mailboxes == 1 else 'mailboxes wait'}"
    if lag.failed_mailboxes:
        figure += f", {lag.failed_mailboxes} failed"
    if lag.confidence is Confidence.STALE:
        figure += f" (STALE, {duration(lag.age_s)} old)"
    if lag.confidence is Confidence.UNKNOWN and lag.detail:
        figure += f" ({lag.detail})"
    return figure


def _target(each: TargetStatus, width: int) -> Lines:
    if each.published is None:
        told = ["not known: an update was sent and is not confirmed" if each.token else
                "nothing published by mailward yet"]  # fmt: skip
    else:
        told = [rrset for rrset in each.published if not rrset.endswith("(none)")] or ["NO ADDRESSES"]
    if each.token:
        when = f", {duration(each.for_s)} ago" if each.for_s is not None else ""
        told.append(f"{'taken' if each.published is not None else 'sent'} under token {each.token}{when}")
    if not each.claimed:
        told.append(f"NOT CLAIMED{': ' + each.detail if each.detail else ''}")
    elif each.detail:
        told.append(each.detail)
    return block(f"DNS {each.target}", told, width)


def _waiting(each: WaitingRequest) -> str:
    held = f" ({each.waits_for})" if each.waits_for else ""
    return f"{each.kind} {each.node} by {each.by}, {duration(each.waiting_s)}{held}"


def _observer(each: ObserverStatus) -> str:
    heard = "has not reported" if each.report_age_s is None else f"reported {duration(each.report_age_s)} ago"
    told = f"does not count: {each.void}" if each.void else heard
    who = f"{each.observer}{f' ({each.site})' if each.site else ''}:{' leads;' if each.leads else ''}"
    return f"{who} {told}{f'; not connected to directly: {each.apart}' if each.apart else ''}"


def _running(operation: OperationStatus, width: int) -> Lines:
    told = [
        f"{_named(operation)}: step {operation.step} for {duration(operation.step_for_s)}, "
        f"running for {duration(operation.running_s)} ({operation.reason})"
    ]
    for each in operation.attempts:
        detail = f": {each.detail}" if each.detail else ""
        tries = f" after {each.tries} tries" if each.tries > 1 else ""
        told.append(f"{each.action} {each.result or 'no answer yet'}{tries}{detail}")
    waits = [f"waits: {operation.waits_for}"] if operation.waits_for else []
    parts = [f"so far: {_parts(operation)}"] if len(operation.marks) > 1 else []
    return block("Running", [*told, *waits, *operation.notes, *parts], width)


def _parts(operation: OperationStatus) -> str:
    """How long each part took."""
    return ", ".join(f"{mark.part} {duration(mark.lasted_s)}" for mark in operation.marks)


def _named(operation: OperationStatus) -> str:
    to = f" to {operation.to}" if operation.to else ""
    if operation.to == operation.node:
        to = ", on its way back" if operation.ending is None else ""
    return f"{operation.kind} {operation.node or 'DNS'}{to}"


def _with_notes(detail: str, operation: OperationStatus | None) -> str:
    """What an operation came to, with the notes of one that is over which that does not repeat."""
    over = operation is not None and operation.ending is not None
    notes = operation.notes if operation is not None and over else ()
    return "; ".join([*([detail] if detail else []), *(note for note in notes if note not in detail)])


def _ended(each: OperationStatus) -> str:
    ending = ENDINGS[each.ending] if each.ending else "running"
    told = _with_notes(each.detail, each)
    detail = f": {told}" if told else ""
    ago = f"{duration(each.ended_ago_s or 0)} ago"
    moves = each.kind in (Kind.FAILOVER, Kind.SWITCHOVER) and len(each.marks) > 1
    parts = f"; {_parts(each)}" if moves else ""
    return f"{ago}: {_named(each)} {ending} in {duration(each.running_s)} ({each.reason}){detail}{parts}"


def _episode(each: EpisodeStatus, at_unix_s: float) -> str:
    would = f"; acting, it would have been a {each.would}" if each.would else ""
    if not each.ended:
        seen = f", the node reports: {each.seen}" if each.seen else ""
        return f"now: {each.node} fails for {duration(each.lasted_s)}{seen}{would}"
    ago = duration(max(0.0, at_unix_s - each.began_unix_s))
    return f"{ago} ago: {each.ended} of {each.node}, {duration(each.lasted_s)}{would}"


def _explained(each: Explained, unbelieved: str, width: int) -> Lines:
    phase = each.phase.value.upper() if each.phase else "no phase"
    since = f" for {duration(each.for_s)}" if each.for_s is not None else ""
    if unbelieved and each.phase is not None:  # row and gates go by what is not believed
        head = f"now {each.condition}; {_NOT_BELIEVED}{phase}{since}"
        seen = field("seen", each.evidence or "nothing", width)
        return [*wrapped(f"{each.node} {each.endpoint}: {head}", width), *seen, *field("so", each.so, width)]
    out = wrapped(f"{each.node} {each.endpoint}: {phase}{since}; now {each.condition}", width)
    out += field("seen", each.evidence or "nothing", width)
    out += field("row", f"{each.row} ({each.row_name}), wants: {each.goal}", width)
    if each.findings:
        back = each.phase in (Phase.OUT, Phase.REJOINING)
        what = "promoting" if each.phase is Phase.STANDBY else "readmitting" if back else "withdrawing"
        out += field("gates", f"of {what} it:", width)
    for finding in each.findings:
        out += _finding(finding, width)
    if each.power is not None and each.power.confirmed:
        out += field("ports", _off(each.power), width)
    elif each.rungs and each.ports and set(each.ports.ports.values()) == {"closed"}:
        out += field("ports", _ordered(each.ports), width)
    out += field("fencing", in_brief(each.rungs), width) if each.rungs else []
    return out + field("so", each.so, width)


_ANSWERS = {Answered.YES: "yes", Answered.NO: "NO", Answered.UNKNOWN: "UNKNOWN"}


def _finding(finding: Finding, width: int) -> Lines:
    head = f"  {_ANSWERS[finding.answer]:<{LABEL - 2}}{finding.gate:<{GATE}} "
    hang = len(head) if len(head) <= LABEL + GATE + 1 else LABEL
    out = textwrap.wrap(
        finding.reason, width, initial_indent=head, subsequent_indent=" " * hang, break_on_hyphens=False
    ) or [head.rstrip()]
    if finding.command and finding.answer is not Answered.YES:
        out.append(f"{' ' * LABEL}type: {finding.command}")
    return out


def _next(suggestions: tuple[Suggestion, ...], width: int) -> Lines:
    longest = max((len(each.command) for each in suggestions), default=0)
    column = min(LABEL + longest + 2, width - 28)
    out: Lines = []
    for position, each in enumerate(suggestions):
        label = f"{'' if position else 'Next':<{LABEL}}{each.command}"
        out += field(label, each.why, width, indent=0, column=column)
    return out


def _footer(shown: Status, zone: tzinfo | None, width: int) -> str:
    at = clock_time(shown.at_unix_s, zone, shown.at_unix_s)
    deployment = f", {shown.deployment}" if shown.deployment else ""
    name = f"{shown.cluster}{deployment}; " if shown.cluster else ""
    text = f"{name}observer {shown.observer}, mailward {shown.version}, up {duration(shown.uptime_s)}, {at}"
    return textwrap.shorten(text, width, placeholder="...")

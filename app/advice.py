"""What is wrong in a sentence, and what to type next: the two things a reader at night looks for.

Pure. It invents no judgement: it words phases, conditions and findings which the core has given.
"""

from collections.abc import Mapping
from types import MappingProxyType

from mailward.app import belief, observers
from mailward.app.live import STALLED_S, View
from mailward.app.status import (
    Automation,
    EndpointStatus,
    Mode,
    NodeStatus,
    OperationStatus,
    Suggestion,
)
from mailward.app.wording import WHOLE, duration, listed, printable
from mailward.controller.core.cluster.takeover import BY_HAND, REFUSES
from mailward.controller.core.decide import who_may_go_back
from mailward.controller.core.leadership import with_another_configuration
from mailward.model.decision import Answered, Condition, Decision, Explanation, Finding, Goal
from mailward.model.policy import Automation as Configured
from mailward.model.policy import Deployment
from mailward.model.snapshot import Snapshot, Standing
from mailward.model.state import Cause, Ending, Pause, Phase, Step

SERVES = (Phase.IN_SERVICE,)
WELL = (Condition.HEALTHY, Condition.DEGRADED)
BROKEN = (Condition.FAILED, Condition.UNREACHABLE)
MOST_SUGGESTIONS = 4

WAITING_GATES = frozenset({"grace", "stable", "hold-down", "one-operation"})
"""Gates which time alone answers: while one of these forbids, automation waits and is not HELD."""

MODE_GATES = frozenset({"automation", "pause"})
"""Gates which line one has answered already."""

OBSERVING_GATES = MODE_GATES | {"claimed"}
"""While only observing, nothing is claimed until somebody asks for something, or who serves has closed."""


def not_ready(view: View) -> str:
    """Why the daemon cannot do its work now; '' if it can."""
    if view.not_ready:
        return printable(view.not_ready, WHOLE)
    if view.snapshot is None or view.decision is None:
        return "starting: nothing has been decided yet"
    stalled_s = view.snapshot.now.age_s(view.now)
    if stalled_s > STALLED_S:
        return f"the loop has not gone round for {duration(stalled_s)}"
    return printable(view.decision.fatal)


def automation(view: View) -> Automation:
    """Line one: the first of not ready, paused, observing, held, acting that is true."""
    why = not_ready(view)
    if why or view.snapshot is None or view.decision is None:
        return Automation(Mode.HELD, why)
    superseded = belief.superseded(view)
    if superseded:
        return Automation(Mode.HELD, printable(superseded, WHOLE))
    pause = pause_in_force(view.snapshot)
    if pause is not None:
        return Automation(Mode.PAUSED, printable(pause.reason), printable(pause.owner), pause.until_wall_s)
    if view.snapshot.standing is Standing.OBSERVING_ONLY:
        return Automation(Mode.OBSERVING, "this controller runs on a mail node with the local store")
    if view.snapshot.policy.automation is Configured.OBSERVE:
        return Automation(Mode.OBSERVING, "it changes nothing by itself (automation: observe)")
    by_hand = opened_by_hand(view.decision)
    if by_hand is not None:
        return Automation(Mode.HELD, printable(by_hand[1].reason, WHOLE), node=by_hand[0].node)
    held = first_held(view.decision)
    if held is not None:
        each, finding = held
        why = f"cannot {each.goal} {each.node}: {printable(finding.reason)}"
        if finding.gate == "successor" and finding.command.startswith("mailward readmit "):
            why += f"; type: {printable(finding.command)}"
        return Automation(Mode.HELD, why, node=each.node)
    if needs_a_person(view.decision.waits_for):
        running = view.decision.state.operation
        return Automation(
            Mode.HELD, printable(view.decision.waits_for, WHOLE), node=running.node if running else ""
        )
    if view.snapshot.standing is Standing.FOLLOWING:
        return _following(view.snapshot, view.observer)
    return _voting(view.snapshot, "")


def needs_a_person(waits_for: str) -> str:
    """The command that only a person can give, of what an operation waits for; '' where it waits by
    itself."""
    _, _, command = waits_for.partition(": mailward ")
    return f"mailward {command}" if command else ""


def _voting(snapshot: Snapshot, reason: str) -> Automation:
    """It acts, unless too few are there to agree on anything."""
    why = observers.too_few(snapshot)
    return Automation(Mode.HELD, printable(why, WHOLE)) if why else Automation(Mode.ACTING, reason)


TILTED = "does not trust its own clock just now (it was held up, or a clock jumped)"


def _following(snapshot: Snapshot, observer: str) -> Automation:
    """Who does not trust its own clock steps down; where nobody else leads, nobody does meanwhile."""
    own = next((view.report for view in snapshot.observers if view.name == observer), None)
    tilted = len(snapshot.policy.observers) == 1 or (own is not None and own.tilted)
    leader = snapshot.leader
    if leader is not None and leader.name != observer:
        doubt = f"; this daemon {TILTED}" if tilted else ""
        return _voting(snapshot, f"{printable(leader.name)} leads{doubt}")
    if tilted:
        return Automation(Mode.HELD, f"this daemon {TILTED}, and looks again in a few seconds")
    if leader is not None:
        return Automation(
            Mode.HELD, "an earlier process of this daemon still has the lead; its session runs out"
        )
    return Automation(Mode.HELD, "nobody leads just now")


def pause_in_force(snapshot: Snapshot) -> Pause | None:
    pause = snapshot.pause
    return pause if pause is not None and pause.in_force(snapshot.now) else None


def opened_by_hand(decision: Decision) -> tuple[Explanation, Finding] | None:
    """Who serves by root's hand, where one node is to serve and another does."""
    found = ((each, finding) for each in decision.explanations for finding in each.findings)
    return next(((e, f) for e, f in found if f.gate == BY_HAND and f.answer is not Answered.YES), None)


def first_held(decision: Decision) -> tuple[Explanation, Finding] | None:
    """The first goal that is forbidden by more than time, with the first gate that forbids it."""
    for each in decision.explanations:
        forbidding = [f for f in each.findings if f.answer is not Answered.YES]
        if each.goal is Goal.STAY or not forbidding or any(f.gate in WAITING_GATES for f in forbidding):
            continue
        return each, forbidding[0]
    return None


def answering(decision: Decision | None) -> dict[str, Finding]:
    """Who answers clients beside the one that serves, by node."""
    return {
        each.node: finding
        for each in (decision.explanations if decision is not None else ())
        for finding in each.findings
        if finding.gate == REFUSES and finding.answer is not Answered.YES
    }


def headline(
    nodes: tuple[NodeStatus, ...], operation: OperationStatus | None, unbelieved: str,
    as_well: Mapping[str, Finding] = MappingProxyType({}),
) -> str:  # fmt: skip
    """What is wrong, and who serves, in a sentence or two. Nodes with the same trouble share one. `as_well`:
    who answers clients beside who serves."""
    troubles: dict[str, list[str]] = {}
    for node in nodes:
        text = _seen(node) if unbelieved else _trouble(node, operation)
        if node.node in as_well:
            text = f"{as_well[node.node].reason}."
        if text:
            troubles.setdefault(text, []).append(node.node)
    standing_by = [node.node for node in nodes if any(e.phase is Phase.STANDBY for e in node.endpoints)]
    if not troubles and not unbelieved and standing_by and len(standing_by) == len(nodes):
        return f"Nobody is in service: {listed(standing_by)} stand by. Type: mailward switchover NODE."
    if not troubles and not unbelieved and standing_by:
        serving = [node.node for node in nodes if node.node not in standing_by]
        stand = "stands" if len(standing_by) == 1 else "stand"
        return f"{listed(serving)} serves, {listed(standing_by)} {stand} by, and all are healthy."
    if not troubles and not unbelieved:
        return f"All {len(nodes)} nodes are in service and healthy."
    said = [
        f"{listed(names)} {text}" if len(names) == 1 else f"{listed(names)}, each: {text}"
        for text, names in troubles.items()
    ]
    if operation is not None and operation.step in _TOLD_BY_DNS and operation.waits_for:
        said.append(f"DNS is not yet as it should be: {printable(operation.waits_for, 160)}.")
    if unbelieved:
        said.insert(0, f"{unbelieved[0].upper()}{unbelieved[1:]}: the probes alone count.")
    serving = [node.node for node in nodes if _serves(node, unbelieved)]
    if serving:
        who = f"{listed(serving)} {'serves' if len(serving) == 1 else 'serve'}."
    elif any(_may_serve(node, unbelieved) for node in nodes):
        who = "Nobody knows whether any node serves."
    else:
        who = "No node is seen to serve." if unbelieved else "No node serves well."
    return " ".join([*said, who])


_TOLD_BY_DNS = (Step.PUBLISH, Step.VERIFY)


def takes_clients(each: EndpointStatus, unbelieved: str) -> bool:
    """What a load balancer is told: in service, as far as what is recorded counts, and not known to be
    broken."""
    return (bool(unbelieved) or each.phase in SERVES) and each.condition not in BROKEN


def healthy(nodes: tuple[NodeStatus, ...], now: Automation) -> bool:
    well = all(each.condition is Condition.HEALTHY and _in_place(each) for n in nodes for each in n.endpoints)
    serves = any(each.phase is Phase.IN_SERVICE for n in nodes for each in n.endpoints)
    return bool(nodes) and well and serves and now.mode in (Mode.ACTING, Mode.OBSERVING)


def _in_place(each: EndpointStatus) -> bool:
    return each.phase in (Phase.IN_SERVICE, Phase.STANDBY)


def _serves(node: NodeStatus, unbelieved: str) -> bool:
    return bool(node.endpoints) and all(
        takes_clients(each, unbelieved) and each.condition in WELL for each in node.endpoints
    )


def _may_serve(node: NodeStatus, unbelieved: str) -> bool:
    return bool(node.endpoints) and all(takes_clients(each, unbelieved) for each in node.endpoints)


def worst(endpoints: tuple[EndpointStatus, ...]) -> EndpointStatus | None:
    """The endpoint that deserves the sentence: out of service first, then the worst condition."""
    ranked = sorted(endpoints, key=lambda each: (_in_place(each), _worst_seen(each)))
    return ranked[0] if ranked else None


def _worst_seen(each: EndpointStatus) -> tuple[int, str]:
    order = (*BROKEN, Condition.UNKNOWN, Condition.DEGRADED, Condition.HEALTHY)
    return order.index(each.condition), each.endpoint


def _seen(node: NodeStatus) -> str:
    """Like `_trouble`, of what is seen alone."""
    each = min(node.endpoints, key=_worst_seen, default=None)
    if each is None or each.condition is Condition.HEALTHY:
        return ""
    return f"{_AILS[each.condition].removesuffix(_PUBLISHED)}{_because(each.evidence)}."


def _trouble(node: NodeStatus, operation: OperationStatus | None) -> str:
    """The rest of a sentence that begins with the node's name; '' if all is well."""
    each = worst(node.endpoints)
    if operation is not None and operation.node == node.node:
        return f"is in the middle of a {operation.kind} (step {operation.step})."
    if each is None or (_in_place(each) and each.condition is Condition.HEALTHY):
        return ""
    if each.phase is None:
        return "has no recorded phase yet."
    if _in_place(each):
        return f"{_AILS[each.condition]}{_because(each.evidence)}."
    phase = "out of service" if each.phase is Phase.OUT else each.phase.value
    off = " (mailward has switched it off)" if _is_off(node) else ""
    return f"is {phase} for {duration(each.for_s or 0)}{_because(each.detail or each.evidence)}{off}."


_PUBLISHED = " and is still published"
_AILS = {
    Condition.FAILED: f"fails{_PUBLISHED}",
    Condition.UNREACHABLE: f"cannot be reached{_PUBLISHED}",
    Condition.UNKNOWN: "is in a state nobody knows",
    Condition.DEGRADED: "is degraded",
    Condition.HEALTHY: "is healthy",
}


def _because(why: str) -> str:
    said = printable(why.rstrip("."), 100)
    return f": {said.removesuffix('.')}" if said else ""  # of what was cut off the sentence's dot is the last


def suggestions(
    view: View, nodes: tuple[NodeStatus, ...], now: Automation, ended: tuple[OperationStatus, ...]
) -> tuple[Suggestion, ...]:
    """What to type next, the most pressing first; never empty."""
    found: list[Suggestion] = []
    why = not_ready(view)
    if "gives us no right" in why:
        found.append(Suggestion("mailward zookeeper grant", "on the host of a daemon that may lead"))
    elif "mailward resume" in why:
        found.append(Suggestion("mailward resume", "lift a pause that nobody understands"))
    elif "ZooKeeper" in why:
        more_than_half = "on the servers' hosts: more than half must run and reach each other"
        found.append(Suggestion("systemctl status zookeeper", more_than_half))
    if why:
        found.append(Suggestion("journalctl -u mailward -n 50", "what the daemon says"))
    if view.snapshot is not None and with_another_configuration(view.snapshot):
        found.append(
            Suggestion("systemctl restart mailward", "once its configuration is that of the other daemons")
        )
    if now.mode is Mode.PAUSED:
        found.append(Suggestion("mailward resume", "let automation act again"))
    if view.decision is not None and belief.superseded(view):
        store = view.decision.state.store_id
        anew = "if no other controller runs: with the store moved away, make it anew"
        found.append(Suggestion(f"mailward state init --adopt {store}", anew))
    else:
        command = needs_a_person(view.decision.waits_for) if view.decision is not None else ""
        if command:
            found.append(Suggestion(printable(command), "only if you have seen to it yourself"))
        by_hand = opened_by_hand(view.decision) if view.decision is not None else None
        if by_hand is not None:
            where = f"as root on {by_hand[0].node}, if it is not to serve"
            found.append(Suggestion(by_hand[1].command, where))
        for name, finding in answering(view.decision).items():
            where = f"as root on {name}, if mailward cannot reach it: two nodes serve"
            found.append(Suggestion(finding.command, where))
        found += _for_held(view.decision)
        found += _for_handed_over(nodes, ended)
        found += [each for node in nodes for each in _for_node(node)]
    if view.snapshot is not None:
        found += _to_go_back(view.snapshot)
    if now.mode is Mode.OBSERVING:
        found.append(Suggestion("mailward explain", "what it would do, and why"))
    if not found:
        cluster = view.snapshot is not None and view.snapshot.policy.deployment is Deployment.CLUSTER
        if cluster:
            found.append(Suggestion("mailward switchover NODE", "before work on the node that serves"))
        else:
            found.append(Suggestion("mailward drain NODE", "before planned work on a node"))
        found.append(Suggestion("mailward explain", "why everything is as it is"))
    unique = {each.command: each for each in reversed(found)}
    return tuple(each for each in found if unique.pop(each.command, None) is not None)[:MOST_SUGGESTIONS]


def _to_go_back(snapshot: Snapshot) -> list[Suggestion]:
    """To the node that is preferred, where one serves."""
    node, held = who_may_go_back(snapshot)
    if not node:
        return []
    why = f"{node} is preferred, and could serve"
    why += f"; by itself: {printable(held, 160)}" if held else ""
    return [Suggestion(f"mailward switchover {node}", why)]


def _for_held(decision: Decision | None) -> list[Suggestion]:
    found = []
    for each in decision.explanations if decision else ():
        if not each.held:
            continue
        found += [
            Suggestion(printable(f.command), f"{f.gate}: {printable(f.reason, 100)}")
            for f in each.findings
            if f.answer is not Answered.YES and f.command and f.gate != "pause"
        ]
        by_hand = "readmit" if each.goal is Goal.READMIT else "failover"
        found.append(Suggestion(f"mailward explain {each.node}", "every gate, with its reason"))
        found.append(
            Suggestion(f"mailward {by_hand} {each.node} --dry-run", "what doing it by hand would do")
        )
    return found


def _for_handed_over(nodes: tuple[NodeStatus, ...], ended: tuple[OperationStatus, ...]) -> list[Suggestion]:
    away = {node.node for node in nodes if not all(_in_place(each) for each in node.endpoints)}
    newest: dict[str, OperationStatus] = {}
    for operation in ended:
        newest.setdefault(operation.node, operation)
    return [
        Suggestion(f"mailward explain {name}", f"{operation.kind} was handed over: {operation.detail}")
        for name, operation in newest.items()
        if operation.ending is Ending.HANDED_OVER and name in away
    ]


def _for_node(node: NodeStatus) -> list[Suggestion]:
    each = worst(node.endpoints)
    if each is None or (_in_place(each) and each.condition is Condition.HEALTHY):
        return []
    by_hand = each.phase in (Phase.OUT, Phase.DRAINING) and each.cause is Cause.OPERATOR
    found: list[Suggestion] = []
    if _is_off(node) and each.phase is not Phase.DEMOTING:
        then = "" if by_hand else "; then it comes back by itself"
        why = f"at its power switch, once it is repaired: mailward switched it off{then}"
        found = [Suggestion(f"switch {node.node} on", why)]
    if by_hand:
        return [*found, Suggestion(f"mailward readmit {node.node}", "when the work on it is done")]
    if found:
        return found
    if each.phase is Phase.OUT:
        why = "what keeps it out; it comes back by itself once it is well"
        return [Suggestion(f"mailward explain {node.node}", why)]
    return [Suggestion(f"mailward explain {node.node}", "why it is treated as it is")]


def _is_off(node: NodeStatus) -> bool:
    return node.power is not None and node.power.confirmed


def consequence(
    each: Explanation,
    phase: Phase | None,
    cause: Cause,
    now: Automation,
    running: OperationStatus | None,
    unbelieved: str,
) -> str:
    """What follows for one (node, endpoint), in a sentence."""
    if unbelieved:
        return f"Nothing is done: {unbelieved}."
    if now.mode is Mode.HELD and not now.node:  # not for this one: nothing at all is done
        return f"Nothing is done: {printable(now.reason.rstrip('.'), WHOLE)}."
    answered = OBSERVING_GATES if now.mode is Mode.OBSERVING else MODE_GATES
    forbidding = [f.gate for f in each.findings if f.answer is not Answered.YES]
    gates = [gate for gate in forbidding if gate not in answered]
    if running is not None and running.node == each.node and each.endpoint in running.endpoints:
        return f"A {running.kind} is running, at step {running.step}."
    if each.goal is Goal.STAY:
        return _stays(phase, cause, gates)
    if gates:
        return f"mailward wants to {each.goal} it, but does nothing{_until(gates)}."
    if now.mode is Mode.OBSERVING:
        return f"It would {each.goal} it now, but only observes."
    if now.mode is Mode.PAUSED:
        return f"It would {each.goal} it now, but automation is paused."
    return f"mailward is about to {each.goal} it."


def _stays(phase: Phase | None, cause: Cause, gates: list[str]) -> str:
    if phase is Phase.IN_SERVICE:
        return "It stays in service."
    if phase is Phase.OUT and cause is Cause.OPERATOR:
        return "It stays out until you readmit it."
    return f"It stays {phase}{_until(gates)}." if phase else "Nothing is done about it."


def _until(gates: list[str]) -> str:
    if not gates:
        return ""
    one = len(gates) == 1
    return f" until {'gate' if one else 'gates'} {listed(gates)} {'says' if one else 'say'} yes"


def after_explaining(found: tuple[Suggestion, ...], node: str | None) -> tuple[Suggestion, ...]:
    """Suggestions without those which lead to the explanation that is being shown."""
    shown = ("mailward explain", f"mailward explain {node}")
    left = [
        each
        for each in found
        if each.command not in shown and not (node is None and each.command.startswith("mailward explain"))
    ]
    return tuple(left) or (Suggestion("mailward status", "the whole picture"),)

"""The HTTP API: codes a load balancer can use, status, explanations, metrics, and requests.

Answers are made of one `View`. Nothing is decided here: a change is an entry left in the store, as the
command line leaves it. Bodies are small and must come soon; every error is `{"error", "message"}`.

What a load balancer gets of a node follows the phase, and the verdict only where it is settled: a node
in service of which nobody knows anything stays in (I6), so that an observer cut off from everything does
not take the whole service down. Where what is recorded does not count (`app.belief`), only the verdict does.
"""

import asyncio
import json
import logging
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, TypeVar

from aiohttp import web
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked
from pydantic_core import to_json

from mailward.app import advice, ladders, metrics, operations, summary
from mailward.app.client import EXPIRES
from mailward.app.doors import Denied, Door
from mailward.app.live import Live
from mailward.app.status import (
    EndpointStatus,
    Explanations,
    FenceStatus,
    Mode,
    NodeStatus,
    Progress,
    RequestStatus,
    Status,
)
from mailward.app.wording import printable
from mailward.controller.clock import SystemClock
from mailward.controller.core.decide import waiting, wrong_with
from mailward.model.clock import Moment
from mailward.model.errors import MailwardError
from mailward.model.snapshot import Snapshot
from mailward.model.state import Pause, Request, RequestKind

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 16 * 1024
BODY_TIMEOUT_S = 5.0
STORE_TIMEOUT_S = 10.0
REASON_LENGTH = 200
MAX_WAITING = 32
MAX_SCHEDULED = 8
MAX_AHEAD_S = 31 * 86400.0
MAX_PAUSE_S = 7 * 86400.0
LEFT_LATELY_S = 15.0
MOST_LEFT = 256


def _typed(kind: RequestKind) -> RequestKind:
    if kind is RequestKind.CANCEL:
        raise ValueError("a request is withdrawn where it is: DELETE /v1/requests/ID")
    if kind is RequestKind.PROVEN:
        raise ValueError("that a rung works is tried before it is recorded: POST /v1/fence")
    return kind


_STRICT = ConfigDict(extra="forbid", strict=True)
_Text = Annotated[str, Field(max_length=4000)]

T = TypeVar("T")


@checked(config=_STRICT)
class RequestBody:
    kind: Annotated[RequestKind, AfterValidator(_typed)]
    node: Annotated[str, Field(max_length=255)]
    reason: _Text = ""
    force: bool = False
    operation: Annotated[str, Field(max_length=64)] = ""
    dry_run: bool = False
    at_unix_s: Annotated[float | None, Field(allow_inf_nan=False)] = None


@checked(config=_STRICT)
class FenceBody:
    node: Annotated[str, Field(max_length=255)]
    test: bool = False


@checked(config=_STRICT)
class PauseBody:
    for_s: Annotated[float, Field(gt=0, le=MAX_PAUSE_S, allow_inf_nan=False)]
    reason: _Text = ""


_REQUEST: TypeAdapter[RequestBody] = TypeAdapter(RequestBody)
_FENCE: TypeAdapter[FenceBody] = TypeAdapter(FenceBody)
_PAUSE: TypeAdapter[PauseBody] = TypeAdapter(PauseBody)


def build_app(live: Live, door: Door) -> web.Application:
    """The API for one listener; `door` says who may change things through it."""
    api = _Api(live, door)
    app = web.Application(middlewares=[_answer_errors], client_max_size=MAX_BODY_BYTES)
    app.router.add_get("/live", api.live)
    app.router.add_get("/ready", api.ready)
    app.router.add_get("/serving", api.serving)
    app.router.add_get("/nodes/{node}", api.node)
    app.router.add_get("/metrics", api.metrics)
    app.router.add_get("/v1/status", api.status)
    app.router.add_get("/v1/explain", api.explain)
    app.router.add_post("/v1/requests", api.leave_request)
    app.router.add_get("/v1/requests/{id}", api.request)
    app.router.add_delete("/v1/requests/{id}", api.cancel)
    app.router.add_post("/v1/fence", api.fence)
    app.router.add_post("/v1/pause", api.pause)
    app.router.add_delete("/v1/pause", api.resume)
    return app


@web.middleware
async def _answer_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Every failure as JSON; what was not foreseen is logged and told without its inside."""
    try:
        return await handler(request)
    except Denied as denied:
        headers = {"WWW-Authenticate": "Bearer"} if denied.status == 401 else {}
        return _error(denied.status, denied.error, denied.message, headers)
    except web.HTTPRequestEntityTooLarge:
        return _error(413, "too-large", f"a body may have {MAX_BODY_BYTES} bytes")
    except web.HTTPMethodNotAllowed as refused:
        allowed = ", ".join(sorted(refused.allowed_methods))
        return _error(405, "method-not-allowed", f"allowed: {allowed}", {"Allow": allowed})
    except web.HTTPException as refused:
        return _error(refused.status, printable(refused.reason).lower().replace(" ", "-"), "see the README")
    except MailwardError as error:
        return _error(503, "unavailable", printable(str(error), 400))
    except Exception:
        log.exception("an API call failed")
        return _error(500, "internal", "mailward could not answer; its log says why")


def _error(status: int, error: str, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return _json({"error": error, "message": message}, status, headers)


def _json(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return _raw(json.dumps(body).encode(), status, headers)


def _dumped(shown: Status | Explanations | RequestStatus | FenceStatus) -> bytes:
    """The values as they are: what only goes out needs no schema, which would cost memory for ever."""
    return to_json(shown, inf_nan_mode="null")


def _raw(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    more = {"Cache-Control": "no-store", **(headers or {})}
    return web.Response(body=body + b"\n", status=status, content_type="application/json", headers=more)


@dataclass
class _Left:
    """Requests left lately, which the next snapshot may not show yet. Bounded."""

    at: "OrderedDict[str, Moment]" = field(default_factory=OrderedDict)

    def add(self, request: str, now: Moment) -> None:
        self.at[request] = now
        while len(self.at) > MOST_LEFT:
            self.at.popitem(last=False)

    def lately(self, request: str, now: Moment) -> bool:
        left = self.at.get(request)
        return left is not None and left.age_s(now) < LEFT_LATELY_S


class _Api:
    """The handlers of one listener."""

    def __init__(self, live: Live, door: Door) -> None:
        self._live = live
        self._door = door
        self._left = _Left()
        self._registry = metrics.registry(live)

    async def live(self, _request: web.Request) -> web.Response:
        """The process runs and answers; /ready says whether it can do its work."""
        return _json({"live": True})

    async def ready(self, _request: web.Request) -> web.Response:
        why = advice.not_ready(self._live.view())
        return _error(503, "not-ready", why) if why else _json({"ready": True})

    async def serving(self, _request: web.Request) -> web.Response:
        """Whether every endpoint has a node in service which is not known to be broken."""
        status = self._status()
        served = {e.endpoint: False for node in status.nodes for e in node.endpoints}
        for node in status.nodes:
            for each in node.endpoints:
                served[each.endpoint] |= advice.takes_clients(each, status.unbelieved)
        missing = sorted(name for name, by_anyone in served.items() if not by_anyone)
        if missing or not served:
            return _error(503, "not-serving", f"no node serves {', '.join(missing) or 'anything'}")
        return _json({"serving": True, "endpoints": sorted(served)})

    async def node(self, request: web.Request) -> web.Response:
        """200 when the node is in service for all its endpoints (or for `?endpoint=`) and not broken."""
        status = self._status()
        node = self._node(status, request.match_info["node"])
        wanted = request.query.get("endpoint")
        chosen = [each for each in node.endpoints if wanted in (None, each.endpoint)]
        if not chosen:
            known = ", ".join(each.endpoint for each in node.endpoints) or "none"
            raise Denied(404, "unknown-endpoint", f"{node.node} has these endpoints: {known}")
        for each in chosen:
            if not advice.takes_clients(each, status.unbelieved):
                return _error(503, "out-of-service", _out_of_service(node.node, each, status.unbelieved))
        return _json({"node": node.node, "endpoints": {e.endpoint: e.condition.value for e in chosen}})

    async def metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=metrics.text(self._registry), headers={"Content-Type": metrics.CONTENT_TYPE})

    async def status(self, _request: web.Request) -> web.Response:
        return _raw(_dumped(summary.status_of(self._live.view())))

    async def explain(self, request: web.Request) -> web.Response:
        view, node = self._live.view(), request.query.get("node")
        if node is not None:
            self._node(self._status(), node)
        return _raw(_dumped(summary.explanations_of(view, node)))

    async def leave_request(self, request: web.Request) -> web.Response:
        """202 and the request's id; with `dry_run` 200 and what would come of it."""
        by = await self._door.who(request)
        body = await _body(request, _REQUEST)
        self._still_wanted(request)
        snapshot = self._known(body.node)
        asked = Request(
            id=uuid.uuid4().hex[:12],
            kind=body.kind,
            node=body.node,
            by=printable(by, 100),
            reason=printable(body.reason, REASON_LENGTH),
            at=self._live.view().now,
            force=body.force,
            operation=printable(body.operation, 64),
            epoch=snapshot.versions.epoch,
            due_wall_s=body.at_unix_s,
        )
        if body.at_unix_s is not None:
            _may_be_planned(snapshot, asked)
        if body.dry_run:
            decision = self._live.dry_run(asked)
            return _raw(_dumped(summary.dry_run_of(self._live.view(), asked, decision)))
        if len(snapshot.requests) >= MAX_WAITING:
            raise Denied(429, "too-many-requests", f"{len(snapshot.requests)} requests wait already")
        await self._leave(asked)
        return _raw(_dumped(RequestStatus(asked.id, Progress.WAITING)), 202)

    async def _leave(self, asked: Request) -> None:
        await self._post(asked)
        self._left.add(asked.id, asked.at)
        said = {"request": asked.id, "kind": asked.kind, "node": asked.node, "by": asked.by}
        log.info("request left", extra=said)

    async def cancel(self, request: web.Request) -> web.Response:
        """202 and the id of the request that withdraws another, which still waits."""
        by = await self._door.who(request)
        self._still_wanted(request)
        name, view = printable(request.match_info["id"], 64), self._live.view()
        if view.snapshot is None:
            raise Denied(503, "not-ready", advice.not_ready(view))
        waiting_ones = {each.id: each for each in view.snapshot.requests}
        if name not in waiting_ones:
            said = f"no request {name} waits; {_listed_requests(view.snapshot)}"
            raise Denied(404, "unknown-request", said)
        node, by = waiting_ones[name].node, printable(by, 100)
        asked = Request(uuid.uuid4().hex[:12], RequestKind.CANCEL, node, by, "", view.now, cancels=name)
        await self._leave(asked)
        return _raw(_dumped(RequestStatus(asked.id, Progress.WAITING)), 202)

    async def request(self, request: web.Request) -> web.Response:
        """How far a request has come."""
        name, view = printable(request.match_info["id"], 64), self._live.view()
        found = None
        if view.snapshot is not None:
            snapshot = view.snapshot
            found = operations.progress(
                name, snapshot.state, snapshot.requests, snapshot.now, waiting(snapshot)
            )
        if found is None and self._left.lately(name, view.now):
            found = RequestStatus(name, Progress.WAITING, operations.NOT_YET)
        if found is None:
            raise Denied(404, "unknown-request", f"no request {name} is known, or it was long ago")
        return _raw(_dumped(found))

    async def fence(self, request: web.Request) -> web.Response:
        """The ladder of a node, each rung tried without harm; with `test` those that worked are recorded."""
        by = await self._door.who(request)
        body = await _body(request, _FENCE)
        self._still_wanted(request)
        self._known(body.node)
        if body.test and (why := ladders.may_not_record(self._live.view())):
            raise Denied(409, "not-here", why)
        tried = await self._live.try_rungs(body.node)
        shown = ladders.fence_of(self._live.view(), body.node, tried)
        if body.test:
            shown = await self._recorded(shown, printable(by, 100))
        return _raw(_dumped(shown))

    async def _recorded(self, shown: FenceStatus, by: str) -> FenceStatus:
        """With the request that has them recorded; what was tried is told, whatever becomes of that."""
        now = self._live.view().now
        proven = ladders.proven(shown, now)
        if not proven:
            return shown
        name = uuid.uuid4().hex[:12]
        asked = Request(name, RequestKind.PROVEN, shown.node, by, "tried", now, proven=proven)
        try:
            await self._post(asked)
        except (Denied, MailwardError) as error:
            why = error.message if isinstance(error, Denied) else str(error)
            return replace(shown, unrecorded=printable(why, 300))
        self._left.add(name, now)
        log.info("rungs tried", extra={"node": shown.node, "by": by, "works": [each.rung for each in proven]})
        return replace(shown, request=name)

    async def pause(self, request: web.Request) -> web.Response:
        by = await self._door.who(request)
        body = await _body(request, _PAUSE)
        self._still_wanted(request)
        now = self._live.view().now
        reason = printable(body.reason, REASON_LENGTH)
        entry = Pause(printable(by, 100), reason, now, now.wall_s + body.for_s)
        await self._post(entry)
        log.info("paused", extra={"by": by, "for_s": body.for_s, "reason": reason})
        return _json(
            {"mode": Mode.PAUSED, "by": entry.owner, "reason": reason, "until_unix_s": entry.until_wall_s}
        )

    async def resume(self, request: web.Request) -> web.Response:
        by = await self._door.who(request)
        self._still_wanted(request)
        await self._post(None)
        log.info("resumed", extra={"by": by})
        return _json({"resumed": True, "by": by})

    def _still_wanted(self, request: web.Request) -> None:
        """A call that waited while this process stood still is void once its sender has given up: it may
        have written to the store itself, or somebody has since asked for the contrary."""
        expires = request.headers.get(EXPIRES)
        if expires is None:
            return
        try:
            late_s = SystemClock().now().boot_s - float(expires)
        except ValueError:
            raise Denied(400, "bad-request", f"{EXPIRES} is no number of seconds") from None
        if not late_s <= 0:
            raise Denied(
                408, "too-late", "this call came too late: its sender has given up; nothing was done"
            )

    async def _post(self, entry: Request | Pause | None) -> None:
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                await self._live.post(entry)
        except TimeoutError:
            message = f"the store did not answer in {STORE_TIMEOUT_S:g} s; it may have been left or not"
            raise Denied(503, "unavailable", message) from None

    def _status(self) -> Status:
        """The status, once something has been decided."""
        view = self._live.view()
        if view.snapshot is None or view.decision is None:
            raise Denied(503, "not-ready", advice.not_ready(view))
        return summary.status_of(view)

    def _node(self, status: Status, name: str) -> NodeStatus:
        for node in status.nodes:
            if node.node == name:
                return node
        raise _unknown_node(name, [node.node for node in status.nodes])

    def _known(self, node: str) -> Snapshot:
        snapshot = self._live.view().snapshot
        if snapshot is None:
            raise Denied(503, "not-ready", advice.not_ready(self._live.view()))
        if node not in snapshot.policy.node_by_name:
            raise _unknown_node(node, list(snapshot.policy.node_by_name))
        return snapshot


def _listed_requests(snapshot: Snapshot) -> str:
    names = ", ".join(f"{each.id} ({each.kind} {each.node})" for each in snapshot.requests)
    return f"there are: {names}" if names else "there is none"


def _may_be_planned(snapshot: Snapshot, asked: Request) -> None:
    """Denied where a request for later is wrong already."""
    due_s, now_s = asked.due_wall_s or 0.0, asked.at.wall_s
    if asked.kind is not RequestKind.SWITCHOVER:
        raise Denied(400, "bad-request", f"only a switchover may be asked for later, not a {asked.kind}")
    if asked.force:
        said = "what --force accepts has to be seen when it is said: not for later"
        raise Denied(400, "bad-request", said)
    if due_s <= now_s:
        raise Denied(400, "bad-request", f"that time has passed, by the clock here {now_s - due_s:.0f} s ago")
    if due_s - now_s > MAX_AHEAD_S:
        raise Denied(400, "bad-request", f"at most {MAX_AHEAD_S / 86400:.0f} days ahead")
    if why := wrong_with(snapshot, asked):
        raise Denied(409, "refused", why)
    planned = [each for each in snapshot.requests if each.due_wall_s is not None]
    if len(planned) >= MAX_SCHEDULED:
        raise Denied(429, "too-many-requests", f"{len(planned)} requests are planned already")


def _out_of_service(node: str, each: EndpointStatus, unbelieved: str) -> str:
    if unbelieved:
        return f"{node} is {each.condition} for {each.endpoint}: {each.evidence}; {unbelieved}"
    phase = each.phase.value if each.phase else "not recorded"
    why = each.detail or each.evidence
    text = f"{node} is {phase} and {each.condition} for {each.endpoint}"
    return f"{text}: {why}" if why else text


def _unknown_node(name: str, known: list[str]) -> Denied:
    said = f"there is no node {printable(name, 64)!r}" if name else "no node has an empty name"
    return Denied(404, "unknown-node", f"{said}; known: {', '.join(known)}")


async def _body(request: web.Request, adapter: TypeAdapter[T]) -> T:
    """The JSON body as `adapter` wants it; Denied says what is wrong where."""
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            raw = await request.read()
    except TimeoutError:
        raise Denied(408, "timeout", f"the body did not come within {BODY_TIMEOUT_S:g} s") from None
    try:
        return adapter.validate_json(raw)
    except ValidationError as error:
        problems = (
            f"{'.'.join(str(part) for part in each['loc']) or 'body'}: {each['msg']}"
            for each in error.errors(include_url=False, include_input=False)[:5]
        )
        raise Denied(400, "bad-request", printable("; ".join(problems), 400)) from None

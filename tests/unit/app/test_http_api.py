"""The HTTP API: who may change what, codes a load balancer can use, and answers to hostile calls."""

import asyncio
import contextlib
import os
import pwd
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, ClientTimeout, UnixConnector
from tests.unit.app import scenes
from tests.unit.app.fakes import FakeDaemon, daemon
from tests.unit.core.cluster.test_switchover_for_later import planned
from tests.unit.core.scene import Scene

from mailward.app import api, routes
from mailward.app.client import EXPIRES
from mailward.app.live import View
from mailward.controller.clock import SystemClock
from mailward.model.errors import MailwardError
from mailward.model.state import Answer, Kind, Pause, Request, RequestKind, Step

TOKEN = "a-token-of-the-test"

CHANGES = [
    ("POST", "/v1/requests", {"kind": "drain", "node": "mail-a"}),
    ("POST", "/v1/requests", {"kind": "drain", "node": "mail-a", "dry_run": True}),
    ("POST", "/v1/pause", {"for_s": 60}),
    ("DELETE", "/v1/pause", None),
]
READS = ["/live", "/ready", "/serving", "/nodes/mail-a", "/metrics", "/v1/status", "/v1/explain"]


@dataclass
class Doors:
    """The API of one fake daemon, by its socket and by TCP."""

    fake: FakeDaemon
    unix: ClientSession
    tcp: ClientSession
    socket: Path
    port: int


@pytest.fixture
async def doors(tmp_path: Path) -> AsyncIterator[Doors]:
    async with AsyncExitStack() as stack:
        yield await opened(stack, daemon(), tmp_path, TOKEN)


async def opened(stack: AsyncExitStack, fake: FakeDaemon, tmp_path: Path, token: str | None) -> Doors:
    path = tmp_path / "m.sock"
    listening = await stack.enter_async_context(api.serve(fake, path, ("127.0.0.1", 0), token))
    assert listening.tcp is not None
    timeout = ClientTimeout(5)
    unix = ClientSession("http://mailward", connector=UnixConnector(str(path)), timeout=timeout)
    tcp = ClientSession(f"http://127.0.0.1:{listening.tcp[1]}", timeout=timeout)
    return Doors(
        fake,
        await stack.enter_async_context(unix),
        await stack.enter_async_context(tcp),
        path,
        listening.tcp[1],
    )


async def call(
    session: ClientSession, method: str, path: str, json: Any = None, **more: Any
) -> tuple[int, dict[str, Any]]:
    async with session.request(method, path, json=json, **more) as response:
        return response.status, await response.json()


@pytest.mark.parametrize("path", READS)
async def test_reading_needs_no_token(doors: Doors, path: str) -> None:
    for session in (doors.unix, doors.tcp):
        async with session.get(path) as response:
            assert response.status == 200
        async with session.head(path) as response:
            assert response.status == 200


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_a_change_over_tcp_needs_the_token(doors: Doors, method: str, path: str, body: Any) -> None:
    for headers, code, word in (
        ({}, 401, "unauthorized"),
        ({"Authorization": f"Basic {TOKEN}"}, 401, "unauthorized"),
        ({"Authorization": "Bearer "}, 401, "unauthorized"),
        ({"Authorization": "Bearer wrong"}, 403, "forbidden"),
        ({"Authorization": f"Bearer {TOKEN}x"}, 403, "forbidden"),
        ({"Authorization": "Bearer \xff\xfe"}, 403, "forbidden"),
    ):
        status, answer = await call(doors.tcp, method, path, body, headers=headers)
        assert (status, answer["error"]) == (code, word)
    assert doors.fake.posted == []
    status, _ = await call(doors.tcp, method, path, body, headers={"Authorization": f"Bearer {TOKEN}"})
    assert status in (200, 202)


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_without_a_configured_token_tcp_changes_nothing(
    tmp_path: Path, method: str, path: str, body: Any
) -> None:
    async with AsyncExitStack() as stack:
        doors = await opened(stack, daemon(), tmp_path, None)
        for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer None"}):
            status, answer = await call(doors.tcp, method, path, body, headers=headers)
            assert (status, answer["error"]) == (403, "forbidden")
            assert "Unix socket" in answer["message"]
        assert doors.fake.posted == []


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_whoever_can_open_the_socket_may_change_things(
    doors: Doors, method: str, path: str, body: Any
) -> None:
    status, _ = await call(doors.unix, method, path, body)
    assert status in (200, 202)


async def test_the_kernel_says_who_asked_over_the_socket(doors: Doors) -> None:
    body = {"kind": "failover", "node": "mail-a", "reason": "it smells\x1b[31m of\nsmoke" + "e" * 3000}
    status, answer = await call(doors.unix, "POST", "/v1/requests", body)
    assert status == 202
    (left,) = doors.fake.posted
    assert isinstance(left, Request)
    assert left.id == answer["id"]
    assert left.kind is RequestKind.FAILOVER
    assert left.by == f"{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()}"
    assert left.reason.startswith("it smells [31m of smoke")
    assert left.reason.isprintable()
    assert len(left.reason) == routes.REASON_LENGTH


async def test_a_pause_has_owner_reason_and_expiry(doors: Doors) -> None:
    status, answer = await call(
        doors.tcp, "POST", "/v1/pause", {"for_s": 7200, "reason": "new disks"},
        headers={"Authorization": f"bearer {TOKEN}"},
    )  # fmt: skip
    assert status == 200
    assert doors.fake.posted == [Pause("token@127.0.0.1", "new disks", scenes.NOW, scenes.NOW_WALL + 7200)]
    assert answer["until_unix_s"] == scenes.NOW_WALL + 7200
    assert (await call(doors.unix, "DELETE", "/v1/pause"))[0] == 200
    assert doors.fake.posted[-1] is None


async def test_a_dry_run_leaves_nothing_and_says_what_would_come(doors: Doors) -> None:
    body = {"kind": "failover", "node": "mail-a", "dry_run": True}
    status, answer = await call(doors.unix, "POST", "/v1/requests", body)
    assert status == 200
    assert doors.fake.posted == []
    assert answer["dry_run"] is True
    assert answer["progress"] == "running"
    assert answer["operation"]["kind"] == "failover"
    assert any("198.51.100.20" in each for each in answer["would_send"])


async def test_a_request_can_be_followed(doors: Doors) -> None:
    _, left = await call(doors.unix, "POST", "/v1/requests", {"kind": "drain", "node": "mail-a"})
    follow = f"/v1/requests/{left['id']}"
    assert (await call(doors.unix, "GET", follow))[1]["progress"] == "waiting"
    scene = scenes.healthy()
    done = scenes.ended(Kind.DRAIN, "mail-a", 3, 30, "asked", request=left["id"])
    for state, expected in (
        (replace(scene, answers=(Answer(left["id"], False, "nobody else serves", scenes.NOW),)), "refused"),
        (
            replace(
                scene,
                operation=scenes.operation(Kind.DRAIN, "mail-a", Step.WAIT_TTL, 4, "x", request=left["id"]),
            ),
            "running",
        ),
        (replace(scene, ended=(done,)), "done"),
    ):
        doors.fake.shown = state.view()
        assert (await call(doors.unix, "GET", follow))[1]["progress"] == expected
    assert (await call(doors.unix, "GET", "/v1/requests/0123"))[0] == 404


async def test_a_request_left_long_ago_and_unknown_now_is_not_waiting(doors: Doors) -> None:
    _, left = await call(doors.unix, "POST", "/v1/requests", {"kind": "drain", "node": "mail-a"})
    doors.fake.shown = replace(doors.fake.shown, now=scenes.at(-routes.LEFT_LATELY_S))
    assert (await call(doors.unix, "GET", f"/v1/requests/{left['id']}"))[0] == 404


@pytest.mark.parametrize(
    ("scene", "node_a", "node_b", "serving"),
    [
        ("healthy", 200, 200, 200),
        ("withdrawn", 503, 200, 200),
        ("held", 503, 200, 200),
        ("rejoining", 503, 200, 200),
        ("drained", 503, 200, 200),
        ("both_down", 503, 503, 503),
        ("old_copy", 200, 503, 200),
        ("just_made", 200, 200, 200),
        ("starting", 503, 503, 503),
    ],
)
async def test_codes_for_load_balancers(
    doors: Doors, scene: str, node_a: int, node_b: int, serving: int
) -> None:
    doors.fake.shown = daemon(scene).shown
    assert (await call(doors.tcp, "GET", "/nodes/mail-a"))[0] == node_a
    assert (await call(doors.tcp, "GET", "/nodes/mail-b"))[0] == node_b
    assert (await call(doors.tcp, "GET", "/serving"))[0] == serving
    assert (await call(doors.tcp, "GET", "/live"))[0] == 200
    assert (await call(doors.tcp, "GET", "/ready"))[0] == (503 if scene == "starting" else 200)


async def test_an_observer_that_knows_nothing_takes_no_node_from_the_load_balancer(doors: Doors) -> None:
    doors.fake.shown = replace(scenes.healthy(), report_age_s=99.0).view()
    status, answer = await call(doors.tcp, "GET", "/nodes/mail-a")
    assert (status, answer["endpoints"]) == (200, {scenes.ENDPOINT: "unknown"})


@pytest.mark.parametrize(
    ("scene", "why"),
    [("old_copy", "what is recorded is not believed"), ("just_made", "nothing is recorded yet")],
)
async def test_where_nothing_recorded_counts_the_probes_alone_say_who_takes_clients(
    doors: Doors, scene: str, why: str
) -> None:
    """A store was restored, and the load balancer emptied while a node served everybody."""
    known, lost = scenes.SCENES[scene](), scenes.both_down().mail_a
    for change, codes in (
        ({"mail_a": lost, "mail_b": scenes.all_up()}, (503, 200, 200)),
        ({"mail_a": lost, "mail_b": lost}, (503, 503, 503)),
        ({"report_age_s": 99.0}, (200, 200, 200)),
    ):
        doors.fake.shown = replace(known, **change).view()
        asked = [
            await call(doors.tcp, "GET", path) for path in ("/nodes/mail-a", "/nodes/mail-b", "/serving")
        ]
        assert tuple(code for code, _ in asked) == codes
        if codes[0] == 503:
            message = asked[0][1]["message"]
            assert message.startswith(
                f"mail-a is failed for {scenes.ENDPOINT}: smtp DOWN: timeout at connect"
            )
            assert why in message


async def test_what_does_not_exist_is_404_with_what_does(doors: Doors) -> None:
    for path, word in (
        ("/nodes/mail-x", "unknown-node"),
        ("/nodes/mail-a?endpoint=x", "unknown-endpoint"),
        ("/v1/explain?node=mail-x", "unknown-node"),
        ("/v1/nothing", "not-found"),
    ):
        status, answer = await call(doors.tcp, "GET", path)
        assert (status, answer["error"]) == (404, word)
    assert "mail-a, mail-b" in (await call(doors.tcp, "GET", "/nodes/mail-x"))[1]["message"]
    status, answer = await call(doors.unix, "POST", "/v1/requests", {"kind": "drain", "node": "mail-x"})
    assert (status, answer["error"]) == (404, "unknown-node")
    for method, path, body in (
        ("POST", "/v1/requests", {"kind": "drain", "node": ""}),
        ("GET", "/v1/explain?node=", None),
    ):
        status, answer = await call(doors.unix, method, path, body)
        assert (status, answer["error"]) == (404, "unknown-node")
        assert answer["message"] == "no node has an empty name; known: mail-a, mail-b"


@pytest.mark.parametrize(
    ("path", "body", "names"),
    [
        ("/v1/requests", b"", "body"),
        ("/v1/requests", b"\xff\xfe{", "body"),
        ("/v1/requests", b"[" * 10_000, "body"),
        ("/v1/requests", b"[]", "body"),
        ("/v1/requests", b'{"kind":"explode","node":"mail-a"}', "kind"),
        ("/v1/requests", b'{"kind":"drain"}', "node"),
        ("/v1/requests", b'{"kind":"drain","node":7}', "node"),
        ("/v1/requests", b'{"kind":"drain","node":"mail-a","Force":true}', "Force"),
        ("/v1/requests", b'{"kind":"drain","node":"mail-a","reason":"\\ud800"}', "body"),
        ("/v1/requests", b'{"kind":"failover","node":"mail-a","force":"yes"}', "force"),
        ("/v1/requests", b'{"kind":"failover","node":"mail-a","force":1}', "force"),
        ("/v1/requests", b'{"kind":"failover","node":"mail-a","dry_run":"no"}', "dry_run"),
        ("/v1/requests", b'{"kind":"failover","node":"mail-a","dry_run":null}', "dry_run"),
        ("/v1/requests", b'{"kind":"failover","node":"mail-a","reason":7}', "reason"),
        ("/v1/requests", b'{"kind":["drain"],"node":"mail-a"}', "kind"),
        ("/v1/pause", b'{"for_s":"60"}', "for_s"),
        ("/v1/pause", b'{"for_s":true}', "for_s"),
        ("/v1/pause", b'{"for_s":0}', "for_s"),
        ("/v1/pause", b'{"for_s":NaN}', "for_s"),
        ("/v1/pause", b'{"for_s":1e999}', "for_s"),
        ("/v1/pause", b'{"for_s":99999999}', "for_s"),
    ],
)
async def test_a_bad_body_is_400_and_says_where(doors: Doors, path: str, body: bytes, names: str) -> None:
    async with doors.unix.post(path, data=body) as response:
        answer = await response.json()
    assert response.status == 400
    assert answer["error"] == "bad-request"
    assert names in answer["message"]
    assert doors.fake.posted == []


async def test_a_large_body_is_413(doors: Doors) -> None:
    async with doors.unix.post("/v1/requests", data=b"x" * (routes.MAX_BODY_BYTES + 1)) as response:
        assert (response.status, (await response.json())["error"]) == (413, "too-large")


async def test_a_wrong_method_is_405_in_json(doors: Doors) -> None:
    status, answer = await call(doors.unix, "PUT", "/v1/pause", {})
    assert (status, answer["message"]) == (405, "allowed: DELETE, POST")


async def test_a_body_that_does_not_come_is_given_up(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "BODY_TIMEOUT_S", 0.05)
    reader, writer = await asyncio.open_unix_connection(str(doors.socket))
    writer.write(b"POST /v1/pause HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    head = await asyncio.wait_for(reader.readuntil(b"\r\n"), 2)
    assert b" 408 " in head
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("said", [b"", b"GET /live HT", b"GET /live HTTP/1.1\r\nX-Slow: "])
async def test_a_silent_connection_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(api, "IDLE_S", 0.1)
    async with AsyncExitStack() as stack:
        doors = await opened(stack, daemon(), tmp_path, None)
        reader, writer = await asyncio.open_connection("127.0.0.1", doors.port)
        writer.write(said)
        await asyncio.wait_for(reader.read(), 5)
        writer.close()
        await writer.wait_closed()


async def test_a_store_that_fails_is_503_with_its_sentence(doors: Doors) -> None:
    doors.fake.broken = "/var/lib/mailward is read-only"
    status, answer = await call(doors.unix, "POST", "/v1/pause", {"for_s": 60})
    assert (status, answer["message"]) == (503, "/var/lib/mailward is read-only")


async def test_a_store_that_hangs_is_503(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "STORE_TIMEOUT_S", 0.05)
    doors.fake.hangs = True
    status, answer = await call(doors.unix, "DELETE", "/v1/pause")
    assert status == 503
    assert "may have been left or not" in answer["message"]


async def test_too_many_waiting_requests_are_refused(doors: Doors) -> None:
    waiting = tuple(
        Request(f"r{number}", RequestKind.DRAIN, "mail-a", "x", "", scenes.NOW)
        for number in range(routes.MAX_WAITING)
    )
    doors.fake.shown = replace(scenes.healthy(), requests=waiting).view()
    status, answer = await call(doors.unix, "POST", "/v1/requests", {"kind": "drain", "node": "mail-a"})
    assert (status, answer["error"]) == (429, "too-many-requests")


async def test_an_unforeseen_error_shows_no_inside(
    doors: Doors, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def explode() -> None:
        raise ValueError("secret inside")

    monkeypatch.setattr(doors.fake, "view", explode)
    status, answer = await call(doors.tcp, "GET", "/v1/status")
    assert (status, answer["error"]) == (500, "internal")
    assert "secret" not in answer["message"]
    assert "secret inside" in caplog.text


async def test_the_socket_is_for_owner_and_group_only(doors: Doors) -> None:
    assert stat.S_IMODE(doors.socket.stat().st_mode) == 0o660


async def test_a_stale_socket_is_replaced_and_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "m.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    async with api.serve(daemon(), path):
        pass
    assert not path.exists()


async def test_the_socket_of_a_running_daemon_is_left_alone(doors: Doors) -> None:
    with pytest.raises(MailwardError, match="another mailward answers"):
        async with api.serve(daemon(), doors.socket):
            pass
    assert (await call(doors.unix, "GET", "/live"))[0] == 200


async def test_a_file_in_the_place_of_the_socket_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "m.sock"
    path.write_text("precious")
    with pytest.raises(MailwardError, match="not a socket"):
        async with api.serve(daemon(), path):
            pass
    assert path.read_text() == "precious"


async def test_a_taken_port_is_a_sentence(doors: Doors) -> None:
    with pytest.raises(MailwardError, match=r"cannot listen on 127\.0\.0\.1 port"):
        async with api.serve(daemon(), None, ("127.0.0.1", doors.port)):
            pass


@pytest.mark.parametrize(("left_s", "status"), [(5.0, 200), (-0.1, 408)])
async def test_a_change_whose_sender_has_given_up_is_void(doors: Doors, left_s: float, status: int) -> None:
    """A daemon that was frozen found a `resume` in its socket, long after the administrator had written a
    new pause to the store herself, and lifted it."""
    assert (await call(doors.unix, "POST", "/v1/pause", {"for_s": 60}))[0] == 200
    expires = {EXPIRES: str(SystemClock().now().boot_s + left_s)}
    assert (await call(doors.unix, "DELETE", "/v1/pause", headers=expires))[0] == status
    assert (doors.fake.posted[-1] is None) is (status == 200)


async def test_more_connections_than_there_is_room_for_are_ended_and_the_others_answered(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand idle ones took every file descriptor, and the store could not be read any more."""
    monkeypatch.setattr(api, "MOST_CONNECTIONS", 5)
    held = [await asyncio.open_connection("127.0.0.1", doors.port) for _ in range(5)]
    await asyncio.sleep(0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", doors.port)
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()
    held[0][1].write(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await held[0][0].readline()).startswith(b"HTTP/1.1 200")
    for _, one in held:
        one.close()


# planned for later


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Doors]:
    scene = Scene.of_a_cluster()
    planned(scene, in_s=600)
    fake = FakeDaemon(View("watch", scene.now, scene.now, scene.snapshot(), scene.look()))
    async with AsyncExitStack() as stack:
        yield await opened(stack, fake, tmp_path, TOKEN)


def later(doors: Doors, in_s: float = 3600.0, **more: Any) -> dict[str, Any]:
    at_s = doors.fake.shown.now.wall_s + in_s
    return {"kind": "switchover", "node": "b", "at_unix_s": at_s, **more}


async def test_a_switchover_may_be_left_for_later(cluster: Doors) -> None:
    body = later(cluster)
    status, answer = await call(cluster.unix, "POST", "/v1/requests", body)
    (left,) = cluster.fake.posted
    assert isinstance(left, Request)
    assert (status, left.id, left.due_wall_s) == (202, answer["id"], body["at_unix_s"])
    status, answer = await call(cluster.unix, "GET", "/v1/requests/r1")
    assert (answer["progress"], answer["due_unix_s"]) == ("scheduled", body["at_unix_s"] - 3000)


@pytest.mark.parametrize(
    ("in_s", "more", "code", "says"),
    [
        (-5.0, {}, 400, "that time has passed, by the clock here 5 s ago"),
        (40 * 86400.0, {}, 400, "at most 31 days ahead"),
        (60.0, {"force": True}, 400, "what --force accepts has to be seen when it is said"),
        (60.0, {"kind": "failover", "node": "a"}, 400, "only a switchover may be asked for later"),
        (60.0, {"node": "a"}, 409, "nothing to do: a is in service"),
        (60.0, {"node": "a", "dry_run": True}, 409, "nothing to do: a is in service"),
        (60.0, {"kind": "cancel"}, 400, "a request is withdrawn where it is: DELETE /v1/requests/ID"),
    ],
)
async def test_what_is_wrong_already_is_not_left_for_later(
    cluster: Doors, in_s: float, more: dict[str, Any], code: int, says: str
) -> None:
    status, answer = await call(cluster.unix, "POST", "/v1/requests", later(cluster, in_s, **more))
    assert status == code
    assert says in answer["message"]
    assert cluster.fake.posted == []


async def test_only_a_few_are_planned_so_that_others_find_room(cluster: Doors) -> None:
    snapshot = cluster.fake.shown.snapshot
    assert snapshot is not None
    full = replace(snapshot, requests=snapshot.requests * routes.MAX_SCHEDULED)
    cluster.fake.shown = replace(cluster.fake.shown, snapshot=full)
    status, answer = await call(cluster.unix, "POST", "/v1/requests", later(cluster))
    assert (status, answer["message"]) == (429, "8 requests are planned already")
    status, _ = await call(cluster.unix, "POST", "/v1/requests", {"kind": "failover", "node": "a"})
    assert status == 202


async def test_what_waits_can_be_withdrawn_and_what_does_not_is_said(cluster: Doors) -> None:
    status, _ = await call(cluster.unix, "DELETE", "/v1/requests/r1")
    (left,) = cluster.fake.posted
    assert isinstance(left, Request)
    assert (status, left.kind, left.cancels, left.node) == (202, RequestKind.CANCEL, "r1", "b")
    status, answer = await call(cluster.unix, "DELETE", "/v1/requests/r7")
    assert (status, answer["message"]) == (404, "no request r7 waits; there are: r1 (switchover b)")

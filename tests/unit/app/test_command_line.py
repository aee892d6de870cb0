"""The command line against a daemon on a real socket: what is printed, what is left, how it exits."""

import asyncio
import json
import os
import re
import signal
import socket as sockets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.app import scenes
from tests.unit.app.fakes import FakeDaemon, daemon
from tests.unit.core.scene import Scene
from typer.testing import CliRunner, Result

from mailward.app import api, client, routes
from mailward.app.cli import app
from mailward.app.commands import asking, later, looking, pausing
from mailward.app.exits import Exit
from mailward.app.live import View
from mailward.controller.coordination import local
from mailward.controller.core.decide import decide
from mailward.model.decision import Decision
from mailward.model.state import Answer, Ending, Kind, Pause, Request, Step


class Running:
    """A fake daemon that answers on a socket, in a thread of its own."""

    def __init__(self, fake: FakeDaemon, path: Path) -> None:
        self.fake = fake
        self.path = path
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self._thread.start()
        assert self._started.wait(5)

    async def _serve(self) -> None:
        async with api.serve(self.fake, self.path):
            self._started.set()
            await self._stop.wait()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(5)
        self._loop.close()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    up = Running(daemon(), tmp_path / "m.sock")
    yield up
    up.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "TAKEN_UP_WITHIN_S", 0.1)
    monkeypatch.setattr(asking, "POLL_S", 0.01)


def mailward(*words: str, socket: Path | None = None, config: Path | None = None) -> Result:
    environ = {
        "MAILWARD_SOCKET": str(socket) if socket else "",
        "MAILWARD_CONFIG": str(config or "/nonexistent"),
    }
    return CliRunner().invoke(app, words, env={**environ, "COLUMNS": "80"})


def store(tmp_path: Path) -> tuple[Path, Path]:
    """A configuration naming a store, and the store."""
    directory = tmp_path / "store"
    local.init(directory)
    config = tmp_path / "m.yaml"
    config.write_text("coordination: {local: {directory: store}}\napi: {socket: none.sock}\n")
    return config, directory


def left(config_directory: Path) -> object:
    return json.loads((config_directory / "pause.json").read_text())["pause"]


def test_the_first_screen_answers_the_four_moments() -> None:
    shown = mailward("--help").output
    for words in (
        "broken    mailward failover NODE",
        "planned        mailward drain NODE",
        "in a cluster     mailward switchover OTHER",
        "mailward readmit NODE",
        "frightened     mailward pause",
        "mailward explain [NODE]",
    ):
        assert words in shown
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_every_command_has_its_help() -> None:
    names = re.findall(r"^  (\w+)  ", mailward("--help").output.split("Commands:")[1], re.M)
    assert len(names) >= 10
    for name in names:
        assert mailward(name, "--help").exit_code == 0, name


@pytest.mark.parametrize("name", ["healthy", "withdrawn", "held"])
def test_status_prints_the_screen(running: Running, name: str) -> None:
    running.fake.shown = daemon(name).shown
    result = mailward("status", socket=running.path)
    assert result.exit_code == Exit.DONE
    first = result.output.splitlines()[0]
    assert first.startswith("Automation: ")
    assert "\x1b" not in result.output


@pytest.mark.parametrize(
    ("name", "code"),
    [("healthy", Exit.DONE), ("withdrawn", Exit.FAILED), ("held", Exit.HELD), ("paused", Exit.FAILED)],
)
def test_status_check_tells_by_its_exit_code(running: Running, name: str, code: Exit) -> None:
    running.fake.shown = daemon(name).shown
    assert mailward("status", "--check", socket=running.path).exit_code == code
    assert mailward("status", socket=running.path).exit_code == Exit.DONE


def test_status_json_is_the_documented_object(running: Running) -> None:
    shown = json.loads(mailward("status", "--json", socket=running.path).output)
    assert shown["schema"] == 1
    assert shown["automation"]["mode"] == "ACTING"


def test_status_watch_goes_on_while_the_daemon_is_away(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = 0

    def sleep(_seconds: float) -> None:
        nonlocal rounds
        rounds += 1
        running.path.unlink(missing_ok=True)
        if rounds == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("mailward.app.commands.looking.time.sleep", sleep)
    result = mailward("status", "--watch", socket=running.path)
    assert result.exit_code == Exit.INTERRUPTED
    assert result.output.startswith("Automation: ACTING")
    assert "mailward does not run here" in result.output


def test_explain_takes_a_node_and_refuses_an_unknown_one(running: Running) -> None:
    running.fake.shown = daemon("held").shown
    result = mailward("explain", "mail-a", socket=running.path)
    assert result.exit_code == 0
    assert "NO       successor" in result.output
    assert "mail-b mail.example.org" not in result.output
    assert json.loads(mailward("explain", "--json", socket=running.path).output)["explanations"]
    result = mailward("explain", "mail-x/../a", socket=running.path)
    assert result.exit_code == Exit.FAILED
    assert "there is no node 'mail-x/../a'; known: mail-a, mail-b" in result.stderr


def follow(running: Running, *after: Callable[[str], scenes.Scene]) -> None:
    """Show these scenes one after another, once a request has been left; each gets its id."""
    scripted = list(after)
    view = running.fake.view

    def next_view() -> object:
        entries = [entry for entry in running.fake.posted if isinstance(entry, Request)]
        if entries and scripted:
            running.fake.shown = scripted.pop(0)(entries[0].id).view()
        return view()

    running.fake.view = next_view  # type: ignore[method-assign, assignment]


def is_running(step: Step) -> Callable[[str], scenes.Scene]:
    def scene(request: str) -> scenes.Scene:
        going = scenes.operation(Kind.DRAIN, "mail-a", step, 2, "asked", request=request)
        return replace(scenes.healthy(), operation=going)

    return scene


def is_over(ending: Ending, detail: str = "") -> Callable[[str], scenes.Scene]:
    def scene(request: str) -> scenes.Scene:
        over = scenes.ended(Kind.DRAIN, "mail-a", 1, 30, "asked", ending, detail, request)
        return replace(scenes.healthy(), ended=(over,))

    return scene


def is_refused(request: str) -> scenes.Scene:
    answer = Answer(request, False, "mail-b is out: nobody else serves", scenes.NOW)
    return replace(scenes.healthy(), answers=(answer,))


def test_a_request_is_left_and_told_when_it_was_taken_up(running: Running) -> None:
    follow(running, is_running(Step.PUBLISH))
    result = mailward("drain", "mail-a", "--reason", "new disks", socket=running.path)
    assert result.exit_code == Exit.DONE
    assert "running" in result.output
    (entry,) = running.fake.posted
    assert isinstance(entry, Request)
    assert (entry.kind, entry.node, entry.reason, entry.force) == ("drain", "mail-a", "new disks", False)


def test_a_refused_request_exits_1_with_the_reason_and_the_next_command(running: Running) -> None:
    follow(running, is_refused)
    result = mailward("failover", "mail-a", "--force", socket=running.path)
    assert result.exit_code == Exit.FAILED
    assert "mail-b is out: nobody else serves" in result.output
    assert "Next: mailward explain mail-a" in result.output
    assert isinstance(running.fake.posted[0], Request)
    assert running.fake.posted[0].force


def test_a_request_that_nobody_takes_up_exits_5(running: Running) -> None:
    result = mailward("readmit", "mail-a", socket=running.path)
    assert result.exit_code == Exit.UNFINISHED
    assert "waiting" in result.output
    assert "Next: mailward status" in result.output


@pytest.mark.parametrize(
    ("ending", "code"),
    [(Ending.DONE, Exit.DONE), (Ending.ROLLED_BACK, Exit.FAILED), (Ending.HANDED_OVER, Exit.FAILED)],
)
def test_wait_follows_the_steps_to_the_end(running: Running, ending: Ending, code: Exit) -> None:
    follow(running, is_running(Step.PUBLISH), is_running(Step.WAIT_TTL), is_over(ending, "because"))
    result = mailward("drain", "mail-a", "--wait", socket=running.path)
    assert result.exit_code == code
    lines = result.output.splitlines()
    assert lines[:2] == ["step publish", "step wait-ttl"]
    assert lines[2].startswith(ending.value)
    assert "because" in result.output


def test_wait_gives_up_after_its_time(running: Running) -> None:
    follow(running, is_running(Step.WAIT_TTL))
    result = mailward("drain", "mail-a", "--wait", "--timeout", "0.1", "--json", socket=running.path)
    assert result.exit_code == Exit.UNFINISHED
    assert json.loads(result.output)["progress"] == "running"


def test_a_dry_run_shows_orders_and_leaves_nothing(running: Running) -> None:
    result = mailward("failover", "mail-a", "--dry-run", socket=running.path)
    assert result.exit_code == Exit.DONE
    assert result.output.startswith("Dry run: it would start now\n")
    assert "publish at ns1: mail.example.org. 30 A 198.51.100.20" in result.output
    assert running.fake.posted == []


def test_a_dry_run_that_would_be_refused_exits_1(running: Running) -> None:
    running.fake.shown = daemon("withdrawn").shown
    result = mailward("failover", "mail-b", "--dry-run", socket=running.path)
    assert result.exit_code == Exit.FAILED
    assert result.output.startswith("Dry run: it would be refused: ")
    assert "NO       successor" in result.output


def test_pause_says_until_when_and_how_to_lift_it(running: Running) -> None:
    result = mailward("pause", "--for", "30m", "--reason", "new disks", socket=running.path)
    assert result.exit_code == Exit.DONE
    assert result.output.startswith("Paused until ")
    assert "mailward resume" in result.output
    (entry,) = running.fake.posted
    assert isinstance(entry, Pause)
    assert entry.until_wall_s == scenes.NOW_WALL + 1800
    assert mailward("resume", socket=running.path).exit_code == Exit.DONE
    assert running.fake.posted[-1] is None


@pytest.mark.parametrize("words", ["2", "h", "-1h", "0s", "8d", "1e3s", "٣h", "2h30m", "nan s"])
def test_a_wrong_duration_is_a_usage_error(words: str) -> None:
    result = mailward("pause", "--for", words)
    assert result.exit_code == Exit.USAGE
    assert "--for" in result.stderr


@pytest.mark.parametrize(
    ("words", "expected"), [("90s", 90), ("30m", 1800), ("30 min", 1800), ("1.5h", 5400), ("7d", 604800)]
)
def test_durations_have_units(words: str, expected: float) -> None:
    assert pausing.seconds(words) == expected


def test_pause_goes_past_a_daemon_that_does_not_run(tmp_path: Path) -> None:
    config, directory = store(tmp_path)
    result = mailward("pause", "--for", "1h", "--reason", "fear", config=config)
    assert result.exit_code == Exit.DONE
    assert "mailward does not run here" in result.stderr
    assert "written to the store" in result.stderr
    assert "fear" in json.dumps(left(directory))
    assert mailward("resume", config=config).exit_code == Exit.DONE
    assert left(directory) is None


def test_pause_goes_past_a_daemon_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "TIMEOUT_S", 0.1)
    config, directory = store(tmp_path)
    hanging = sockets.socket(sockets.AF_UNIX)
    hanging.bind(str(tmp_path / "none.sock"))
    hanging.listen(4)
    result = mailward("pause", config=config)
    hanging.close()
    assert result.exit_code == Exit.DONE
    assert "did not answer" in result.stderr
    assert left(directory) is not None


def test_pause_goes_past_a_daemon_whose_store_call_fails(running: Running, tmp_path: Path) -> None:
    config, directory = store(tmp_path)
    running.fake.broken = "the disk is full"
    assert mailward("pause", socket=running.path, config=config).exit_code == Exit.DONE
    assert left(directory) is not None


def test_root_leaves_the_pause_as_the_store_s_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, directory = store(tmp_path)
    became: list[tuple[str, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "seteuid", lambda uid: became.append(("user", uid)))
    monkeypatch.setattr(os, "setegid", lambda gid: became.append(("group", gid)))
    assert mailward("pause", config=config).exit_code == Exit.DONE
    owner = directory.stat()
    assert became == [("group", owner.st_gid), ("user", owner.st_uid), ("user", 0), ("group", 0)]


def test_an_endless_answer_is_broken_off(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_ANSWER_BYTES", 100)
    result = mailward("status", socket=running.path)
    assert result.exit_code == Exit.UNREACHABLE
    assert "longer than 100 bytes" in result.stderr


@pytest.mark.parametrize("servers", ["zk-a:port", "[::1"])
def test_a_mistake_in_the_file_is_told_when_a_pause_can_be_left_nowhere(tmp_path: Path, servers: str) -> None:
    """Nothing is checked before: whatever is right in the file is tried."""
    config = tmp_path / "mailward.yaml"
    config.write_text(f"cluster: lab\ncoordination: {{zookeeper: {{servers: ['{servers}']}}}}\n")
    result = mailward("pause", socket=tmp_path / "none.sock", config=config)
    assert result.exit_code == Exit.UNREACHABLE
    assert "The store cannot be written either: " in result.stderr
    assert servers in result.stderr


def test_a_pause_that_can_be_left_nowhere_exits_3(tmp_path: Path) -> None:
    config = tmp_path / "m.yaml"
    config.write_text("coordination: {local: {directory: nowhere}}")
    result = mailward("pause", socket=tmp_path / "none.sock", config=config)
    assert result.exit_code == Exit.UNREACHABLE
    assert "cannot be written either" in result.stderr


@pytest.mark.parametrize("words", [["status"], ["explain"], ["failover", "mail-a"], ["drain", "mail-a"]])
def test_without_a_daemon_there_is_a_sentence_with_what_to_try(tmp_path: Path, words: list[str]) -> None:
    result = mailward(*words, socket=tmp_path / "none.sock")
    assert result.exit_code == Exit.UNREACHABLE
    assert "systemctl status mailward" in result.stderr
    assert "journalctl -u mailward" in result.stderr
    assert "Traceback" not in result.output + result.stderr


def test_a_stale_socket_and_one_of_something_else_are_told_apart(tmp_path: Path) -> None:
    stale = sockets.socket(sockets.AF_UNIX)
    stale.bind(str(tmp_path / "stale.sock"))
    stale.close()
    assert "nobody listens" in mailward("status", socket=tmp_path / "stale.sock").stderr

    other = sockets.socket(sockets.AF_UNIX)
    other.bind(str(tmp_path / "other.sock"))
    other.listen(1)

    def answer() -> None:
        with suppress(OSError):
            connection, _ = other.accept()
            connection.recv(1000)
            connection.sendall(b"220 mail.example.org ESMTP\r\n")
            connection.close()

    thread = threading.Thread(target=answer)
    thread.start()
    result = mailward("status", socket=tmp_path / "other.sock")
    thread.join(5)
    other.close()
    assert result.exit_code == Exit.UNREACHABLE
    assert "broke off" in result.stderr


@pytest.mark.parametrize(
    ("words", "may_be"), [(["drain", "mail-a"], True), (["drain", "mail-a", "--dry-run"], False)]
)
def test_of_a_request_that_was_sent_to_a_daemon_that_died_it_is_said_that_it_may_be_carried_out(
    tmp_path: Path, words: list[str], may_be: bool
) -> None:
    dying = sockets.socket(sockets.AF_UNIX)
    dying.bind(str(tmp_path / "m.sock"))
    dying.listen(1)

    def die() -> None:
        with suppress(OSError):
            connection, _ = dying.accept()
            connection.recv(10_000)
            connection.close()

    thread = threading.Thread(target=die)
    thread.start()
    result = mailward(*words, socket=tmp_path / "m.sock")
    thread.join(5)
    dying.close()
    assert result.exit_code == Exit.UNREACHABLE
    assert "broke off" in result.stderr
    assert ("The request may have been taken up all the same" in result.stderr) is may_be
    assert "taken up" not in mailward(*words, socket=tmp_path / "m.sock").stderr


def test_of_a_request_whose_daemon_dies_before_it_is_taken_up_it_is_said_that_it_may_be_carried_out(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It did not run, it said, and at its next start the node was drained."""

    def dies(_seconds: float) -> None:
        running.path.unlink(missing_ok=True)

    monkeypatch.setattr("mailward.app.commands.asking.time.sleep", dies)
    result = mailward("drain", "mail-a", socket=running.path)
    assert result.exit_code == Exit.UNREACHABLE
    (entry,) = running.fake.posted
    assert isinstance(entry, Request)
    assert f"The request {entry.id} may have been taken up all the same" in result.stderr
    assert "mailward status" in result.stderr


def test_a_daemon_that_is_starting_is_shown_as_such(running: Running) -> None:
    running.fake.shown = scenes.starting()
    result = mailward("status", socket=running.path)
    assert result.exit_code == 0
    assert result.output.startswith("Automation: HELD: starting")
    assert mailward("failover", "mail-a", socket=running.path).exit_code == Exit.FAILED


def test_the_socket_is_found_in_the_configuration(running: Running, tmp_path: Path) -> None:
    config = tmp_path / "m.yaml"
    config.write_text(f"api:\n  socket: {running.path.name}\nnonsense: [\n")
    assert mailward("status", config=config).exit_code == Exit.UNREACHABLE  # broken YAML: the default socket
    config.write_text(f"api:\n  socket: {running.path.name}\nsecrets: unreadable\n")
    assert mailward("status", config=config).exit_code == Exit.DONE


def test_socket_and_config_may_stand_before_the_command(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAILWARD_SOCKET", "/nonexistent")
    monkeypatch.setenv("MAILWARD_CONFIG", "/nonexistent")
    result = CliRunner().invoke(app, ["--socket", str(running.path), "--config", "/dev/null", "status"])
    assert result.exit_code == Exit.DONE


def test_an_unforeseen_error_is_a_sentence(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(looking, "status", explode)
    result = mailward("status", socket=running.path)
    assert result.exit_code == Exit.FAILED
    assert "a fault of mailward's: ZeroDivisionError" in result.stderr


def test_config_check_lists_every_mistake(tmp_path: Path) -> None:
    config = tmp_path / "m.yaml"
    config.write_text("clutser: x\n")
    result = mailward("config", "check", str(config))
    assert result.exit_code == Exit.FAILED
    assert "clutser" in result.stderr
    assert "mistake" in result.stderr


def shell(line: str, running: Running) -> tuple[int, str]:
    """A line of bash with `$M` as the command; the exit code of the first in its pipe, and stderr."""
    command = f"{sys.executable} -m mailward.app.cli --socket {running.path}"
    done = subprocess.run(
        ["bash", "-c", f"{line}; exit ${{PIPESTATUS[0]}}"],
        capture_output=True, text=True, timeout=30, env={**os.environ, "M": command},
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "line",
    [
        "$M status >&-",
        "$M status <&- >&- 2>&-",
        "$M explain >&-",
        "$M explain --json >&-",
        "$M explain | true",
        "$M explain --json | true",
        "$M status --watch | true",
    ],
)
def test_who_looks_and_has_nobody_to_tell_is_silent(running: Running, line: str) -> None:
    """Found by hand: a closed stdout was called a fault of mailward's, a closed pipe a failure."""
    assert shell(line, running) == (0, "")


def test_a_check_whose_text_nobody_reads_tells_by_its_exit_code_all_the_same(running: Running) -> None:
    running.fake.shown = daemon("held").shown
    assert shell("$M status --check | true", running) == (Exit.HELD, "")


def test_another_command_whose_text_nobody_reads_is_silent(running: Running) -> None:
    code, said = shell("$M drain mail-a --dry-run --json | true", running)
    assert (code in (Exit.DONE, Exit.FAILED), said) == (True, "")


def test_a_demo_that_is_interrupted_says_so_by_its_exit_code_and_leaves_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "mailward.app.cli", "demo"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert "starting two mail nodes" in process.stdout.readline()
        assert list(tmp_path.glob("mailward-demo-*"))
        process.send_signal(signal.SIGINT)
        shown, _ = process.communicate(timeout=60)
    assert process.returncode == Exit.INTERRUPTED, shown
    assert "Traceback" not in shown
    assert not list(tmp_path.iterdir())


def test_help_needs_neither_aiohttp_nor_pydantic() -> None:
    code = (
        "import sys, mailward.app.cli\n"
        "heavy = {'aiohttp', 'pydantic', 'asyncssh', 'dns', 'prometheus_client', 'yaml'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, env={**os.environ}
    )
    assert done.returncode == 0, done.stderr


# planned for later


class OfACluster(FakeDaemon):
    """It decides as time goes by here."""

    def __init__(self) -> None:
        self.scene = Scene.of_a_cluster()
        self.scene.ahead_s = time.time() - self.scene.now.wall_s
        super().__init__(self._view())

    def _view(self) -> View:
        return View("watch", self.scene.now, self.scene.now, self.scene.snapshot(), self.scene.look())

    def view(self) -> View:
        self.scene.now_s += max(0.0, time.time() - self.scene.now.wall_s)
        self.scene.settle()
        return self._view()

    def dry_run(self, request: Request) -> Decision:
        return decide(replace(self.scene.snapshot(), requests=(request,)))

    async def post(self, entry: Request | Pause | None) -> None:
        assert isinstance(entry, Request)
        self.scene.requests.append(entry)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Running]:
    up = Running(OfACluster(), tmp_path / "m.sock")
    yield up
    up.close()


def test_a_switchover_for_later_is_left_shown_and_withdrawn(cluster: Running) -> None:
    result = mailward("switchover", "b", "--at", "in 2h", socket=cluster.path)
    assert result.exit_code == Exit.DONE
    told = r"scheduled for .* \(request (\w+)\)\nWithdraw it with: mailward cancel \1\n"
    found = re.search(told, result.output)
    assert found is not None
    status = " ".join(mailward("status", socket=cluster.path).output.split())
    planned = rf"Scheduled switchover b at .*, in (2 h|1 h 59 min), by \S+ .*\(request {found[1]}\)"
    assert re.search(planned, status)
    result = mailward("cancel", found[1], socket=cluster.path)
    assert result.exit_code == Exit.DONE
    assert f"the switchover {found[1]} is withdrawn" in " ".join(result.output.split())
    result = mailward("cancel", found[1], socket=cluster.path)
    assert (result.exit_code, result.output) == (
        Exit.FAILED, f"mailward: no request {found[1]} waits; there is none\n"
    )  # fmt: skip


def test_it_may_be_planned_as_far_ahead_as_the_daemon_takes_it(cluster: Running) -> None:
    assert later.MAX_AHEAD_S == routes.MAX_AHEAD_S
    assert mailward("switchover", "b", "--at", "in 30d", socket=cluster.path).exit_code == Exit.DONE
    result = mailward("switchover", "b", "--at", "in 32d", socket=cluster.path)
    assert result.exit_code == Exit.USAGE
    assert "'32d' is not between 1s and 31d" in " ".join(result.output.split())


@pytest.mark.parametrize("nothing", ["", " "])
def test_who_withdraws_nothing_is_told_where_its_id_is_shown(cluster: Running, nothing: str) -> None:
    result = mailward("cancel", nothing, socket=cluster.path)
    assert result.exit_code == Exit.USAGE
    assert "empty: write its id" in " ".join(result.output.split())


def test_wait_waits_for_its_time_as_well_and_then_to_the_end(cluster: Running) -> None:
    began_s = time.monotonic()
    words = ("switchover", "b", "--at", "in 1.5s", "--wait", "--timeout", "20")
    result = mailward(*words, socket=cluster.path)
    assert result.exit_code == Exit.DONE
    assert time.monotonic() - began_s >= 1.5
    lines = result.output.splitlines()
    assert lines[0].startswith("scheduled for ")
    assert any(line.startswith("done (request ") for line in lines)


def test_wait_goes_on_while_the_daemon_is_away_until_its_time(
    cluster: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, real = iter(range(100)), client.call

    def call(path: Path, method: str, *rest: object) -> bytes:
        if method == "GET" and 3 <= next(calls) <= 5:
            raise client.Unreachable("it is being started")
        return real(path, method, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(client, "call", call)
    words = ("switchover", "b", "--at", "in 0.5s", "--wait", "--timeout", "20")
    assert mailward(*words, socket=cluster.path).exit_code == Exit.DONE
    assert next(calls) > 5


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--at", "soon"), "'soon' is no time; write 02:30"),
        (("--at", "02:30", "--force"), "what it accepts has to be seen when it is said"),
    ],
)
def test_a_time_that_is_none_is_said(cluster: Running, words: tuple[str, ...], says: str) -> None:
    result = mailward("switchover", "b", *words, socket=cluster.path)
    assert result.exit_code == Exit.USAGE
    assert says in " ".join(result.output.replace("│", " ").split())


def test_a_dry_run_for_later_says_what_would_hold_it_now(cluster: Running) -> None:
    assert isinstance(cluster.fake, OfACluster)
    words = ("switchover", "b", "--at", "in 2h", "--dry-run")
    assert mailward(*words, socket=cluster.path).exit_code == Exit.DONE
    cluster.fake.scene.down("b")
    result = mailward(*words, socket=cluster.path)
    assert result.exit_code == Exit.HELD
    assert "as things are it would be refused then: heir: b is failed" in " ".join(result.output.split())
    assert cluster.fake.scene.requests == []

"""Logs which cannot leak a secret or be forged, and systemd's messages."""

import io
import json
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from mailward.app import logs, notify
from mailward.model.health import Verdict
from mailward.model.token import Token


@pytest.fixture(autouse=True)
def _kept() -> Iterator[None]:
    """Logging is the process's own: put it back."""
    root, ours = logging.getLogger(), logging.getLogger("mailward")
    before = (root.handlers[:], root.level, ours.level, logging.raiseExceptions)
    yield
    root.handlers[:], root.level, ours.level = before[0], before[1], before[2]
    logging.raiseExceptions = before[3]


def logged(form: logs.Format = logs.Format.TEXT, verbose: bool = False) -> tuple[logging.Logger, io.StringIO]:
    stream = io.StringIO()
    logs.set_up(form, verbose=verbose, stream=stream)
    return logging.getLogger("mailward.test"), stream


def test_an_event_is_one_line_of_keys_and_values() -> None:
    log, stream = logged()
    token = Token("3f2a9c01", 7, 3)
    log.warning("withdrew %s", "mail-a", extra={"verdict": Verdict.DOWN, "token": token, "why": "two words"})
    (line,) = stream.getvalue().splitlines()
    assert line.endswith('WARNING test: withdrew mail-a token=3f2a9c01.7.3 verdict=DOWN why="two words"')


def test_json_lines_are_objects() -> None:
    log, stream = logged(logs.Format.JSON)
    log.info("ready", extra={"nodes": 2, "level": "mine"})
    line = json.loads(stream.getvalue())
    assert (line["level"], line["message"], line["nodes"], line["field_level"]) == (
        "info",
        "ready",
        2,
        "mine",
    )


@pytest.mark.parametrize("form", [logs.Format.TEXT, logs.Format.JSON])
def test_objects_that_may_hold_a_secret_show_only_their_type(form: logs.Format) -> None:
    class Settings:
        def __repr__(self) -> str:
            return "password=hunter2"

    log, stream = logged(form)
    secret = {"password": "hunter2"}
    log.info(
        "with %s",
        Settings(),
        extra={"a": SecretStr("hunter2"), "b": secret, "c": ["hunter2"], "d": b"hunter2"},
    )
    log.info("with %(x)s", {"x": secret})
    assert "hunter2" not in stream.getvalue()
    assert "<Settings>" in stream.getvalue()


@pytest.mark.parametrize("form", [logs.Format.TEXT, logs.Format.JSON])
def test_a_traceback_names_places_and_no_values(form: logs.Format) -> None:
    log, stream = logged(form)
    password = "hunter2"

    def login(given: str) -> None:
        raise ValueError("the server said no")

    try:
        login(password)
    except ValueError:
        log.exception("could not log in")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: the server said no at login:" in line
    assert password not in line


def test_nobody_can_forge_a_line_or_write_without_end() -> None:
    log, stream = logged()
    log.warning("banner %s", "x\n<0>forged\x1b[2J" + "y" * 100_000, extra={"k\ney": "a\nb" + "z" * 100_000})
    assert len(stream.getvalue().splitlines()) == 1
    assert len(stream.getvalue()) < 3000
    assert "\x1b" not in stream.getvalue()


def test_a_wrong_format_string_is_logged_and_not_raised() -> None:
    log, stream = logged()
    log.warning("%d nodes", "two")
    assert "%d nodes" in stream.getvalue()


def test_libraries_speak_from_warning_on_and_we_from_info() -> None:
    log, stream = logged()
    logging.getLogger("asyncssh").info("chatter")
    log.debug("detail")
    log.info("event")
    assert stream.getvalue().count("\n") == 1
    log, stream = logged(verbose=True)
    log.debug("detail")
    assert "detail" in stream.getvalue()


def test_in_the_journal_each_line_begins_with_its_priority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "journal").open("w+") as stream:
        there = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{there.st_dev}:{there.st_ino}")
        logs.set_up(logs.Format.AUTO, stream=stream)
        logging.getLogger("mailward.test").error("held")
        stream.seek(0)
        assert stream.read() == "<3>test: held\n"


def receiver(address: str) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(address)
    listening.settimeout(2)
    return listening


def test_systemd_is_told_over_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with receiver(str(tmp_path / "notify")) as systemd:
        assert notify.notify("READY=1", "STATUS=two\nlines")
        assert systemd.recv(1000) == b"READY=1\nSTATUS=two lines"


def test_systemd_is_told_over_an_abstract_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"mailward-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    with receiver(f"\0{name}") as systemd:
        assert notify.notify("WATCHDOG=1")
        assert systemd.recv(1000) == b"WATCHDOG=1"


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "/nonexistent/notify"])
def test_without_systemd_nothing_is_told_and_nothing_fails(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert notify.notify("READY=1") is False

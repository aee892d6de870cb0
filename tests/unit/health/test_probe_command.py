"""`mailward probe URL`: what it asks, prints and exits with."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer
from tests.unit.health.conftest import Authority
from tests.unit.health.scripted import Handler, Loopback, script
from typer.testing import CliRunner

from mailward.app.probe_command import Url, UsageError, probe

app = typer.Typer()
app.command()(probe)
runner = CliRunner()

SMTP = (b"220 mail-a.test ESMTP\r\n", None, b"250-mail-a.test\r\n250 AUTH PLAIN\r\n")
IMAP = (
    *(b"* OK mail-a.test ready\r\n", None, b"* CAPABILITY IMAP4rev1\r\nm1 OK\r\n", None, b"m2 OK\r\n"),
    *(None, b"* 0 EXISTS\r\nm3 OK\r\n", None, b"m4 OK\r\n", None, b"* BYE\r\nm5 OK\r\n"),
)


@contextmanager
def serving(handler: Handler, **options: object) -> Iterator[int]:
    """A server in a thread of its own, because the command runs a loop of its own."""
    ready, port, stop = threading.Event(), [0], asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        async with Loopback(handler, **options) as port[0]:
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(5)
    yield port[0]
    loops[0].call_soon_threadsafe(stop.set)
    thread.join(5)


def test_a_good_server_is_ok_with_its_stages() -> None:
    with serving(script(*SMTP, None, b"221 bye\r\n")) as port:
        done = runner.invoke(app, [f"smtp://127.0.0.1:{port}"])
    assert done.exit_code == 0, done.output
    words = done.output.split()
    assert [word for word in words if word in ("connect", "banner", "ehlo", "quit")] == [
        *("connect", "banner", "ehlo", "quit")
    ]
    assert "answered by  mail-a.test" in done.output
    assert "in clear" in done.output
    assert "\nOK in " in done.output


def test_a_login_over_tls_as_json(authority: Authority, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("s3cret-Pass\nsecond line\n")
    with serving(script(*IMAP), ssl=authority.server("127.0.0.1")) as port:
        done = runner.invoke(
            app,
            [
                *(f"imaps://127.0.0.1:{port}", "--login", "canary", "--password-file", str(secret)),
                *("--ca", str(authority.ca_file), "--json"),
            ],
        )
    assert done.exit_code == 0, done.output
    shown = json.loads(done.output)
    assert shown["ok"] is True
    assert shown["answered_by"] == "mail-a.test"
    assert shown["certificate"]["names"] == ["127.0.0.1"]
    assert 59 < shown["certificate"]["days_left"] < 61
    assert [row["stage"] for row in shown["stages"]] == [
        *("connect", "tls", "greeting", "capability", "login", "examine", "noop", "logout")
    ]
    assert "s3cret" not in done.output


def test_a_failure_exits_with_one_and_says_where() -> None:
    with serving(script(*SMTP[:2], b"421 too busy\r\n")) as port:
        done = runner.invoke(app, [f"submission://127.0.0.1:{port}"])
        again = runner.invoke(app, [f"submission://127.0.0.1:{port}", "--json"])
    assert done.exit_code == 1
    assert done.output.splitlines()[-1] == "FAILED: tempfail at ehlo: 421 too busy"
    assert again.exit_code == 1
    assert json.loads(again.output)["failure"] == {
        "kind": "tempfail",
        "stage": "ehlo",
        "detail": "421 too busy",
    }


def test_a_silent_server_is_given_up_in_time() -> None:
    with serving(script()) as port:
        done = runner.invoke(app, [f"imap://127.0.0.1:{port}", "--timeout", "0.1"])
    assert done.exit_code == 1
    assert "FAILED: timeout at greeting: no answer in 0.1 s" in done.output


def test_a_password_goes_in_clear_only_when_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILWARD_PASSWORD", "s3cret-Pass")
    with serving(script(*SMTP, None, b"235 ok\r\n", None, b"221 bye\r\n")) as port:
        url = f"submission://127.0.0.1:{port}"
        held_back = runner.invoke(app, [url, "--login", "canary"])
        told = runner.invoke(app, [url, "--login", "canary", "--plain"])
    assert held_back.exit_code == 1
    assert "FAILED: tls at starttls: the server does not offer STARTTLS" in held_back.output
    assert told.exit_code == 0, told.output


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["mail.example.com"], "mail.example.com: it must begin with one of smtp, smtps, submission, imap"),
        (["http://mail.example.com"], "it must begin with one of"),
        (["imaps:mail.example.com"], "it must begin with one of"),
        (["imaps://"], "write it like imaps://mail.example.com"),
        (["imaps://a b"], "write it like imaps://mail.example.com"),
        (["imaps://host/INBOX"], "write it like imaps://mail.example.com"),
        (["imaps://host:99999"], "Port out of range"),
        (["imaps://host:0"], "port 0"),
        (["imaps://[::1"], "write it like imaps://mail.example.com"),
        (["imaps://me:s3cret@host"], "user and password do not belong in the URL; use --login"),
        (
            ["imaps://host", "--login", "me"],
            "--login me: no password; give the password in $",
        ),
        (["imaps://host", "--login", "me", "--password-file", "/nonexistent"], "No such file or directory"),
        (["imaps://host", "--login", "me", "--password-file", "/dev/zero"], "it is not a regular file"),
        (["imaps://host", "--login", "me", "--password-file", "/"], "it is not a regular file"),
        (["imaps://host", "--password-file", "/nonexistent"], "only with --login"),
        (["imap://host", "--rcpt", "a@b"], "--rcpt is for SMTP"),
        (["smtp://host", "--rcpt", "a b"], "recipient: not a mail address: 'a b'"),
        (["imaps://host", "--ca", "/nonexistent.pem"], "/nonexistent.pem: No such file or directory"),
        (["imap://host", "--mailbox", "Entwürfe"], "mailbox: only printable ASCII names"),
    ],
)
def test_a_question_that_cannot_be_asked_exits_with_two(arguments: list[str], problem: str) -> None:
    done = runner.invoke(app, arguments, env={"MAILWARD_PASSWORD": ""})
    assert done.exit_code == 2
    assert problem in done.output
    assert "s3cret" not in done.output


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("smtp://mail", "smtp://mail:25"),
        ("SUBMISSION://Mail.Example.COM", "submission://mail.example.com:587"),
        ("smtps://10.0.0.1", "smtps://10.0.0.1:465"),
        ("imap://mail:1143/", "imap://mail:1143"),
        ("imaps://[2001:db8::1]", "imaps://[2001:db8::1]:993"),
    ],
)
def test_urls(text: str, shown: str) -> None:
    assert str(Url.parse(text)) == shown


def test_nothing_but_the_five_schemes() -> None:
    with pytest.raises(UsageError, match="pop3"):
        Url.parse("pop3://mail")

"""`serve`: one request a process, bound to its nonce and to two seconds."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailward.fencing.node import protocol, serve
from mailward.fencing.node.refusal import Refused

NONCE = "0123456789abcdef"
ORDER = {"do": "ports", "token": "abcdef01.1.1", "ports": {"imaps": "closed"}}


class Talk:
    """The controller's side of a helper that runs in a thread."""

    def __init__(self, config: Path) -> None:
        there, self.to = os.pipe()
        self.frm, back = os.pipe()
        self.thread = threading.Thread(target=serve.serve, args=(str(config), there, back))
        self.thread.start()
        self.lines = os.fdopen(self.frm)
        self.hello = json.loads(self.lines.readline())

    def say(self, request: dict[str, Any]) -> None:
        os.write(self.to, json.dumps({"nonce": self.hello["nonce"], **request}).encode() + b"\n")

    def answer(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.lines.readline())
        return answer

    def end(self) -> None:
        self.thread.join()
        os.close(self.to)
        self.lines.close()


@pytest.fixture
def talk(tmp_path: Path, node: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    config = tmp_path / "node.json"
    config.write_text(
        json.dumps(
            {
                "services": {"imaps": 993},
                "state_dir": node.config.state_dir,
                "run_dir": node.config.run_dir,
            }
        )
    )
    monkeypatch.setattr(serve, "choose", lambda: node.firewall)
    monkeypatch.setattr(serve, "end_sessions", lambda plan: None)
    monkeypatch.setattr(serve, "note", node.noted.append)

    @contextmanager
    def open_talk() -> Iterator[Talk]:
        talk = Talk(config)
        try:
            yield talk
        finally:
            talk.end()

    return open_talk


def test_an_order_is_answered_with_token_and_map(talk: Any, node: Any) -> None:
    with talk() as helper:
        assert helper.hello["token"] is None
        helper.say(ORDER)
        assert helper.answer() == {
            "ok": True,
            "store": "abcdef01",
            "token": "abcdef01.1.1",
            "ports": {"imaps": "closed"},
            "persisted": True,
        }
    assert node.closed == (993,)
    with talk() as helper:
        assert (helper.hello["store"], helper.hello["token"]) == ("abcdef01", "abcdef01.1.1")
        helper.say({"do": "claim", "token": "abcdef01.1.2"})
        assert helper.answer()["ok"]


def test_renewals_fill_no_journal_and_what_is_refused_stands_in_it(talk: Any, node: Any) -> None:
    leased = {**ORDER, "ports": {"imaps": "open"}, "lease_s": 30}
    renewal = {"do": "renew", "token": "abcdef01.1.1"}
    for request in (leased, renewal, renewal, {**renewal, "token": "abcdef01.1.0"}):
        with talk() as helper:
            helper.say(request)
            helper.answer()
    assert [entry.partition(":")[0] for entry in node.noted] == [
        'ports abcdef01.1.1 {"imaps"',
        "renew abcdef01.1.0 ",
    ]
    assert '{"lease_s":30.0}: obeyed' in node.noted[0]
    assert "refused (stale: " in node.noted[1]


def test_an_order_played_again_to_a_new_process_is_void(talk: Any, node: Any) -> None:
    with talk() as helper:
        old = helper.hello["nonce"]
        helper.say({"do": "claim", "token": "abcdef01.1.0"})
        helper.answer()
    with talk() as helper:
        helper.say({**ORDER, "nonce": old})
        answer = helper.answer()
    assert (answer["ok"], answer["error"], answer["token"]) == (False, "late", "abcdef01.1.0")
    assert node.firewall.plan is None


def test_an_order_held_back_longer_than_the_window_is_void(
    talk: Any, node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "WINDOW_S", 0.05)
    with talk() as helper:
        time.sleep(0.08)
        helper.say(ORDER)
        assert helper.answer()["error"] == "late"
    assert node.firewall.plan is None


def test_an_order_that_trickles_in_longer_than_the_window_is_void(
    talk: Any, node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "WINDOW_S", 0.05)
    with talk() as helper:
        line = json.dumps({"nonce": helper.hello["nonce"], **ORDER}).encode()
        os.write(helper.to, line)
        assert helper.answer()["error"] == "late"
    assert node.firewall.plan is None


def test_a_request_too_long_is_refused_without_reading_on(talk: Any) -> None:
    with talk() as helper:
        os.write(helper.to, b"x" * 65536)
        os.write(helper.to, b"x" * 10)
        answer = helper.answer()
    assert (answer["error"], answer["message"]) == ("bad-request", "a request has at most 65536 bytes")


def test_a_request_broken_off_is_refused(tmp_path: Path, talk: Any) -> None:
    with talk() as helper:
        os.write(helper.to, b'{"nonce":')
        os.close(helper.to)
        answer = helper.answer()
        helper.to = os.open(os.devnull, os.O_WRONLY)
    assert answer["error"] == "bad-request"


def test_a_configuration_that_cannot_be_used_is_the_answer(tmp_path: Path) -> None:
    talk = Talk(tmp_path / "absent.json")
    talk.say(ORDER)
    answer = talk.answer()
    talk.end()
    assert answer["error"] == "config"
    assert "absent.json: No such file" in answer["message"]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ([], "a request is a JSON object"),
        ({"nonce": NONCE}, "do: 'None' is not one of claim, connect, ports, renew, status"),
        ({"nonce": NONCE, "do": "reboot"}, "do: 'reboot' is not one of"),
        ({"nonce": NONCE, "do": "claim"}, "claim wants token beside nonce and do"),
        ({"nonce": NONCE, "do": "status", "token": "x"}, "status wants nothing beside"),
        ({"nonce": NONCE, "do": "claim", "token": "ABCDEF01.1.1"}, "not a token"),
        ({"nonce": NONCE, "do": "claim", "token": "abcdef01.01.1"}, "not a token"),
        ({"nonce": NONCE, "do": "claim", "token": 7}, "not a token"),
        (
            {"nonce": NONCE, "do": "ports", "token": "abcdef01.1.1", "ports": True},
            "a map of service to state",
        ),
        (
            {"nonce": NONCE, "do": "ports", "token": "abcdef01.1.1", "ports": {"imaps": False}},
            'ports.imaps: false is not "open", "closed" or {"detoured": "ADDRESS"}',
        ),
    ],
)
def test_a_bad_request_says_what_is_wrong(request_: object, message: str) -> None:
    with pytest.raises(Refused) as caught:
        protocol.parse_request(json.dumps(request_).encode(), NONCE)
    assert caught.value.code == "bad-request"
    assert message in caught.value.message


def test_a_key_said_twice_is_refused() -> None:
    line = b'{"nonce":"%s","do":"claim","token":"abcdef01.1.1","token":"abcdef01.9.9"}' % NONCE.encode()
    with pytest.raises(Refused, match="key 'token' appears twice"):
        protocol.parse_request(line, NONCE)


@given(st.binary(max_size=300))
def test_random_bytes_are_refused_and_nothing_else(line: bytes) -> None:
    with pytest.raises(Refused):
        protocol.parse_request(line, NONCE)


def test_a_map_may_say_detoured() -> None:
    ports = {"imaps": {"detoured": "192.0.2.2"}}
    request = {"nonce": NONCE, "do": "ports", "token": "abcdef01.1.1", "ports": ports}
    assert protocol.parse_request(json.dumps(request).encode(), NONCE).ports == ports

"""`state init --from` and `--adopt` of a cluster: who serves is recorded, or said; it is never guessed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.app.set_up import configured, mailward, remember
from typer.testing import Result

from mailward.app.exits import Exit
from mailward.controller.coordination import local
from mailward.model.clock import Moment
from mailward.model.state import Cause, Phase, PhaseRecord, State
from mailward.model.token import Token

ENDPOINT, STORE = "mail.test.example", "aaaabbbbcccc"
SENT = Token(STORE, 9, 4)
THEN = Moment("an earlier boot", 7.0, 1_700_000_000.0)
A, B = "127.0.0.31", "127.0.0.32"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Nodes mail-a and mail-b behind one endpoint. Their helpers cannot be asked; see `answering`."""
    file = configured(tmp_path)
    ssh = "{ssh: {key_file: key, known_hosts_file: known_hosts}}"
    for name in ("key", "known_hosts"):
        (tmp_path / name).write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
        (tmp_path / name).chmod(0o600)
    text = file.read_text().replace("deployment: hybrid", "deployment: cluster")
    file.write_text(text.replace("helper: none", f"helper: {ssh}"))
    return file


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the helpers answer that they remember this."""
    from mailward.app.commands import remembered

    def answer(token: Token | None = SENT) -> None:
        async def said(node: str, asking: Any) -> remembered.Remembered:
            asking.close()
            return remembered.Remembered(f"the helper of {node}", token)

        monkeypatch.setattr(remembered, "_ask_helper", said)

    return answer


def stands(node: str, phase: Phase, cause: Cause = Cause.NONE, detail: str = "") -> PhaseRecord:
    return PhaseRecord(node, ENDPOINT, phase, THEN, cause, detail)


SERVES, BY = stands("mail-a", Phase.IN_SERVICE), stands("mail-b", Phase.STANDBY)


def shown_of(config: Path, *phases: PhaseRecord, **more: Any) -> Path:
    """What `state show` printed of an earlier store."""
    directory, shown = config.parent / "store", config.parent / "shown"
    local.make(directory, State(STORE, SENT.epoch, seq=SENT.seq, phases=phases, **more))
    shown.write_text(mailward("state", "show", "--config", str(config)).stdout)
    for name in ("store", "epoch", "state", "pause"):
        (directory / f"{name}.json").unlink(missing_ok=True)
    return shown


def made(config: Path, *words: str) -> Result:
    return mailward("state", "init", "--config", str(config), *words)


def phases(config: Path) -> list[tuple[str, str, str]]:
    document = json.loads((config.parent / "store" / "state.json").read_text())["state"]
    return [(each["node"], each["phase"], each["cause"]) for each in document["phases"]]


def flat(result: Result) -> str:
    return " ".join(result.output.split())


def test_who_served_serves_on_where_nothing_contradicts_it(
    config: Path, answering: Callable[..., None]
) -> None:
    answering()
    remember(config, SENT, A)
    done = made(config, "--from", str(shown_of(config, SERVES, BY)))
    assert done.exit_code == Exit.DONE, done.output
    assert "mail-a serves, as it did then; the others stand by" in done.output
    assert phases(config) == [("mail-a", "in-service", "none"), ("mail-b", "standby", "none")]
    document = json.loads((config.parent / "store" / "state.json").read_text())["state"]
    assert {each["since"]["wall_s"] for each in document["phases"]} == {THEN.wall_s}


def test_who_was_out_stays_out_for_the_same_reason(config: Path, answering: Callable[..., None]) -> None:
    answering()
    remember(config, SENT, A)
    out = stands("mail-b", Phase.REJOINING, Cause.OPERATOR, "ann: new disks")
    done = made(config, "--from", str(shown_of(config, SERVES, out)))
    assert done.exit_code == Exit.DONE, done.output
    assert "mail-b is out of mail.test.example (ann: new disks): it stays out until you type" in flat(done)
    assert phases(config) == [("mail-a", "in-service", "none"), ("mail-b", "out", "operator")]


@pytest.mark.parametrize(
    ("told", "more", "doubt"),
    [
        ((stands("mail-a", Phase.DEMOTING), BY), {}, "service was being moved"),
        ((SERVES, stands("mail-b", Phase.PROMOTING)), {}, "service was being moved"),
        ((SERVES, stands("mail-b", Phase.IN_SERVICE)), {}, "mail-a and mail-b served"),
        ((stands("mail-a", Phase.OUT), BY), {}, "nobody served"),
        ((), {}, "nobody served"),
        ((stands("mail-c", Phase.IN_SERVICE), BY), {}, "mail-c served, and is not configured any more"),
        (
            (SERVES, BY, PhaseRecord("mail-a", "mx.test.example", Phase.OUT, THEN)), {},
            "mail-a served a part only",
        ),
        ((SERVES, BY), {"superseded": "two"}, "another controller led by then, or it was an old copy"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_tell_who_serves_is_not_believed(
    config: Path, answering: Callable[..., None], told: tuple[PhaseRecord, ...], more: Any, doubt: str
) -> None:
    answering()
    remember(config, SENT, A)
    shown = shown_of(config, *told, **more)
    refused = made(config, "--from", str(shown))
    assert refused.exit_code == Exit.FAILED
    assert f"does not tell for certain who serves now: {doubt}. Say it: mailward state init" in flat(refused)
    assert "--active NODE, one of mail-a, mail-b" in flat(refused)
    assert not (config.parent / "store" / "store.json").exists()
    done = made(config, "--from", str(shown), "--active", "mail-b")
    assert done.exit_code == Exit.DONE, done.output
    assert ("mail-b", "in-service", "none") in phases(config)
    assert len([each for each in phases(config) if each[1] == "in-service"]) == 1


@pytest.mark.parametrize("named", [(B,), (A, B)])
def test_who_served_is_not_believed_where_dns_names_another(
    config: Path, answering: Callable[..., None], named: tuple[str, ...]
) -> None:
    """It was failed over after `state show`, or another controller did it."""
    answering()
    remember(config, SENT, *named)
    refused = made(config, "--from", str(shown_of(config, SERVES, BY)))
    assert refused.exit_code == Exit.FAILED
    assert f"mail-a served, and DNS names {B} for mail.test.example. Say it" in flat(refused)


def test_who_served_is_not_believed_where_something_was_ordered_since(
    config: Path, answering: Callable[..., None]
) -> None:
    """Its failover has come as far as its fence: DNS names it as before."""
    answering(Token(STORE, 9, 5))
    remember(config, SENT, A)
    shown = shown_of(config, SERVES, stands("mail-b", Phase.OUT, Cause.SERVICE, "smtp refused"))
    refused = made(config, "--from", str(shown))
    assert "the helper of mail-a has obeyed an order since" in flat(refused)
    done = made(config, "--from", str(shown), "--active", "mail-a")
    assert done.exit_code == Exit.DONE, done.output
    assert "smtp refused; since then it may have been drained" in flat(done)
    assert phases(config) == [("mail-a", "in-service", "none"), ("mail-b", "out", "operator")]


def test_who_served_is_not_believed_where_somebody_could_not_be_asked(config: Path) -> None:
    remember(config, SENT, A)
    refused = made(config, "--from", str(shown_of(config, SERVES, BY)), "--without-asking")
    assert refused.exit_code == Exit.FAILED
    assert "mail-a served, and the helper of mail-a cannot be asked what happened since" in flat(refused)


def test_a_store_that_is_adopted_is_told_who_serves(config: Path, answering: Callable[..., None]) -> None:
    answering()
    remember(config, SENT, A)
    refused = made(config, "--adopt", STORE)
    assert refused.exit_code == Exit.FAILED
    assert (
        "what is remembered outside does not tell: say which node serves now: "
        "mailward state init --adopt aaaabbbbcccc --active NODE, one of mail-a, mail-b"
    ) in flat(refused)
    done = made(config, "--adopt", STORE, "--active", "mail-a")
    assert done.exit_code == Exit.DONE, done.output
    assert phases(config) == [("mail-a", "in-service", "none"), ("mail-b", "standby", "none")]

"""`state init --from`: a store that goes on with what an earlier one held."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.unit.app.set_up import configured, mailward, remember

from mailward.app.exits import Exit
from mailward.controller.clock import SystemClock
from mailward.controller.coordination import local
from mailward.model.state import Cause, Flap, Pause, Phase, PhaseRecord, State
from mailward.model.token import Token


def shown_of(config: Path, tmp_path: Path, *phases: PhaseRecord, epoch: int = 9) -> Path:
    """What `state show` printed of an earlier store, in which a pause was set."""
    now = SystemClock().now()
    state = State("aaaabbbbcccc", epoch, phases=phases, flaps=(Flap("mail-b", Cause.SERVICE, 2, now),))
    local.make(tmp_path / "store", state, Pause("ann", "moving house", now, now.wall_s + 3600))
    shown = mailward("state", "show", "--config", str(config))
    assert shown.exit_code == Exit.DONE, shown.stderr
    for name in ("store", "epoch", "state", "pause"):  # and what its name server remembers stays
        (tmp_path / "store" / f"{name}.json").unlink()
    (tmp_path / "shown").write_text(shown.stdout)
    return tmp_path / "shown"


def taken_over(config: Path, shown: Path) -> tuple[str, dict[str, Any]]:
    done = mailward("state", "init", "--config", str(config), "--from", str(shown))
    assert done.exit_code == Exit.DONE, done.output
    document = json.loads((config.parent / "store" / "state.json").read_text())["state"]
    return done.stdout, document


def out(cause: Cause, detail: str, phase: Phase = Phase.OUT) -> PhaseRecord:
    return PhaseRecord("mail-b", "mail.test.example", phase, SystemClock().now(), cause, detail)


def test_a_store_that_takes_over_knows_why_a_node_is_out_and_that_it_is_paused(tmp_path: Path) -> None:
    config = configured(tmp_path)
    remember(config, Token("aaaabbbbcccc", 41, 7), "127.0.0.31")
    draining = out(Cause.OPERATOR, "ann: new disks", Phase.DRAINING)
    said, document = taken_over(config, shown_of(config, tmp_path, draining))
    assert "mail-b is out of mail.test.example (ann: new disks): it stays out until" in said
    assert [(p["phase"], p["detail"]) for p in document["phases"]] == [("out", "ann: new disks")]
    assert (document["epoch"], document["made_epoch"]) == (41, 41), "above what the outside remembers"
    assert [flap["count"] for flap in document["flaps"]] == [2]
    pause = json.loads((tmp_path / "store" / "pause.json").read_text())["pause"]
    assert pause["reason"] == "moving house"


def test_who_was_out_may_have_been_drained_since_the_file_was_written(tmp_path: Path) -> None:
    """It had failed when the file was written; the targets remember more than that store sent until then."""
    config = configured(tmp_path)
    remember(config, Token("aaaabbbbcccc", 41, 7), "127.0.0.31")
    said, document = taken_over(config, shown_of(config, tmp_path, out(Cause.SERVICE, "smtp refused")))
    assert "(smtp refused; since then it may have been drained): it stays out until you type" in said
    assert [p["cause"] for p in document["phases"]] == ["operator"]


def test_that_the_new_store_is_paused_is_said(tmp_path: Path) -> None:
    config = configured(tmp_path)
    remember(config, Token("aaaabbbbcccc", 41, 7), "127.0.0.31", "127.0.0.32")
    shown = shown_of(config, tmp_path)
    shown.write_text(re.sub(r'("until_wall_s": )[0-9.e+]+', r"\g<1>1e300", shown.read_text()))
    assert "Paused by ann until a time that no clock shows: moving house" in taken_over(config, shown)[0]


def test_a_file_of_another_store_than_the_targets_obey_is_told(tmp_path: Path) -> None:
    config = configured(tmp_path)
    remember(config, Token("ddddeeeeffff", 41, 7), "127.0.0.31")
    shown = shown_of(config, tmp_path)
    done = mailward("state", "init", "--config", str(config), "--from", str(shown))
    assert done.exit_code == Exit.FOREIGN
    assert "is of store aaaabbbbcccc, and what was asked obeys ddddeeeeffff" in done.output.replace("\n", " ")


def test_a_store_that_takes_over_starts_above_what_the_earlier_one_may_have_sent(tmp_path: Path) -> None:
    config = configured(tmp_path)
    remember(config, Token("aaaabbbbcccc", 41, 7), "127.0.0.31", "127.0.0.32")
    assert taken_over(config, shown_of(config, tmp_path, epoch=55))[1]["epoch"] == 55


def test_what_dns_contradicts_is_not_believed_and_said(tmp_path: Path) -> None:
    """It was readmitted after `state show`: taken at its word, the file would take it out again."""
    config = configured(tmp_path)
    remember(config, Token("aaaabbbbcccc", 41, 7), "127.0.0.31", "127.0.0.32")
    said, document = taken_over(config, shown_of(config, tmp_path, out(Cause.OPERATOR, "ann: new disks")))
    assert "mail-b was out of mail.test.example then; DNS names it: it counts as in service" in said
    assert document["phases"] == []


def test_where_dns_says_nothing_of_an_endpoint_the_earlier_store_s_word_counts(tmp_path: Path) -> None:
    config = configured(tmp_path)
    remember(config, Token("aaaabbbbcccc", 9, 0))
    said, document = taken_over(config, shown_of(config, tmp_path, out(Cause.SERVICE, "smtp refused")))
    assert (
        "mail-b is out of mail.test.example (smtp refused): it comes back by itself when it is well" in said
    )
    assert [p["cause"] for p in document["phases"]] == ["service-failed"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("nothing", "is not what `mailward state show` prints: JSONDecodeError"),
        ("[]", "is not what `mailward state show` prints: TypeError"),
        ('{"store": {}}', "is not what `mailward state show` prints: KeyError('state')"),
        (
            '{"store": {"store_id": "aaaabbbbcccc"}, "state": {"store_id": "aaaabbbbcccc", "epoch": 3},'
            ' "epoch": 1e18, "pause": null}',
            "no epoch is 1000000000000000000",
        ),
        (
            '{"store": {"store_id": "aaaabbbbcccc"}, "state": {"epoch": 3}, "epoch": 3, "pause": null}',
            "holds no valid State: store_id: Field required",
        ),
    ],
)
def test_a_file_that_is_no_store_is_told(tmp_path: Path, content: str, why: str) -> None:
    config = configured(tmp_path)
    (tmp_path / "shown").write_text(content)
    done = mailward("state", "init", "--config", str(config), "--from", str(tmp_path / "shown"))
    assert done.exit_code == Exit.FAILED
    assert why in done.output.replace("\n", " ")
    assert not (tmp_path / "store" / "store.json").exists()

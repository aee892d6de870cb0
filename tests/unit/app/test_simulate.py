"""`mailward simulate`: a table for people, one object for programs, the same seed twice; and scenarios."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mailward.configs
from mailward.app.cli import app
from mailward.app.commands import rehearsing, simulating
from mailward.app.commands.apart import MOST_SENTENCES
from mailward.app.commands.rehearsing import story
from mailward.simulator.audit import AFTER_LEAVING
from mailward.simulator.checkers.excuses import CAME_LATE, FAILED_UNSEEN
from mailward.simulator.expectations import Expectation
from mailward.simulator.rehearsal import Judged, Line, Played, Told
from mailward.simulator.run import Outcome

WATCHES = "Played as if it acted; as configured (automation: observe) it only watches.\n"
HYBRID = Path(mailward.configs.__file__).parent / "deployments" / "hybrid.yaml"


def simulated(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["simulate", *words])
    return done.exit_code, done.output


def test_the_deployment_as_it_is_shipped_needs_no_secrets_and_breaks_no_rule() -> None:
    code, shown = simulated(str(HYBRID), "--hours", "0.1", "--seed", "5")
    assert code == 0, shown
    lines = shown.splitlines()
    assert all(len(line) <= 80 for line in lines), shown
    assert lines[2].split() == [
        "fault",
        "out",
        "of",
        "DNS",
        "after",
        "back",
        "after",
        "repair",
        "only",
        "there",
    ]
    assert [line[:16].strip() for line in lines[3:9]] == [
        "services crash", "services hang", "node lost", "node frozen", "node cut off", "disk full",
    ]  # fmt: skip
    assert "0 rules broken" in shown


def test_the_object_for_programs_is_the_same_for_the_same_seed() -> None:
    first, second = (simulated(str(HYBRID), "--hours", "0.1", "--seed", "6", "--json")[1] for _ in range(2))
    assert first == second
    found = json.loads(first)
    assert {"seed", "hours", "operations", "violations", "excused", "digest", "expected"} <= found.keys()
    assert (found["seed"], found["violations"]) == (6, 0)
    assert all(each["withdrawn_s"] < 10 for each in found["expected"])


REASON = "primary cannot refuse an old order, and one came late"
EXCUSES = {CAME_LATE.why: 2, FAILED_UNSEEN.why: 1, AFTER_LEAVING: 1}
SET_ASIDE = ("412.0 s: I2: mail.example.com has no address on primary",)
LEFT = Outcome(7, 1.2, (), 4, EXCUSES, (REASON,), SET_ASIDE, {"failover done": 5}, {"pause": 8}, 4, "0" * 16)
"""A run that has left the fault model, and in which no rule is broken."""


@pytest.fixture
def by_chance(monkeypatch: pytest.MonkeyPatch) -> Callable[[Outcome], None]:
    """Every run comes out so."""
    expected = (Expectation("node lost", 5, 2.5, 3.1, 5, 40.0, 41.0, 0),)
    monkeypatch.setattr(simulating, "expectations", lambda *_: expected)
    return lambda outcome: monkeypatch.setattr(simulating, "play", lambda *_: outcome)


def test_a_run_that_left_the_fault_model_says_why_and_what_it_excuses(
    by_chance: Callable[[Outcome], None], golden: Callable[[str, str], None]
) -> None:
    by_chance(LEFT)
    code, shown = simulated(str(HYBRID))
    assert code == 0
    assert all(len(line) <= 80 for line in shown.splitlines()), shown
    golden("simulate_outside.txt", shown)


def test_a_run_that_stayed_inside_and_needs_no_excuse_says_only_that(
    by_chance: Callable[[Outcome], None],
) -> None:
    by_chance(replace(LEFT, excused=0, excused_by_reason={}, outside=(), set_aside=()))
    shown = simulated(str(HYBRID))[1]
    assert "4 elections, 0 rules broken, 0 excused.\nTo try more" in shown
    assert shown.endswith(WATCHES)


def test_of_very_much_that_is_set_aside_the_screen_has_the_first_and_the_number(
    by_chance: Callable[[Outcome], None],
) -> None:
    many = tuple(f"{number}.0 s: I2: lost" for number in range(MOST_SENTENCES + 3))
    by_chance(replace(LEFT, set_aside=many))
    shown = simulated(str(HYBRID))[1]
    assert shown.count("Excused at ") == MOST_SENTENCES
    assert shown.endswith(f"and 3 more like these: --json has them all\n{WATCHES}")
    assert json.loads(simulated(str(HYBRID), "--json")[1])["set_aside"] == list(many)


def test_the_object_for_programs_has_the_reasons_beside_the_counts(
    by_chance: Callable[[Outcome], None],
) -> None:
    by_chance(LEFT)
    found = json.loads(simulated(str(HYBRID), "--json")[1])
    counts = {"seed": 7, "hours": 1.2, "operations": 5, "violations": 0, "excused": 4, "digest": "0" * 16}
    why = {"excused_by_reason": EXCUSES, "outside": [REASON], "set_aside": list(SET_ASIDE)}
    assert found == found | counts | why


def test_what_cannot_be_simulated_is_said(tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text(
        "cluster: one\ndeployment: standard\n"
        "nodes: {a: {site: x, addresses: [192.0.2.1], hostname: a.example.org}}\n"
        "services: {imaps: {}}\ncanary: {user: u, password_file: p}\n"
    )
    code, shown = simulated(str(file))
    assert code == 1
    assert "one node alone has nothing to fail over to" in shown


STORY = """# Our site in the north loses power
with: hold_down_s 10

at 30 s       mail-a loses power
at 90 s       mail-a has power again
by 60 s       mail-a is out of every endpoint
throughout    mail-b is in mail.example.com
at the end    everything is well
at 3 min      the story ends
"""


def scenario(folder: Path, text: str, *words: str) -> tuple[int, str]:
    file = folder / "story.txt"
    file.write_text(text, encoding="utf-8")
    return simulated(str(HYBRID), "--scenario", str(file), *words)


def test_a_story_is_told_with_what_was_decided_and_why(tmp_path: Path) -> None:
    code, shown = scenario(tmp_path, STORY, "--seed", "5")
    assert code == 0, shown
    assert all(len(line) <= 80 for line in shown.splitlines()), shown
    words = " ".join(shown.split())
    assert words.startswith("Our site in the north loses power 30.0 s > mail-a loses power ")
    assert re.search(r"controller: failover 1-\d+ of mail-a started \(row 1[12]0\): ", words)
    assert "DOWN: timeout at connect" in words
    assert "60.0 s MET: by 60 s mail-a is out of every endpoint" in words
    met = r" 3 of 3 expectations met, no rule broken, \d operations in 3 min; seed 5\. "
    assert re.search(met + re.escape(WATCHES.strip()), words)


def test_the_story_in_the_readme_comes_true(tmp_path: Path) -> None:
    readme = Path(__file__).parents[3] / "README.md"
    found = re.search(r"```\n(# Our site.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    code, shown = scenario(tmp_path, found[1], "--seed", "7")
    assert code == 0, shown


def test_what_does_not_come_true_is_said_and_is_a_failure(tmp_path: Path) -> None:
    code, shown = scenario(
        tmp_path, STORY.replace("out of every endpoint", "in mail.example.com"), "--seed", "5"
    )
    assert code == 1
    assert "NOT MET, line 6: by 60 s mail-a is in mail.example.com: primary answers" in " ".join(
        shown.split()
    )
    assert "2 of 3 expectations met, no rule broken" in shown


def test_the_object_of_a_story_has_its_expectations_and_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    first, second = (scenario(tmp_path, STORY, "--seed", "6", "--json")[1] for _ in range(2))
    assert first == second
    found = json.loads(first)
    assert {"seed", "hours", "operations", "violations", "excused", "digest", "expectations"} <= found.keys()
    assert (found["seed"], found["hours"], found["violations"], found["well"]) == (6, 0.05, 0, True)
    assert [each["text"] for each in found["expectations"] if each["met"]] == [
        "by 60 s mail-a is out of every endpoint",
        "throughout mail-b is in mail.example.com",
        "at the end everything is well",
    ]


def test_every_mistake_of_a_story_is_told_and_nothing_is_played(tmp_path: Path) -> None:
    text = STORY.replace("hold_down_s 10", "restart_grace_s 61").replace("mail-b", "mail-c")
    code, shown = scenario(tmp_path, text)
    assert code == 1
    assert "line 7: nothing here is named 'mail-c'; there are: mail-a, mail-b" in shown
    code, shown = scenario(tmp_path, text.replace("mail-c", "mail-b"))
    assert code == 1
    assert "line 2: with: restart_grace_s: 61 is not between 0 and 60 seconds" in shown
    assert "story.txt has 1 mistake; nothing was played" in shown


def test_rules_that_contradict_the_configuration_are_a_mistake(tmp_path: Path) -> None:
    code, shown = scenario(tmp_path, STORY.replace("hold_down_s 10", "hold_down_s 7200"))
    assert code == 1
    assert "line 2: with: hold_down_s: 7200 s is longer than hold_down_max_s (3600 s)" in shown


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"# t\n\xff\xfe", "line 2: the file is not UTF-8 text"),
        (b"# t\n" + b"at 1 s mail-a freezes\n" * 50_000, "the file is larger than 64 KiB"),
        (b"\0" * 1000, "line 1: the line has 1000 characters, at most 300"),
    ],
)
def test_what_is_no_story_is_said(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "story.txt"
    file.write_bytes(content)
    code, shown = simulated(str(HYBRID), "--scenario", str(file))
    assert code == 1
    assert said in shown
    assert "\0" not in shown


def test_a_story_that_is_not_there_and_one_that_is_asked_for_hours() -> None:
    code, shown = simulated(str(HYBRID), "--scenario", "/nowhere/story.txt")
    assert (code, shown) == (1, "mailward: /nowhere/story.txt: No such file or directory\n")
    assert simulated(str(HYBRID), "--scenario", "x", "--hours", "2")[0] == 2


def test_the_object_of_a_story_that_left_the_fault_model_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = Played("t", 7, 0.1, (), (), (), 4, EXCUSES, (REASON,), SET_ASIDE, 1, "0" * 16)
    monkeypatch.setattr(rehearsing, "rehearse", lambda *_: played)
    code, shown = scenario(tmp_path, STORY, "--json")
    found = json.loads(shown)
    assert (code, found["violations"], found["excused"], found["well"]) == (0, 0, 4, True)
    why = {"excused_by_reason": EXCUSES, "outside": [REASON], "set_aside": list(SET_ASIDE)}
    assert found == found | why


def test_the_screen_of_a_story_is_as_kept(golden: Callable[[str, str], None]) -> None:
    lines = (
        Line(30.0, Told.EVENT, "imaps of mail-a crashes"),
        Line(31.6, Told.DECIDED, "mail-a is out for mail.example.com: service-failed (imaps DOWN: refused at"
             " connect (2 in a row))", "controller"),
        Line(62.0, Told.HELD, "cannot readmit mail-a: hold-down: out 4 times for service-failed; 2 s since,"
             " 120 s needed", "controller"),
        Line(75.0, Told.MET, "by 75 s mail-a is out of mail.example.com"),
        Line(80.0, Told.BROKEN, "I8: every node of mail.example.com is closed for imaps"),
        Line(90.2, Told.OUTSIDE, REASON),
        Line(91.0, Told.EXCUSED, "I2: mail.example.com has no address on primary"),
        Line(99.0, Told.NOT_MET, "throughout nothing is withdrawn: mail-a left mail.example.com on primary"),
    )  # fmt: skip
    expected = (
        Judged(9, "by 75 s mail-a is out of mail.example.com", True, 75.0),
        Judged(10, "throughout nothing is withdrawn", False, 31.6, "mail-a left mail.example.com on primary"),
    )
    broken = ("80.0 s: I8: every node of mail.example.com is closed for imaps",)
    aside = ("91.0 s: I2: mail.example.com has no address on primary",)
    title = "A screen with everything on it"
    played = Played(title, 7, 0.1, lines, expected, broken, 4, EXCUSES, (REASON,), aside, 1, "0" * 16)
    golden("simulate_scenario.txt", "\n".join(story(played, 80)) + "\n")


def test_a_story_is_broken_off_with_ctrl_c(tmp_path: Path) -> None:
    """Found in the lab: it was called a fault of mailward's."""
    file = tmp_path / "day.txt"
    file.write_text(
        "# A day\nat 30 s mail-a loses power\nat the end everything is well\nat 23 h the story ends\n"
    )
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # a job may ignore it
    program = [sys.executable, "-c", f"{heard}; from mailward.app.cli import main; main()"]
    with subprocess.Popen(
        [*program, "simulate", str(HYBRID), "--scenario", str(file)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(4)
            assert process.poll() is None, "it was over already"
            process.send_signal(signal.SIGINT)
            shown, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert "fault of mailward" not in shown
    assert "Traceback" not in shown
    assert process.returncode == 130


def test_a_directory_is_no_story(tmp_path: Path) -> None:
    """It said of the number of a file descriptor that it is a directory."""
    code, shown = simulated(str(HYBRID), "--scenario", str(tmp_path))
    assert code == 1
    assert f"{tmp_path} is not a file" in shown


def test_a_pipe_is_no_story(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    code, shown = simulated(str(HYBRID), "--scenario", str(tmp_path / "pipe"))
    assert code == 1
    assert "is not a file" in shown

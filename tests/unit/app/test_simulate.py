"""`mailward simulate`: a table for people, one object for programs, and the same seed twice."""

import json
from pathlib import Path

from typer.testing import CliRunner

import mailward.configs
from mailward.app.cli import app

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


def test_what_cannot_be_simulated_is_said(tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text(
        "cluster: one\ndeployment: standard\n"
        "nodes: {a: {site: x, addresses: [192.0.2.1], hostname: a.example.org}}\n"
        "services: {imaps: {}}\ncanary: {user: u, password_file: p}\n"
    )
    code, shown = simulated(str(file))
    assert code == 1
    assert "only a hybrid cluster of two or more nodes can be simulated yet" in shown

"""A power switch by an agent: only what is read back counts, and every call ends."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.unit.fencing.agents import OBEDIENT, SECRET, Scripted, lives, scripted, xml

from mailward.fencing.agent.program import OUTPUT_LIMIT, Agent, NotStarted, stdin_of
from mailward.model.fencing import FenceOutcome, Power, PowerReading, Scope

CONFIRMED, FAILED, UNKNOWN = FenceOutcome.CONFIRMED, FenceOutcome.FAILED, FenceOutcome.UNKNOWN
READS_ON = 'status) echo "Status: ON";;'
READS_OFF = 'status) echo "Status: OFF"; exit 2;;'
ENOUGH_S = 15.0


def actions(agent: Scripted) -> list[str]:
    return [told.splitlines()[0] for told in agent.calls]


async def test_off_is_confirmed_when_it_is_read_back_and_on_fences_nothing(tmp_path: Path) -> None:
    agent = scripted(tmp_path)
    device = agent.device()
    off = await device.off()
    assert (off.outcome, off.scope) == (CONFIRMED, Scope.POWER)
    assert await device.read() == PowerReading(Power.OFF)
    on = await device.on()
    assert (on.outcome, on.scope) == (CONFIRMED, Scope.NONE)
    assert await device.read() == PowerReading(Power.ON)
    told = "off status status on status status"
    assert actions(agent) == [f"action={each}" for each in told.split()]


async def test_a_machine_that_is_off_already_is_confirmed(tmp_path: Path) -> None:
    agent = scripted(tmp_path)
    agent.power("off")
    assert (await agent.device().off()).outcome is CONFIRMED


async def test_options_and_secrets_go_over_stdin_alone(tmp_path: Path) -> None:
    agent = scripted(tmp_path, f"off) tr '\\0' ' ' </proc/$$/cmdline >argv; env >env;;\n{READS_OFF}")
    await agent.device(options={"ip": "192.0.2.9", "cipher": "3"}).off()
    assert agent.calls[0] == f"action=off\nip=192.0.2.9\ncipher=3\npassword={SECRET}\n"
    assert agent.holds("argv") == f"/bin/bash {agent.program}"
    assert SECRET not in agent.holds("env")


async def test_an_agent_gets_nothing_of_our_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAILWARD_SECRET", "of another section")
    agent = scripted(tmp_path, f"off) env >env;;\n{READS_OFF}")
    await agent.device().off()
    assert "MAILWARD" not in agent.holds("env")


# what a device says and what it does


async def test_a_device_that_says_done_but_reads_on_is_unknown_and_told_so(tmp_path: Path) -> None:
    agent = scripted(tmp_path, f"off) echo Success;;\n{READS_ON}")
    result = await agent.device(timeout_s=1.0).off()
    assert (result.outcome, result.scope) == (UNKNOWN, Scope.NONE)
    assert result.detail == f"{agent.program} says that it is off; it last read on, within 1 s"
    assert actions(agent).count("action=off") == 1


async def test_off_is_waited_for(tmp_path: Path) -> None:
    late = """
    off) ;;
    status) echo . >>looks; [ $(wc -l <looks) -lt 4 ] && { echo "Status: ON"; exit 0; }
      echo "Status: OFF"; exit 2;;
    """
    agent = scripted(tmp_path, late)
    assert (await agent.device().off()).outcome is CONFIRMED
    assert actions(agent) == ["action=off", *["action=status"] * 4]


async def test_an_agent_that_gives_up_before_the_machine_is_off_is_not_the_last_word(tmp_path: Path) -> None:
    late = f"off) echo Failed: Timed out waiting to power OFF >&2; exit 1;;\n{READS_OFF}"
    result = await scripted(tmp_path, late).device().off()
    assert (result.outcome, result.scope) == (CONFIRMED, Scope.POWER)


async def test_a_device_that_cannot_be_reached_is_unknown_and_not_waited_for(tmp_path: Path) -> None:
    dead = "*) echo no route >&2; exit 1;;"
    agent = scripted(tmp_path, dead)
    result = await agent.device(timeout_s=60).off()
    assert (result.outcome, result.scope) == (UNKNOWN, Scope.NONE)
    assert result.detail == "off: exit code 1: no route; status: exit code 1: no route"
    assert actions(agent) == ["action=off", "action=status"]
    assert await agent.device().read() == PowerReading(Power.UNKNOWN, "status: exit code 1: no route")


@pytest.mark.parametrize(
    ("status", "power"),
    [
        ('echo "Status: OFF"; exit 2', Power.OFF),
        ('echo warning; echo "status: off"; exit 2', Power.OFF),
        ("exit 2", Power.UNKNOWN),
        ("echo usage; exit 2", Power.UNKNOWN),
        ('echo "Status: ON"; exit 2', Power.UNKNOWN),
        ('echo "Status: OFF"; exit 0', Power.UNKNOWN),
        ('echo "Status: OFF"; exit 1', Power.UNKNOWN),
        ('echo "Status: ON"; echo "Status: OFF"; exit 2', Power.UNKNOWN),
        ('echo "Status: OFF" >&2; exit 2', Power.UNKNOWN),
        ('echo "Status: ON"', Power.ON),
        ("exit 0", Power.UNKNOWN),
        ('echo "Status: OFF"; kill -KILL $$', Power.UNKNOWN),
    ],
)
async def test_a_reading_needs_the_code_and_the_words(tmp_path: Path, status: str, power: Power) -> None:
    """2 is also what Python, bash and argparse exit with when they were called wrongly."""
    assert (await scripted(tmp_path, f"status) {status};;").device().read()).power is power


# the deadline


async def test_a_hanging_agent_ends_with_its_children_that_ignore_term(tmp_path: Path) -> None:
    hang = f"""
    off) trap '' TERM HUP; (trap '' TERM HUP; echo $BASHPID >child; exec sleep 100) &
      echo $$ >self; sleep 100;;
    {READS_ON}
    """
    agent = scripted(tmp_path, hang)
    began = time.monotonic()
    result = await agent.device(timeout_s=2.0).off()
    assert time.monotonic() - began < ENOUGH_S
    assert result.outcome is UNKNOWN
    assert result.detail.startswith("off: not done within 1.")
    assert not lives(agent.holds("self"))
    assert not lives(agent.holds("child"))


async def test_an_agent_that_hangs_leaves_time_to_read_what_it_has_done(tmp_path: Path) -> None:
    agent = scripted(tmp_path, f"off) sleep 100;;\n{READS_OFF}")
    result = await agent.device(timeout_s=4.0).off()
    assert (result.outcome, result.scope) == (CONFIRMED, Scope.POWER)


async def test_a_reading_that_hangs_ends_as_well(tmp_path: Path) -> None:
    agent = scripted(tmp_path, "status) sleep 100;;")
    began = time.monotonic()
    reading = await agent.device(timeout_s=0.8).read()
    assert time.monotonic() - began < ENOUGH_S
    assert reading.power is Power.UNKNOWN
    assert reading.detail.startswith("status: not done within 0.")


async def test_a_child_that_keeps_the_output_does_not_keep_us_waiting(tmp_path: Path) -> None:
    forks = f"off) sleep 100 & echo $! >child;;\n{READS_OFF}"
    agent = scripted(tmp_path, forks)
    began = time.monotonic()
    assert (await agent.device(timeout_s=60).off()).outcome is CONFIRMED
    assert time.monotonic() - began < ENOUGH_S
    assert not lives(agent.holds("child"))


async def test_a_child_that_leaves_with_the_output_does_not_keep_us_waiting(tmp_path: Path) -> None:
    forks = f"""
    off) setsid bash -c 'echo $$ >child; exec sleep 20' &
      until [ -s child ]; do sleep 0.02; done;;
    {READS_OFF}
    """
    agent = scripted(tmp_path, forks)
    began = time.monotonic()
    assert (await agent.device(timeout_s=60).off()).outcome is CONFIRMED
    assert time.monotonic() - began < ENOUGH_S
    os.kill(int(agent.holds("child")), signal.SIGKILL)


def test_an_agent_whose_daemon_is_killed_ends_at_the_deadline(tmp_path: Path) -> None:
    agent = scripted(tmp_path, "off) trap '' TERM HUP; echo $$ >self; sleep 100 & echo $! >child; wait;;")
    code = (
        "import asyncio, sys; from mailward.fencing.agent.program import call, stdin_of\n"
        "asyncio.run(call(sys.argv[1], (), stdin_of('off', {}), 3.0))\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, agent.program]) as daemon:
        child = agent.waited_for("child")
        os.kill(daemon.pid, signal.SIGKILL)
    assert os.getpgid(int(child)) == os.getpgid(int(agent.holds("self")))
    began = time.monotonic()
    while lives(child) and time.monotonic() - began < ENOUGH_S:
        pass
    assert not lives(agent.holds("self"))
    assert not lives(child)


async def test_an_agent_ends_when_nobody_waits_for_it_any_more(tmp_path: Path) -> None:
    agent = scripted(tmp_path, "off) echo $$ >self; sleep 100;;")
    waiting = asyncio.create_task(agent.device(timeout_s=60).off())
    itself = await asyncio.to_thread(agent.waited_for, "self")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not lives(itself)


async def test_an_agent_that_says_too_much_is_ended(tmp_path: Path) -> None:
    flood = f"off) exec head -c 400000000 /dev/zero;;\n{READS_ON}"
    began = time.monotonic()
    result = await scripted(tmp_path, flood).device(timeout_s=2.0).off()
    assert time.monotonic() - began < ENOUGH_S
    assert result.outcome is UNKNOWN
    assert result.detail.startswith(f"off: it said more than {OUTPUT_LIMIT >> 10} KiB; ")


# secrets


@pytest.mark.parametrize(
    "secret", [SECRET, 'quo"ted', "back\\slash", "a b&c=d/e", "prüfung", "x" * 400, "$HOME", "longenough"]
)
async def test_a_message_with_the_password_is_shown_without_it(tmp_path: Path, secret: str) -> None:
    notations = (
        "import base64, json, shlex, sys, urllib.parse as url\n"
        f"s = {secret!r}\n"
        "print('login as', s, repr(s), json.dumps(s), shlex.quote(s), url.quote(s), url.quote_plus(s))\n"
        "for user in ('', 'a:', 'me:', 'who:'): print(base64.b64encode((user + s).encode()).decode())\n"
        "sys.stdout.write('cut: ' + s[:-1]); sys.exit(1)\n"
    )
    (tmp_path / "says.py").write_text(notations)
    result = await scripted(tmp_path, f"*) {sys.executable} says.py;;").device(secret=secret).off()
    assert result.outcome is UNKNOWN
    assert "off: exit code 1: login as *** " in result.detail
    for part in (secret, secret[:6], secret[-4:]):
        assert len(secret) < 6 or part not in result.detail, result.detail
    assert "cut: ***" in result.detail or len(result.detail) > 300


@pytest.mark.parametrize("user", ["", "a:", "me:", "who:"])
def test_a_password_in_a_header_is_not_shown(user: str) -> None:
    """HTTP carries it in base64, together with the user."""
    header = base64.b64encode(f"{user}{SECRET}".encode()).decode()
    shown = Agent("fence_test", secrets={"password": SECRET}).hidden(
        f"Authorization: Basic {header}, refused"
    )
    assert "***" in shown
    assert not any(
        header[n : n + 8] in shown for n in range(len(header) - 8) if n + 8 > len(user) * 4 / 3 + 4
    )


def test_an_agent_is_shown_without_its_secrets(tmp_path: Path) -> None:
    assert SECRET not in repr(Agent("fence_test", {"ip": "192.0.2.9"}, {"password": SECRET}))
    assert SECRET not in repr(scripted(tmp_path).device())


async def test_a_value_of_two_lines_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    agent = scripted(tmp_path)
    result = await agent.device(secret=f"{SECRET}\naction=on").off()
    assert (result.outcome, agent.calls) == (FAILED, [])
    assert result.detail == "nodes.mail-a.agent: 'password' cannot be told in one line"


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\0b", "a\u2028b", "a\x85b"])
def test_a_line_holds_one_value(bad: str) -> None:
    with pytest.raises(NotStarted):
        stdin_of("off", {"password": bad})
    with pytest.raises(NotStarted):
        stdin_of("off", {bad: "1"})
    with pytest.raises(NotStarted):
        stdin_of("off", {"action": "on"})
    with pytest.raises(NotStarted):
        stdin_of("off", {"a=b": "on"})


def test_what_agents_would_strip_is_put_in_quotes() -> None:
    said = {"a": "plain", "b": " spaces ", "c": '"quoted"', "d": 'one"', "e": ""}
    assert stdin_of("on", said).decode().splitlines() == [
        "action=on", "a=plain", 'b=" spaces "', 'c=""quoted""', 'd=one"', "e=",
    ]  # fmt: skip


# what is certainly not done


async def test_an_agent_that_is_not_there_has_done_nothing(tmp_path: Path) -> None:
    agent = scripted(tmp_path)
    os.unlink(agent.program)
    result = await agent.device().off()
    assert (result.outcome, result.scope) == (FAILED, Scope.NONE)
    assert result.detail == (
        f"nodes.mail-a.agent.program: {agent.program} is not there: install the package fence-agents"
    )
    assert (await agent.device().read()).power is Power.UNKNOWN


async def test_an_agent_that_is_gone_later_may_have_done_something(tmp_path: Path) -> None:
    agent = scripted(tmp_path)
    device = agent.device(timeout_s=3)
    assert await device.mistakes() == []
    os.unlink(agent.program)
    assert (await device.off()).outcome is UNKNOWN


async def test_options_that_are_wrong_are_not_acted_upon(tmp_path: Path) -> None:
    agent = scripted(tmp_path)
    result = await agent.device(options={"ip": "192.0.2.9", "chipher": "3"}).off()
    assert (result.outcome, agent.calls) == (FAILED, [])
    assert result.detail == (
        f"nodes.mail-a.agent.options.chipher: {agent.program} has no option chipher: did you mean cipher?"
    )


async def test_options_are_checked_once(tmp_path: Path) -> None:
    agent = scripted(tmp_path, OBEDIENT, "!echo . >>asked; cat good.xml")
    (tmp_path / "good.xml").write_text(xml())
    device = agent.device()
    for _ in range(2):
        assert await device.mistakes() == []
        await device.read()
    assert agent.holds("asked") == "."

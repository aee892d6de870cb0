"""What an agent is to be told, against what it says of itself: each mistake, and exactly what is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.fencing.agents import ACTIONS, OBEDIENT, PARAMETERS, SECRET, scripted, xml

from mailward.fencing.agent.metadata import LIMIT, Metadata, Unreadable, parse
from mailward.fencing.agent.options import mistakes, told
from mailward.model.fencing import Power

META = parse(xml().encode())
GOOD = {"ip": "192.0.2.9"}
KNOWN = "auth, cipher, delay, ip, lanplus, missing_as_off, password, ssl_insecure"


def test_metadata_says_each_parameter_and_action() -> None:
    assert META.actions == frozenset(ACTIONS)
    ip, auth, lanplus = (META.parameters[name] for name in ("ip", "auth", "lanplus"))
    assert (ip.required, ip.obsoletes, ip.deprecated, ip.kind) == (True, "ipaddr", False, "string")
    assert META.parameters["ipaddr"].deprecated
    assert (auth.kind, auth.choices, auth.required) == ("select", ("md5", "none"), False)
    assert (lanplus.kind, lanplus.on_by_default) == ("boolean", True)
    assert not META.parameters["ssl_insecure"].on_by_default
    assert META.parameters["delay"].default == "0"


NO_METADATA = {
    "nothing": (b"", "it is empty"),
    "no XML": (b"usage: fence_test", "it is not XML: syntax error: line 1, column 0"),
    "half of it": (xml().encode()[:200], "it is not XML: "),
    "no text": (b"\xff\xfe<a/>", "it is not text in UTF-8"),
    "something else": (b"<html></html>", "it begins with <html>, not with <resource-agent>"),
    "no action": (xml(()).encode(), "it offers no action"),
    "too long": (xml().encode() + b" " * LIMIT, "it is longer than 256 KiB"),
    "too many": (
        xml(parameters='<parameter name="a"/>' * 501).encode(), "it lists more than 500 of parameter",
    ),
    "a choice too many": (
        xml(parameters=f'<parameter name="a"><content>{"<option/>" * 501}</content></parameter>').encode(),
        "it lists more than 500 of option",
    ),
    "a parameter without a name": (xml(parameters="<parameter/>").encode(), "it has a parameter called ''"),
    "a name that a terminal obeys": (
        xml(parameters='<parameter name="a&#10;b"/>').encode(), "it has a parameter called 'a?b'",
    ),
    "entities": (
        b'<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;">]><resource-agent>&c;</resource-agent>',
        "it has a document type of its own",
    ),
    "a hundred thousand tags deep": (b"<a>" * 80_000, "it is not XML: "),
}  # fmt: skip


@pytest.mark.parametrize(("content", "said"), NO_METADATA.values(), ids=NO_METADATA)
def test_what_is_no_metadata_is_told(content: bytes, said: str) -> None:
    with pytest.raises(Unreadable) as caught:
        parse(content)
    assert str(caught.value).startswith(said)


ROWS = {
    "all is well": ({**GOOD, "cipher": "3", "auth": "md5", "lanplus": "true", "delay": "-1"},),
    "an older name": ({"ipaddr": "192.0.2.9"},),
    "a typo": ({**GOOD, "ciper": "3"}, "options.ciper: fence_test has no option ciper: did you mean cipher?"),
    "a name like no other": (
        {**GOOD, "zzz": "3"}, f"options.zzz: fence_test has no option zzz: it offers {KNOWN}",
    ),
    "nothing": ({}, "options: missing: fence_test needs ip"),
    "both names": (
        {**GOOD, "ipaddr": "192.0.2.8"}, "options: ipaddr is the older name of ip: keep one",
    ),
    "a secret's other name": (
        {**GOOD, "passwd": "x"}, "options: passwd is the older name of password: keep one",
    ),
    "an action": (
        {**GOOD, "action": "on"},
        "options.action: mailward itself says what is to be done: leave the line out",
    ),
    "help": (
        {**GOOD, "help": "1"}, "options.help: mailward itself says what is to be done: leave the line out",
    ),
    "no number": ({**GOOD, "cipher": "three"}, "options.cipher: 'three' is not a whole number"),
    "no seconds": ({**GOOD, "delay": "1.5"}, "options.delay: '1.5' is not a whole number of seconds"),
    "no switch": ({**GOOD, "lanplus": "maybe"}, "options.lanplus: 'maybe' is neither true nor false"),
    "no choice": ({**GOOD, "auth": "MD5"}, "options.auth: 'MD5' is not offered: write md5 or none"),
    "a lie": (
        {**GOOD, "missing_as_off": "yes"},
        "options.missing_as_off: a plug that does not exist would read as off: leave the line out",
    ),
    "several at once": (
        {"ciper": "3", "auth": "x"},
        "options.ciper: fence_test has no option ciper: did you mean cipher?",
        "options.auth: 'x' is not offered: write md5 or none",
        "options: missing: fence_test needs ip",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_mistake_in_the_options_is_told(row: tuple[dict[str, str], *tuple[str, ...]]) -> None:
    options, *said = row
    assert mistakes("fence_test", META, options, {"password": SECRET}) == said


def test_a_mistake_in_a_secret_does_not_show_it() -> None:
    said = mistakes("fence_test", META, GOOD, {"pasword": SECRET, "cipher": SECRET})
    assert said == ["secrets.pasword: fence_test has no option pasword: did you mean password?"]


def test_a_secret_may_be_what_is_required() -> None:
    needs = parse(xml(parameters='<parameter name="token" required="1"/>').encode())
    assert mistakes("fence_test", needs, {}, {"token": SECRET}) == []
    assert mistakes("fence_test", needs, {}, {}) == ["options: missing: fence_test needs token"]


@pytest.mark.parametrize(
    ("actions", "said"),
    [
        (("on", "off", "metadata"), "no status: it offers metadata, off, on"),
        (("status", "metadata"), "no off and no on: it offers metadata, status"),
    ],
)
def test_an_agent_that_cannot_be_read_or_switched_is_no_switch(actions: tuple[str, ...], said: str) -> None:
    other = Metadata(META.parameters, frozenset(actions))
    assert mistakes("fence_test", other, GOOD, {}) == [f"program: fence_test has {said}"]


def test_a_switch_that_is_off_anyway_is_not_said() -> None:
    """Many agents ask only whether it was said: with `ssl_insecure=0` any certificate is believed."""
    for word in ("0", "no", "off", "False"):
        assert told(META, {**GOOD, "ssl_insecure": word, "lanplus": word}) == {**GOOD, "lanplus": "0"}
    for word in ("1", "yes", "on", "True"):
        said = told(META, {"ssl_insecure": word, "lanplus": word, "cipher": "0"})
        assert said == {"ssl_insecure": "1", "lanplus": "1", "cipher": "0"}


# through the device


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ("<broken", "it is not XML: unclosed token: line 1, column 0"),
        ("!exit 1", "exit code 1"),
        ("!echo no module >&2; exit 1", "exit code 1: no module"),
        ("!head -c 100000000 /dev/zero", "it said more than 256 KiB"),
        (f'!echo "{SECRET}"; exit 3', "exit code 3: ***"),
    ],
)
async def test_an_agent_that_says_nothing_of_itself_is_told(tmp_path: Path, metadata: str, said: str) -> None:
    agent = scripted(tmp_path, OBEDIENT, metadata)
    device = agent.device()
    place = f"nodes.mail-a.agent.program: {agent.program} does not say what it can do: "
    assert await device.mistakes() == [place + said]
    reading = await device.read()
    assert (reading.power, reading.detail) == (Power.UNKNOWN, place + said)
    assert agent.calls == []


async def test_metadata_that_does_not_come_is_told(tmp_path: Path) -> None:
    agent = scripted(tmp_path, OBEDIENT, "!sleep 100")
    (said,) = await agent.device(timeout_s=0.5).mistakes()
    assert said.split(": ", 2)[2].startswith("not done within 0.")


async def test_every_mistake_is_told_with_its_place(tmp_path: Path) -> None:
    agent = scripted(tmp_path)
    said = await agent.device(options={"auth": "x"}).mistakes()
    assert said == [
        "nodes.mail-a.agent.options.auth: 'x' is not offered: write md5 or none",
        f"nodes.mail-a.agent.options: missing: {agent.program} needs ip",
    ]


async def test_an_agent_that_can_is_asked_whether_its_options_will_do(tmp_path: Path) -> None:
    """What it needs is often not said in the metadata: `fence_ipmilan` requires not even an address there."""
    refuses = f"""
    validate-all) echo "Failed: You have to enter fence address ({SECRET})" >&2; exit 1;;
    {OBEDIENT}
    """.replace(SECRET, "$(sed -n s/^password=//p $call)")
    agent = scripted(
        tmp_path, refuses, xml((*ACTIONS, "validate-all"), PARAMETERS.replace('required="1"', ""))
    )
    (said,) = await agent.device(options={}).mistakes()
    assert said == (
        f"nodes.mail-a.agent.options: {agent.program} refuses them: exit code 1:"
        " Failed: You have to enter fence address (***)"
    )
    assert [call.splitlines()[0] for call in agent.calls] == ["action=validate-all"]


async def test_what_was_wrong_is_looked_at_again(tmp_path: Path) -> None:
    agent = scripted(tmp_path, OBEDIENT, "!exit 1")
    device = agent.device()
    assert await device.mistakes() != []
    scripted(tmp_path)
    assert await device.mistakes() == []

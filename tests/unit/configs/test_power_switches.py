"""A node's power switch: what may be written, each mistake, and that its secrets are nowhere shown.

Each row: what stands under mail-a's `agent`, and exactly what is said.
"""

from pathlib import Path

import pytest
from tests.unit.configs.good import Loaded, Problems
from tests.unit.configs.test_the_deployments_work_as_they_are import CLUSTER

from mailward.configs.check import describe
from mailward.configs.policy import digest_of
from mailward.configs.power import Agent, is_secret
from mailward.configs.schema import Config

AGENT = (
    "{program: fence_ipmilan, options: {ip: 10.0.9.10, lanplus: yes},"
    " secrets: {password: {secret_file: bmc}}}"
)
PLANTED = "planted-bmc"


@pytest.fixture
def etc(etc: Path) -> Path:
    (etc / "bmc").write_text(PLANTED + "\n")
    (etc / "bmc").chmod(0o600)
    return etc


def edit(agent: str) -> tuple[str, str]:
    return "    hostname:", f"    agent: {agent}\n    hostname:"


def agent_of(config: Config) -> Agent:
    agent = config.nodes["mail-a"].agent
    assert agent is not None
    return agent


def test_an_agent_is_what_the_file_says(loaded: Loaded) -> None:
    config = loaded(edit(AGENT), ("deployment: hybrid", "deployment: cluster"))
    agent = agent_of(config)
    assert (agent.program, agent.timeout_s) == ("fence_ipmilan", 40)
    assert agent.options == {"ip": "10.0.9.10", "lanplus": "yes"}
    assert agent.secrets["password"].secret.get_secret_value() == PLANTED
    assert config.nodes["mail-b"].agent is None
    assert "  power: fence_ipmilan, read back within 40 s" in describe(config)
    assert config.warnings == ()


def test_a_program_may_be_named_by_its_path(loaded: Loaded) -> None:
    assert agent_of(loaded(edit("{program: /opt/fence_own}"))).program == "/opt/fence_own"


def test_a_secret_may_stand_in_the_environment(loaded: Loaded) -> None:
    config = loaded(edit(AGENT.replace("secret_file: bmc", "secret_env: BMC")), environ={"BMC": "other"})
    assert agent_of(config).secrets["password"].secret.get_secret_value() == "other"


def test_its_secrets_are_in_nothing_that_can_be_printed(loaded: Loaded, etc: Path) -> None:
    config = loaded(edit(AGENT))
    shown = [
        repr(config), str(config.model_dump()), config.model_dump_json(), *describe(config), *config.warnings,
        repr(agent_of(config)), str(vars(agent_of(config).secrets["password"])),
    ]  # fmt: skip
    assert not [text for text in shown if PLANTED in text]
    before = digest_of(config)
    (etc / "bmc").write_text("another\n")
    assert digest_of(loaded(edit(AGENT))) == before


def test_daemons_must_agree_on_the_switch(loaded: Loaded) -> None:
    changed = AGENT.replace("10.0.9.10", "10.0.9.11")
    assert len({digest_of(loaded(*edits)) for edits in ([], [edit(AGENT)], [edit(changed)])}) == 3


def test_the_example_in_the_cluster_is_right_when_it_is_taken_up(loaded: Loaded, etc: Path) -> None:
    (etc / "bmc-a").write_text(PLANTED)
    (etc / "bmc-a").chmod(0o600)
    lines = CLUSTER.splitlines()
    begin = lines.index("    # agent:")
    end = next(n for n in range(begin, len(lines)) if not lines[n].startswith("    # "))
    taken = [line.replace("    # ", "    ", 1) for line in lines[begin:end]]
    text = "\n".join([*lines[:begin], *taken, *lines[end:]]).replace("/etc/mailward/", "")
    config = loaded(text=text)
    assert config.warnings == ()
    assert agent_of(config).timeout_s == Agent.model_fields["timeout_s"].default
    assert agent_of(config).options["cipher"] == "3"


def both(one: str, other: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """For mail-a and for mail-b."""
    return (
        ("    hostname: mail-a", f"    agent: {{{one}}}\n    hostname: mail-a"),
        ("    hostname: mail-b", f"    agent: {{{other}}}\n    hostname: mail-b"),
    )


PLUG = "program: fence_apc, options: {ip: 10.0.9.10, plug: '3'"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (f"{PLUG}}}", f"{PLUG}}}"),
        (f"{PLUG}}}", f"{PLUG}}}".replace("fence_apc", "/usr/sbin/fence_apc")),
        (f"{PLUG}}}", "program: fence_apc, options: {port: '3', ipaddr: 10.0.9.10}"),
        (f"{PLUG}}}", f"{PLUG}, delay: '5', power-timeout: '9', ssl: yes}}, timeout_s: 9"),
        (f"{PLUG}}}, secrets: {{password: {{secret_file: bmc}}}}",
         f"{PLUG}}}, secrets: {{passwd: {{secret_env: BMC}}}}"),
        ("program: fence_x, options: {ip: 'FD00::0:1', plug: Mail, telnet: yes}",
         "program: fence_x, options: {ip: 'fd00::1', plug: mail, telnet: 'True'}"),
        ("program: /opt/fence_own", "program: /opt/fence_own"),
        ("program: /opt/fence_own, secrets: {key: {secret_file: bmc}}",
         "program: /opt/fence_own, secrets: {key: {secret_file: bmc}}"),
    ],
)  # fmt: skip
def test_two_nodes_cannot_have_one_switch(one: str, other: str, problems: Problems, etc: Path) -> None:
    """Whoever fenced mail-b would switch off mail-a, read off, and promote."""
    assert problems(*both(one, other), environ={"BMC": PLANTED}) == (
        "line 13: nodes.mail-b.agent: the same switch as that of mail-a: whoever switches mail-b off would"
        " switch mail-a off, and take it for done; write the options of its own",
    )


@pytest.mark.parametrize(
    "other",
    [
        f"{PLUG}}}".replace("'3'", "'4'"),
        f"{PLUG}}}".replace("9.10", "9.11"),
        f"{PLUG}, switch: '2'}}",
        f"{PLUG}}}".replace("fence_apc", "fence_other"),
        "program: fence_apc",
    ],
)
def test_each_node_may_have_a_switch_of_its_own(other: str, loaded: Loaded) -> None:
    config = loaded(*both(f"{PLUG}}}", other))
    assert all(node.agent is not None for node in config.nodes.values())


def test_an_own_program_that_is_told_a_secret_alone_is_known_by_it(loaded: Loaded, etc: Path) -> None:
    own = "program: /opt/fence_own, secrets: {key: {secret_file: %s}}"
    loaded(*both(own % "bmc", own % "api_token"))


def test_one_switch_is_told_without_what_stands_in_it(problems: Problems) -> None:
    """A secret in the wrong place is a mistake of its own, and shown by neither."""
    said = problems(
        *both("program: fence_x, options: {passwd: planted}", "program: fence_x, options: {passwd: planted}")
    )
    assert len(said) == 3
    assert not [text for text in said if "planted" in text]


PROGRAM = "a program of fence-agents, such as fence_ipmilan, or an absolute path"
HERE = "line 8: nodes.mail-a.agent"
ROWS = {
    "nothing": ("", f"{HERE}.program: missing: {PROGRAM}"),
    "no program": ("{timeout_s: 40}", f"{HERE}.program: missing: {PROGRAM}"),
    "a name alone": (
        "fence_ipmilan",
        f"{HERE}: a section is wanted here, keys with values: what switches its power, if anything does",
    ),
    "another program": (
        "{program: ipmitool}",
        f"{HERE}.program: 'ipmitool' is no program of fence-agents: write a name such as fence_ipmilan, or an"
        " absolute path",
    ),
    "a program with arguments": (
        "{program: fence_ipmilan -o on}",
        f"{HERE}.program: 'fence_ipmilan -o on' is no program of fence-agents: write a name such as"
        " fence_ipmilan, or an absolute path",
    ),
    "a relative path": (
        "{program: ./fence_own}",
        f"{HERE}.program: './fence_own' is no program of fence-agents: write a name such as fence_ipmilan,"
        " or an absolute path",
    ),
    "a typo": (
        "{program: fence_ipmilan, option: {}}", f"{HERE}.option: unknown key: did you mean options?",
    ),
    "too short a time": (
        "{program: fence_ipmilan, timeout_s: 4}",
        f"{HERE}.timeout_s: 4 is not between 5 and 300 seconds (a management controller takes seconds, and a"
        " failover waits as long as that)",
    ),
    "too long a time": (
        "{program: fence_ipmilan, timeout_s: 301}",
        f"{HERE}.timeout_s: 301 is not between 5 and 300 seconds (a management controller takes seconds, and"
        " a failover waits as long as that)",
    ),
    "an option with a list": (
        "{program: fence_ipmilan, options: {ip: [planted]}}",
        f"{HERE}.options.ip: a single value is wanted here: write a text, a number, true or false",
    ),
    "an option with nothing": (
        "{program: fence_ipmilan, options: {ip: }}",
        f"{HERE}.options.ip: a single value is wanted here: write a text, a number, true or false",
    ),
    "an option of two lines": (
        '{program: fence_ipmilan, options: {ip: "planted\\naction=on"}}',
        f"{HERE}.options.ip: not a text of 1 to 255 printable characters",
    ),
    "an option of another kind": (
        '{program: fence_ipmilan, options: {"i p": "x"}}',
        f"{HERE}.options.i p: 'i p' is not the name of an option: write one such as ip",
    ),
    "a secret in the file": (
        "{program: fence_ipmilan, options: {passwd: planted}}",
        f"{HERE}.options.passwd: secrets do not stand in this file: put it into a file, and write under agent"
        " `secrets: {passwd: {secret_file: …}}`",
    ),
    "a secret in the file where its file belongs": (
        "{program: fence_ipmilan, secrets: {password: planted}}",
        f"{HERE}.secrets.password: a section is wanted here, keys with values: a secret the program is told,"
        " such as the password of the account",
    ),
    "a secret in the file, in the right place": (
        "{program: fence_ipmilan, secrets: {password: {secret: planted}}}",
        f"{HERE}.secrets.password.secret: secrets do not stand in this file: put it into a file and name that"
        " in secret_file",
    ),
    "an option twice": (
        "{program: fence_ipmilan, options: {key: planted}, secrets: {key: {secret_file: bmc}}}",
        f"{HERE}.options.key: stands under secrets as well: keep that one",
    ),
    "a secret that stands nowhere": (
        "{program: fence_ipmilan, secrets: {password: {}}}",
        f"{HERE}.secrets.password.secret_file: missing: write the path of a file that holds the secret",
    ),
    "a secret that stands twice": (
        "{program: fence_ipmilan, secrets: {password: {secret_file: bmc, secret_env: BMC}}}",
        f"{HERE}.secrets.password: secret_file and secret_env are both given: keep one",
    ),
    "a secret whose file is not there": (
        "{program: fence_ipmilan, secrets: {password: {secret_file: nowhere}}}",
        f"{HERE}.secrets.password.secret_file: {{etc}}/nowhere does not exist",
    ),
    "two mistakes at once": (
        "{program: x, options: {password: planted}, timeout_s: 1}",
        f"{HERE}.program: 'x' is no program of fence-agents: write a name such as fence_ipmilan, or an"
        " absolute path",
        f"{HERE}.timeout_s: 1 is not between 5 and 300 seconds (a management controller takes seconds, and a"
        " failover waits as long as that)",
        f"{HERE}.options.password: secrets do not stand in this file: put it into a file, and write under"
        " agent `secrets: {password: {secret_file: …}}`",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_mistake_is_told_with_its_path(row: tuple[str, ...], problems: Problems, etc: Path) -> None:
    agent, *said = row
    found = problems(edit(agent))
    assert sorted(found) == sorted(text.replace("{etc}", str(etc)) for text in said)
    assert not [text for text in found if "planted" in text]


def test_a_node_with_an_agent_still_inherits_the_key_of_doveadm_and_no_agent_does(problems: Problems) -> None:
    agent = (
        "{program: fence_x, secrets: {password: {}}}\n    replication: {doveadm: {url: 'http://192.0.2.1:1'}}"
    )
    (said,) = problems(edit(agent))
    assert said.startswith(f"{HERE}.secrets.password.secret_file: missing")


def test_names_that_are_secrets_with_every_agent() -> None:
    secrets = ("password", "passwd", "snmp_priv_passwd", "snmp-priv-passwd", "secret_key", "apikey", "token")
    assert all(is_secret(name) for name in (*secrets, "community", "hexadecimal_kg"))
    others = ("password_script", "passwd_script", "token_file", "identity_file", "username", "ip", "cipher")
    assert not any(is_secret(name) for name in others)

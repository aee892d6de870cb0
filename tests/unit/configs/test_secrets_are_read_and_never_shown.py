"""Secrets come from files and the environment, once, and are in nothing anybody prints."""

import os
from pathlib import Path

import pytest
from tests.unit.configs.good import Loaded, Problems

from mailward.configs import effective
from mailward.configs.check import describe
from mailward.configs.policy import policy_of
from mailward.configs.schema import Config

PLANTED = ("planted", "cGxhbnRlZC10c2lnLXNlY3JldA==")


def _target_secret(config: Config) -> str:
    assert config.dns["primary"].rfc2136 is not None
    return config.dns["primary"].rfc2136.tsig.secret.get_secret_value()


def test_every_secret_is_read_without_its_line_end(loaded: Loaded) -> None:
    config = loaded(("canary: {", "api: {token_file: api_token}\ncanary: {"))
    assert config.canary is not None
    assert config.api.token is not None
    source = effective.replication_of(config, "mail-a")
    assert source is not None
    assert source.doveadm is not None
    assert config.canary.password.get_secret_value() == "planted-password"
    assert config.api.token.get_secret_value() == "planted-token"
    assert source.doveadm.api_key.get_secret_value() == "planted-doveadm-key"
    assert _target_secret(config) == "cGxhbnRlZC10c2lnLXNlY3JldA=="


def test_a_secret_may_stand_in_the_environment(loaded: Loaded) -> None:
    environ = {"TSIG_SECRET": "c2VjcmV0"}
    config = loaded(("secret_file: tsig", "secret_env: TSIG_SECRET"), environ=environ)
    assert _target_secret(config) == "c2VjcmV0"


def test_an_api_without_a_token_has_none(loaded: Loaded) -> None:
    assert loaded().api.token is None


def test_a_configuration_not_loaded_from_a_file_says_that_it_has_no_secrets() -> None:
    from mailward.configs.services import Canary

    with pytest.raises(LookupError, match="the password was not read"):
        _ = Canary(user="canary@example.com").password


def test_nothing_that_can_be_printed_holds_a_secret(loaded: Loaded) -> None:
    config = loaded(("canary: {", "api: {token_file: api_token}\ncanary: {"))
    shown = [
        repr(config),
        str(config),
        str(config.model_dump()),
        config.model_dump_json(),
        repr(policy_of(config)),
        *describe(config),
        *config.warnings,
        repr(effective.replication_of(config, "mail-a")),
        repr(effective.ssh_of(config, "mail-a")),
        str(vars(config.canary)),
    ]
    assert not [text for text in shown if any(secret in text for secret in PLANTED)]


def test_a_copy_keeps_the_secret_and_still_hides_it(loaded: Loaded) -> None:
    canary = loaded().canary
    assert canary is not None
    copied = canary.model_copy(update={"user": "other@example.com"})
    assert copied.password.get_secret_value() == "planted-password"
    assert "planted" not in repr(copied)


def test_mistakes_everywhere_show_no_secret(problems: Problems, etc: Path) -> None:
    (etc / "tsig").write_text("planted, not base64!\n")
    (etc / "canary").write_text("planted\nplanted\n")
    (etc / "ssh_key").write_text("ssh-ed25519 planted\n")
    said = problems(
        ("api_key_file: doveadm_key", "api_key_env: planted-key-in-the-wrong-place"),
        ("canary: {", "api: {token: planted-token, listen: 5}\ncanary: {password: planted, "),
        ("helper: {", "tls: {ca_file: canary}\nhelper: {"),
    )
    assert len(said) >= 7
    assert not [text for text in said if "planted" in text.replace("'planted-key", "")]


MISTAKES = {
    "a file that does not exist": (
        ("password_file: canary", "password_file: nowhere"),
        "line 18: canary.password_file: {etc}/nowhere does not exist",
    ),
    "a folder": (
        ("password_file: canary", "password_file: ."),
        "line 18: canary.password_file: {etc} cannot be read: Is a directory",
    ),
    "an absolute path": (
        ("password_file: canary", "password_file: /nowhere/canary"),
        "line 18: canary.password_file: /nowhere/canary does not exist",
    ),
    "no file": (
        (", password_file: canary", ""),
        "line 18: canary.password_file: missing: write the path of a file that holds the password",
    ),
    "no file for the defaults all nodes lean on": (
        ("{doveadm: {api_key_file: doveadm_key}}", "{doveadm: {}}"),
        "line 14: replication.doveadm.api_key_file: missing: write the path of a file that holds the api_key",
    ),
    "a file and a variable": (
        ("password_file: canary", "password_file: canary, password_env: CANARY"),
        "line 18: canary: password_file and password_env are both given: keep one",
    ),
    "a variable that is not set": (
        ("password_file: canary", "password_env: CANARY"),
        "line 18: canary.password_env: the environment variable CANARY is not set, or empty",
    ),
    "a variable that is none": (
        ("password_file: canary", "password_env: hunter2"),
        "line 18: canary.password_env: not the name of an environment variable: write a name such as"
        " MAILWARD_SECRET",
    ),
    "no ssh key where the default says": (
        ("helper: {ssh: {key_file: ssh_key, ", "helper: {ssh: {"),
        "line 13: helper.ssh.key_file: /etc/mailward/ssh_key does not exist (the default): name another,"
        " or write"
        " `helper: none` where none runs",
    ),
    "a public key": (
        ("key_file: ssh_key", "key_file: known_hosts"),
        "line 13: helper.ssh.key_file: {etc}/known_hosts is not a private key: name the one without .pub",
    ),
    "a node's own key": (
        ("    hostname:", "    helper: {ssh: {key_file: nowhere}}\n    hostname:"),
        "line 8: nodes.mail-a.helper.ssh.key_file: {etc}/nowhere does not exist",
    ),
    "no key to measure with where the default says": (
        ("{doveadm: {api_key_file: doveadm_key}}", "{ssh: {known_hosts_file: known_hosts}}"),
        "line 14: replication.ssh.key_file: /etc/mailward/lag_key does not exist (the default): name another",
    ),
    "no key on a node that alone measures over ssh": (
        ("    hostname:", "    replication: {ssh: {known_hosts_file: known_hosts}}\n    hostname:"),
        "line 8: nodes.mail-a.replication.ssh.key_file: /etc/mailward/lag_key does not exist (the default):"
        " name another",
    ),
    "a node's own key to measure with": (
        ("    hostname:", "    replication: {ssh: {key_file: tsig}}\n    hostname:"),
        (
            "{doveadm: {api_key_file: doveadm_key}}",
            "{ssh: {key_file: ssh_key, known_hosts_file: known_hosts}}",
        ),
        "line 8: nodes.mail-a.replication.ssh.key_file: {etc}/tsig is not a private key: name the one without"
        " .pub",
    ),
    "host keys to measure with that are none": (
        ("{doveadm: {api_key_file: doveadm_key}}", "{ssh: {key_file: ssh_key, known_hosts_file: nowhere}}"),
        "line 14: replication.ssh.known_hosts_file: {etc}/nowhere does not exist",
    ),
    "certificates that are none": (
        ("helper: {", "tls: {ca_file: known_hosts}\nhelper: {"),
        "line 13: tls.ca_file: {etc}/known_hosts holds no PEM certificate",
    ),
}


@pytest.mark.parametrize("row", MISTAKES.values(), ids=MISTAKES)
def test_a_secret_that_cannot_be_had_is_told_with_its_path(row, problems, etc) -> None:  # type: ignore[no-untyped-def]
    *edits, said = row
    if Path("/etc/mailward/ssh_key").exists() or Path("/etc/mailward/lag_key").exists():
        pytest.skip("this host has a mailward key of its own")
    assert problems(*edits) == (said.format(etc=etc),)


CONTENTS = {
    "empty": (b"\n\n", "is empty: write the password into it"),
    "two lines": (b"one\ntwo\n", "holds more than one line of text: write the password alone"),
    "not text": (b"\xff\xfe\x00", "is not text in UTF-8"),
    "large": (b"x" * 70_000, "is larger than 64 KiB"),
}


@pytest.mark.parametrize(("content", "said"), CONTENTS.values(), ids=CONTENTS)
def test_what_is_no_password_is_not_taken(problems: Problems, etc: Path, content: bytes, said: str) -> None:
    (etc / "canary").write_bytes(content)
    assert problems() == (f"line 18: canary.password_file: {etc}/canary {said}",)


def test_an_empty_key_is_told(problems: Problems, etc: Path) -> None:
    (etc / "known_hosts").write_text("")
    assert problems() == (f"line 13: helper.ssh.known_hosts_file: {etc}/known_hosts is empty",)


def test_a_tsig_secret_that_is_a_whole_key_statement_is_told_so(problems: Problems, etc: Path) -> None:
    (etc / "tsig").write_text('key "mailward" { algorithm hmac-sha256; secret "cGxhbnRlZA=="; };')
    assert problems() == (
        f"line 26: dns.primary.rfc2136.tsig.secret_file: {etc}/tsig is not base64: write only what"
        f" tsig-keygen"
        " prints in quotes after `secret`",
    )


def test_a_named_pipe_does_not_keep_us_waiting(problems: Problems, etc: Path) -> None:
    (etc / "canary").unlink()
    os.mkfifo(etc / "canary")
    assert problems() == (f"line 18: canary.password_file: {etc}/canary is not a file",)


def test_a_file_others_can_read_is_a_warning(loaded: Loaded, etc: Path) -> None:
    (etc / "canary").chmod(0o644)
    assert loaded().warnings == (
        f"canary.password_file: {etc}/canary can be read by every user of this host: chmod o-rwx"
        f" {etc}/canary",
    )


def test_host_keys_may_be_read_by_everybody(loaded: Loaded, etc: Path) -> None:
    (etc / "known_hosts").chmod(0o644)
    assert loaded().warnings == ()

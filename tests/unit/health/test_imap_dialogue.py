"""IMAP: what a probe says, and how it classes the answers."""

import pytest
from tests.unit.health.talk import Talk

from mailward.health.dialogues import Account, ImapDialogue, ImapHold, ImapSettings, Security
from mailward.model.health import FailureKind

CANARY = Account("canary", "s3cret-Pass")
GREETING = b"* OK [CAPABILITY IMAP4rev1] Dovecot (Debian) ready."


def talk(
    security: Security = Security.PLAIN, account: Account | None = CANARY, mailbox: str | None = "INBOX"
) -> Talk:
    return Talk(ImapDialogue(ImapSettings(security, account, mailbox)))


def test_a_full_probe_reads_and_leaves() -> None:
    t = talk().hear(GREETING, b"* CAPABILITY IMAP4rev1 AUTH=PLAIN", b"m1 OK done")
    assert t.last_sent == b'm2 LOGIN "canary" "s3cret-Pass"'
    t.hear(b"* CAPABILITY IMAP4rev1 IDLE", b"m2 OK logged in")
    assert t.last_sent == b'm3 EXAMINE "INBOX"'
    t.hear(b"* FLAGS (\\Seen)", b"* 3 EXISTS", b"* OK [UIDNEXT 4] next", b"m3 OK [READ-ONLY] done")
    t.hear(b"m4 OK noop", b"* BYE logging out", b"m5 OK logout")
    assert t.verdict is None
    assert t.stages == ["greeting", "capability", "login", "examine", "noop", "logout"]
    assert b"SELECT" not in t.sent


def test_without_an_account_nobody_logs_in() -> None:
    t = talk(account=None).hear(GREETING, b"m1 OK", b"m2 OK", b"* BYE", b"m3 OK")
    assert t.verdict is None
    assert t.stages == ["greeting", "capability", "noop", "logout"]


def test_without_a_mailbox_none_is_opened() -> None:
    t = talk(mailbox=None).hear(GREETING, b"m1 OK", b"m2 OK", b"m3 OK", b"m4 OK")
    assert t.verdict is None
    assert t.stages == ["greeting", "capability", "login", "noop", "logout"]


def test_starttls_forgets_the_capabilities_from_before() -> None:
    t = talk(Security.STARTTLS).hear(GREETING, b"* CAPABILITY STARTTLS LOGINDISABLED", b"m1 OK", b"m2 OK go")
    t.secured().hear(b"* CAPABILITY AUTH=PLAIN", b"m3 OK")
    assert t.last_sent.startswith(b"m4 LOGIN")


def test_starttls_forgets_them_even_if_the_server_names_no_new_ones() -> None:
    t = talk(Security.STARTTLS).hear(GREETING, b"* CAPABILITY STARTTLS LOGINDISABLED", b"m1 OK", b"m2 OK go")
    t.secured().hear(b"m3 OK")
    assert t.last_sent.startswith(b"m4 LOGIN")


@pytest.mark.parametrize(
    ("login", "password", "parts"),
    [
        ('q"uo\\te', "p", [b'm2 LOGIN "q\\"uo\\\\te" "p"']),
        ("canary", "pässwörd", [b'm2 LOGIN "canary" {10}', "pässwörd".encode()]),
        ("ü", "ß", [b"m2 LOGIN {2}", "ü".encode() + b" {2}", "ß".encode()]),
        ("a", "x\r\ny", [b'm2 LOGIN "a" {4}', b"x\r\ny"]),
    ],
)
def test_logins_are_quoted_or_sent_as_literals(login: str, password: str, parts: list[bytes]) -> None:
    t = talk(account=Account(login, password)).hear(GREETING, b"m1 OK")
    before = b"m1 CAPABILITY\r\n"
    for part in parts:
        before += part + b"\r\n"
        assert t.sent == before
        if part is not parts[-1]:
            t.hear(b"+ ready")
    t.hear(b"m2 OK")
    assert t.dialogue.stage == "examine"


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ([b"* BYE too many connections"], ("tempfail", "greeting")),
        ([b"* PREAUTH hello root"], ("protocol", "greeting")),
        ([b"220 mail ESMTP"], ("protocol", "greeting")),
        ([b""], ("protocol", "greeting")),
        ([GREETING, b"m1 BAD what"], ("rejected", "capability")),
        ([GREETING, b"m9 OK"], ("protocol", "capability")),
        ([GREETING, b"m1 MAYBE"], ("protocol", "capability")),
        ([GREETING, b"+ go on"], ("protocol", "capability")),
        ([GREETING, b"* BYE shutting down"], ("tempfail", "capability")),
        ([GREETING, b"* CAPABILITY LOGINDISABLED", b"m1 OK"], ("login", "login")),
        ([GREETING, b"m1 OK", b"m2 NO [AUTHENTICATIONFAILED] no"], ("login", "login")),
        (
            [GREETING, b"m1 OK", b"m2 NO [UNAVAILABLE] Temporary authentication failure."],
            ("tempfail", "login"),
        ),
        ([GREETING, b"m1 OK", b"m2 BAD syntax"], ("rejected", "login")),
        ([GREETING, b"m1 OK", b"m2 OK", b"m3 NO [NONEXISTENT] no mailbox"], ("rejected", "examine")),
        ([GREETING, b"m1 OK", b"m2 OK", b"m3 NO [SERVERBUG] Internal error"], ("tempfail", "examine")),
    ],
)
def test_answers_are_classed(said: list[bytes], verdict: tuple[str, str]) -> None:
    assert talk().hear(*said).verdict == verdict


@pytest.mark.parametrize(
    ("greeting", "host"),
    [
        (
            b"* OK [CAPABILITY IMAP4rev1 LITERAL+] mail-a.example.test Cyrus IMAP 3.6.1 ready",
            "mail-a.example.test",
        ),
        (b"* OK mail-a.example.test.", "mail-a.example.test"),
        (b"* OK [ALERT.example.test] Dovecot 2.3.19.1 (Debian) ready.", None),
        (GREETING, None),
        (b"* OK", None),
    ],
)
def test_the_name_of_who_answered_is_a_host_name_or_nothing(greeting: bytes, host: str | None) -> None:
    assert talk().hear(greeting).dialogue.answered_by == host


def test_a_password_never_goes_over_a_stripped_starttls() -> None:
    t = talk(Security.OFFERED).hear(GREETING, b"* CAPABILITY AUTH=PLAIN", b"m1 OK")
    assert t.verdict == ("tls", "starttls")
    assert b"LOGIN" not in t.sent


def test_bytes_injected_before_the_handshake_are_a_failure() -> None:
    t = talk(Security.STARTTLS).hear(GREETING, b"* CAPABILITY STARTTLS", b"m1 OK")
    t.take(t.dialogue.receive(b"m2 OK go\r\n* CAPABILITY AUTH=PLAIN\r\n"))
    assert t.verdict == ("protocol", "starttls")


def test_a_connection_ended_after_logout_is_a_good_end() -> None:
    t = talk(account=None).hear(GREETING, b"m1 OK", b"m2 OK", b"* BYE")
    assert t.lost(FailureKind.RESET).verdict is None


def test_a_server_that_repeats_the_password_does_not_get_it_into_a_detail() -> None:
    t = talk().hear(GREETING, b"m1 OK", b'm2 BAD cannot parse: LOGIN "canary" "s3cret-Pass"')
    assert t.failure is not None
    assert t.failure.detail == "(text withheld: it repeats what was sent)"


def test_a_held_connection_asks_when_told_to_and_never_logs_in() -> None:
    t = Talk(ImapHold(ImapSettings(Security.STARTTLS, CANARY)))
    t.hear(GREETING)
    for number in range(1, 100):
        t.take(t.dialogue.proceed())
        t.hear(b"m%d OK" % number)
    assert not t.ended
    assert b"LOGIN" not in t.sent
    t.hear(b"* BYE Disconnected for inactivity.")
    assert t.verdict == ("protocol", "noop")


@pytest.mark.parametrize("mailbox", ["", "Entwürfe", "a\r\nb"])
def test_a_mailbox_that_cannot_be_named_is_refused(mailbox: str) -> None:
    with pytest.raises(ValueError, match="mailbox"):
        ImapSettings(mailbox=mailbox)

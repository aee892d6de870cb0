"""SMTP: what a probe says, and how it classes the answers."""

import base64

import pytest
from tests.unit.health.talk import Talk

from mailward.health.dialogues import Account, Security, SmtpDialogue, SmtpHold, SmtpSettings
from mailward.model.health import FailureKind

CANARY = Account("canary@example.test", "s3cret-Pass")
BANNER = b"220 mail-a.example.test ESMTP Postfix"


def talk(
    security: Security = Security.PLAIN, account: Account | None = None, recipient: str | None = None
) -> Talk:
    return Talk(SmtpDialogue(SmtpSettings(security, account, recipient)))


def test_a_plain_probe_greets_and_quits() -> None:
    t = talk().hear(BANNER, b"250-mail-a", b"250 PIPELINING", b"221 bye")
    assert t.verdict is None
    assert t.stages == ["banner", "ehlo", "quit"]
    assert t.sent == b"EHLO probe.mailward.invalid\r\nQUIT\r\n"
    assert t.dialogue.answered_by == "mail-a.example.test"


def test_starttls_is_followed_by_a_new_ehlo_and_login() -> None:
    t = talk(Security.STARTTLS, CANARY).hear(BANNER, b"250-a", b"250 STARTTLS", b"220 go ahead")
    t.secured()
    assert t.last_sent.startswith(b"EHLO")
    t.hear(b"250-a", b"250 AUTH LOGIN PLAIN")
    assert t.last_sent == b"AUTH PLAIN " + base64.b64encode(b"\0canary@example.test\0s3cret-Pass")
    t.hear(b"235 2.7.0 ok", b"221 bye")
    assert t.verdict is None
    assert t.stages == ["banner", "ehlo", "starttls", "ehlo", "auth", "quit"]


def test_auth_login_where_plain_is_not_offered() -> None:
    t = talk(account=CANARY).hear(BANNER, b"250-a", b"250 AUTH LOGIN", b"334 VXNlcm5hbWU6")
    assert base64.b64decode(t.last_sent) == b"canary@example.test"
    t.hear(b"334 UGFzc3dvcmQ6")
    assert base64.b64decode(t.last_sent) == b"s3cret-Pass"
    t.hear(b"235 ok", b"221 bye")
    assert t.verdict is None


def test_rcpt_is_asked_and_the_envelope_dropped_without_data() -> None:
    t = talk(recipient="canary@example.test").hear(
        BANNER, b"250 a", b"250 ok", b"250 ok", b"250 ok", b"221 bye"
    )
    assert t.verdict is None
    assert t.stages == ["banner", "ehlo", "mail", "rcpt", "rset", "quit"]
    assert b"MAIL FROM:<>\r\nRCPT TO:<canary@example.test>\r\nRSET\r\nQUIT\r\n" in t.sent
    assert b"DATA" not in t.sent


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ([b"421 too busy"], ("tempfail", "banner")),
        ([b"554 no service"], ("rejected", "banner")),
        ([b"250 hello"], ("protocol", "banner")),
        ([b"* OK IMAP ready"], ("protocol", "banner")),
        ([b"220x banner"], ("protocol", "banner")),
        ([b"220-a", b"250 b"], ("protocol", "banner")),
        ([BANNER, b"502 no"], ("rejected", "ehlo")),
        ([BANNER, b"421 shutting down"], ("tempfail", "ehlo")),
        ([BANNER, b"250 STARTTLS is not here"], ("tls", "starttls")),
        ([BANNER, b"250-a", b"250 STARTTLS", b"454 not now"], ("tempfail", "starttls")),
    ],
)
def test_answers_are_classed(said: list[bytes], verdict: tuple[str, str]) -> None:
    assert talk(Security.STARTTLS).hear(*said).verdict == verdict


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"535 5.7.8 authentication failed", "login"),
        (b"454 4.7.0 Temporary authentication failure: (reason unavailable)", "tempfail"),
        (b"334 go on", "protocol"),
    ],
)
def test_auth_answers_are_classed(answer: bytes, kind: str) -> None:
    t = talk(account=CANARY).hear(BANNER, b"250-a", b"250 AUTH PLAIN", answer)
    assert t.verdict == (kind, "auth")


def test_a_reply_that_changes_its_code_halfway_is_none() -> None:
    t = talk(recipient="canary@example.test").hear(BANNER, b"250 a", b"250 ok", b"250-yes", b"251 no")
    assert t.verdict == ("protocol", "rcpt")


def test_no_usable_mechanism_names_what_is_offered() -> None:
    t = talk(account=CANARY).hear(BANNER, b"250-a", b"250 AUTH CRAM-MD5")
    assert str(t.failure) == "login at auth: the server offers no AUTH PLAIN or LOGIN here, but CRAM-MD5"


def test_a_password_never_goes_over_a_stripped_starttls() -> None:
    t = talk(Security.OFFERED, CANARY).hear(BANNER, b"250-a", b"250 AUTH PLAIN")
    assert t.verdict == ("tls", "starttls")
    assert b"AUTH" not in t.sent


def test_without_a_password_a_missing_starttls_is_no_failure() -> None:
    assert talk(Security.OFFERED).hear(BANNER, b"250 a", b"221 bye").verdict is None


def test_bytes_injected_before_the_handshake_are_a_failure() -> None:
    t = talk(Security.STARTTLS).hear(BANNER, b"250-a", b"250 STARTTLS")
    t.take(t.dialogue.receive(b"220 go\r\n250 injected\r\n"))
    assert t.verdict == ("protocol", "starttls")
    assert not t.wants_tls


@pytest.mark.parametrize("kind", [FailureKind.CLOSED, FailureKind.RESET])
def test_an_ended_connection_fails_the_stage_it_ends_in(kind: FailureKind) -> None:
    assert talk().lost(kind).verdict == (kind.value, "banner")
    assert talk().hear(BANNER).lost(kind).verdict == (kind.value, "ehlo")


def test_a_connection_ended_after_quit_is_a_good_end() -> None:
    assert talk().hear(BANNER, b"250 a").lost().verdict is None


@pytest.mark.parametrize("echo", [CANARY.sasl_plain, b"s3cret-pass", base64.b64encode(b"s3cret-Pass")])
def test_a_server_that_repeats_the_password_does_not_get_it_into_a_detail(echo: bytes) -> None:
    t = talk(account=CANARY).hear(BANNER, b"250-a", b"250 AUTH PLAIN", b"501 bad command: " + echo)
    assert t.failure is not None
    assert t.failure.detail == "(text withheld: it repeats what was sent)"


def test_endless_replies_and_lines_are_cut_off() -> None:
    t = talk()
    t.take(t.dialogue.receive(b"2" * 9000))
    assert str(t.failure) == "protocol at banner: more than 8192 bytes without a line end"
    t = talk()
    for _ in range(100):
        if not t.ended:
            t.hear(b"220-" + b"x" * 1000)
    assert str(t.failure) == "protocol at banner: it goes on and on without coming to an end"


def test_details_are_printable() -> None:
    t = talk().hear(b"\x1b[31m\x00\xff evil")
    assert t.failure is not None
    assert t.failure.detail.isprintable()


def test_a_held_connection_asks_when_told_to() -> None:
    t = Talk(SmtpHold(SmtpSettings(Security.STARTTLS, CANARY)))
    t.hear(BANNER, b"250 a")
    for _ in range(200):
        t.take(t.dialogue.proceed())
        assert t.last_sent == b"NOOP"
        t.hear(b"250 " + b"x" * 1000)
    assert not t.ended
    t.hear(b"421 idle too long")
    assert t.verdict == ("protocol", "noop")


@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("recipient", lambda: SmtpSettings(recipient="a@b>\r\nDATA")),
        ("sender", lambda: SmtpSettings(sender="a b")),
        ("ehlo_name", lambda: SmtpSettings(ehlo_name="a\r\nb")),
        ("login", lambda: Account("", "x")),
        ("password", lambda: Account("x", "")),
        ("password", lambda: Account("x", "a\0b")),
    ],
)
def test_settings_that_would_break_the_protocol_are_refused(field: str, make: object) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=field):
        make()


def test_the_password_is_not_in_any_repr() -> None:
    settings = SmtpSettings(account=CANARY)
    events = SmtpDialogue(settings).start()
    assert "s3cret" not in repr(settings) + repr(CANARY) + repr(events)

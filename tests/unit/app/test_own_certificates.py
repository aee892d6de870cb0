"""A daemon's own certificates: told before they end, because with them everything ends at once."""

import datetime
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.lab.harness import material
from tests.lab.harness.material import Authority
from tests.unit.app import scenes
from tests.unit.app.fakes import FakeDaemon
from tests.unit.app.test_leases import shown
from tests.unit.app.test_metrics import families, value
from tests.unit.configs.good import FILES, GOOD, Edit, Loaded
from tests.unit.configs.test_what_several_daemons_need import several

from mailward.app.certificates import DAY_S, Certificates, Lasting
from mailward.app.commands import live_check
from mailward.app.daemon import Daemon
from mailward.app.live import View
from mailward.configs.loading import load
from mailward.configs.schema import Config
from mailward.controller.clock import SystemClock

NAME = "mailward_own_certificate_remaining_seconds"
Issue = Callable[[float], None]


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o600)
    return tmp_path


@pytest.fixture
def loaded(etc: Path) -> Loaded:
    def run(*edits: Edit) -> Config:
        text = GOOD
        for old, new in edits:
            text = text.replace(old, new, 1)
        (etc / "mailward.yaml").write_text(text)
        return load(etc / "mailward.yaml", {})

    return run


@pytest.fixture
def issue(etc: Path, monkeypatch: pytest.MonkeyPatch) -> Issue:
    """Writes this daemon's certificate anew, for so many days; its authority lasts for 100."""
    monkeypatch.setattr(material, "VALID_FOR", datetime.timedelta(days=100))
    authority = Authority(etc)

    def run(days: float) -> None:
        monkeypatch.setattr(material, "VALID_FOR", datetime.timedelta(days=days))
        authority.issue(etc, ["mail-a"], "192.0.2.10")
        for name in ("tls.crt", "tls.key"):
            os.utime(etc / name, (time.time(), days))

    run(50)
    return run


def left(certificates: Certificates) -> dict[str, float]:
    found = {each.key: each.days_left(time.time()) for each in certificates.lasting()}
    return {key: round(days, 2) for key, days in found.items() if days is not None}


def test_they_are_read_anew_when_they_are_written(issue: Issue, loaded: Loaded, etc: Path) -> None:
    certificates = Certificates(loaded(several()))
    assert left(certificates) == {"cert_file": 50.0, "ca_file": 100.0}
    issue(3)
    assert left(certificates) == {"cert_file": 3.0, "ca_file": 100.0}
    (etc / "tls.crt").write_text("nothing")
    cert, _ = certificates.lasting()
    assert cert.told(time.time()).startswith(f"{etc}/tls.crt cannot be read any more: ")


def test_a_chain_lasts_as_its_first_to_end_and_of_authorities_one_is_enough(
    issue: Issue, loaded: Loaded, etc: Path
) -> None:
    certificates = Certificates(loaded(several()))
    short = (etc / "tls.crt").read_text()
    issue(80)
    for name in ("tls.crt", "ca.crt"):
        (etc / name).write_text((etc / name).read_text() + short)
    assert left(certificates) == {"cert_file": 50.0, "ca_file": 100.0}


def test_without_tls_there_are_none(loaded: Loaded) -> None:
    assert Certificates(loaded()).lasting() == ()


def with_days(days: float, key: str = "cert_file") -> View:
    view = scenes.healthy().view()
    return replace(view, certificates=(Lasting(key, "/etc/x.crt", view.now.wall_s + days * DAY_S),))


@pytest.mark.parametrize(
    ("days", "key", "says"),
    [
        (6.9, "cert_file", "/etc/x.crt has 7 days left: then neither ZooKeeper nor another daemon believes"),
        (3.0, "ca_file", "/etc/x.crt has 3 days left: then this daemon believes neither ZooKeeper nor"),
        (-1.0, "cert_file", "/etc/x.crt has expired: neither ZooKeeper nor another daemon believes this one"),
    ],
)
def test_status_tells_it_a_week_before(days: float, key: str, says: str) -> None:
    view = with_days(days, key)
    assert says in shown(view)
    assert says in shown(replace(view, snapshot=None, decision=None))


def test_what_lasts_for_longer_is_not_told() -> None:
    assert "/etc/x.crt" not in shown(with_days(7.1))


def test_the_metric_has_it_at_any_time_and_nothing_for_what_cannot_be_read() -> None:
    assert value(families(FakeDaemon(with_days(30))), NAME, file="cert_file") == 30 * DAY_S
    unread = replace(with_days(1), certificates=(Lasting("ca_file", "/etc/x.crt", None, "gone"),))
    assert value(families(FakeDaemon(unread)), NAME, file="ca_file") is None


@pytest.mark.parametrize(
    ("days", "works", "detail"),
    [(50, True, "/etc/x.crt has 50 days left"), (3, False, "/etc/x.crt has 3 days left: then neither")],
)
def test_a_live_check_tells_it_too(days: float, works: bool, detail: str) -> None:
    tried = live_check._certificate(Lasting("cert_file", "/etc/x.crt", days * DAY_S), 0.0)
    assert (tried.what, tried.works, tried.detail[: len(detail)]) == ("ZooKeeper cert_file", works, detail)


async def test_daemon_and_live_check_look_at_those_of_the_file(
    issue: Issue, loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_store(_: Config) -> tuple[str, live_check.Tried]:
        return live_check.NOBODY, live_check.Tried("store", False, "")

    config = loaded(several())
    assert [each.key for each in Daemon(config).view().certificates] == ["cert_file", "ca_file"]
    monkeypatch.setattr(live_check, "_tries", lambda *_: ())
    monkeypatch.setattr(live_check, "_store", no_store)
    tried = await live_check.try_all(config, SystemClock())
    assert [each.what for each in tried] == ["ZooKeeper cert_file", "ZooKeeper ca_file", "store"]

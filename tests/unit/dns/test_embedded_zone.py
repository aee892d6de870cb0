"""The embedded zone on disk, and what it refuses to be."""

import asyncio
import json
import os
import re
import threading
from pathlib import Path

import pytest

from mailward.dns.drivers import embedded as driver_module
from mailward.dns.drivers.embedded import EmbeddedTarget
from mailward.dns.embedded.file import load, save
from mailward.dns.embedded.zone import Zone, ZoneSettings
from mailward.model.dns import ApplyResult, Change, RRset, ZoneView
from mailward.model.errors import StoreError
from mailward.model.token import Token

STORE = "0123456789abcdef"
SETTINGS = ZoneSettings("example.test.", ("ns1.example.test.",))
MAIL = RRset("mail.example.test.", "A", 5, ("192.0.2.1",))


def token(seq: int) -> Token:
    return Token(STORE, 1, seq)


def target(path: Path, timeout_s: float = 2.0) -> EmbeddedTarget:
    return EmbeddedTarget(
        "embedded", cluster="c1", store_id=STORE, settings=SETTINGS, path=path, timeout_s=timeout_s
    )


async def seen(embedded: EmbeddedTarget) -> ZoneView:
    view = await embedded.read([MAIL.key])
    assert isinstance(view, ZoneView)
    return view


class TestFile:
    def test_what_was_saved_is_loaded(self, tmp_path: Path) -> None:
        zone = Zone(SETTINGS, 41, (MAIL,)).replaced([])
        save(tmp_path / "zone.json", zone)
        assert load(tmp_path / "zone.json", SETTINGS) == zone
        assert zone.serial == 42
        assert [path.name for path in tmp_path.iterdir()] == ["zone.json"]

    def test_a_file_half_written_beside_it_changes_nothing(self, tmp_path: Path) -> None:
        save(tmp_path / "zone.json", Zone(SETTINGS, 1, (MAIL,)))
        (tmp_path / "zone.json.new").write_text('{"schema": 1, "zo')
        assert load(tmp_path / "zone.json", SETTINGS).published == (MAIL,)
        save(tmp_path / "zone.json", Zone(SETTINGS, 2, ()))
        assert load(tmp_path / "zone.json", SETTINGS).serial == 2

    def test_a_file_is_on_disk_before_it_takes_the_place_of_the_old_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And the directory after that: two syncs, the old zone still there at the first."""
        path = tmp_path / "zone.json"
        save(path, Zone(SETTINGS, 1))
        serials = []
        monkeypatch.setattr(os, "fsync", lambda _: serials.append(json.loads(path.read_text())["serial"]))
        save(path, Zone(SETTINGS, 2))
        assert serials == [1, 2]

    @pytest.mark.parametrize(
        ("text", "named"),
        [
            ("", "Expecting value"),
            ("[1]", "schema 1"),
            ('{"schema": 2}', "schema 1"),
            ('{"schema": 1, "zone": "example.org."}', "'example.org.'"),
            ('{"schema": 1, "zone": "example.test.", "serial": 1}', "rrsets"),
            ('{"schema": 1, "zone": "example.test.", "serial": -1, "rrsets": []}', "SOA"),
            ('{"schema": 1, "zone": "example.test.", "serial": 1, "rrsets": [["a"]]}', "values to unpack"),
            (
                '{"schema": 1, "zone": "example.test.", "serial": 1,'
                ' "rrsets": [["mail.example.test.", "A", 5, ["x"]]]}',
                "mail.example.test. A",
            ),
            (
                '{"schema": 1, "zone": "example.test.", "serial": 1,'
                ' "rrsets": [["mail.example.test.", "MX", 5, ["5 a."]]]}',
                "only A, AAAA, TXT",
            ),
            ("[" * 100_000, "not usable"),
        ],
    )
    def test_a_file_that_is_no_zone_is_an_error_that_names_it(
        self, tmp_path: Path, text: str, named: str
    ) -> None:
        path = tmp_path / "zone.json"
        path.write_text(text)
        with pytest.raises(StoreError) as caught:
            load(path, SETTINGS)
        assert str(path) in str(caught.value)
        assert named in str(caught.value)
        assert path.read_text() == text

    def test_a_path_that_cannot_be_read_is_an_error_that_names_it(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="Is a directory"):
            load(tmp_path, SETTINGS)


class TestTarget:
    async def test_a_restart_gives_the_last_answer_and_token(self, tmp_path: Path) -> None:
        before = target(tmp_path / "zone.json")
        await before.apply(None, token(1), [Change(*MAIL.key, MAIL)])
        assert await seen(target(tmp_path / "zone.json")) == await seen(before)
        assert (await seen(before)).token == token(1)

    async def test_what_cannot_be_saved_is_refused_and_not_answered(self, tmp_path: Path) -> None:
        embedded = target(tmp_path / "gone" / "zone.json")
        applied = await embedded.apply(None, token(1), [Change(*MAIL.key, MAIL)])
        assert applied.result is ApplyResult.REFUSED
        assert "zone.json cannot be written: No such file or directory" in applied.detail
        assert await seen(embedded) == ZoneView(None, ())
        (tmp_path / "gone").mkdir()
        assert (await embedded.claim(None, token(1))).result is ApplyResult.APPLIED

    async def test_a_save_that_hangs_is_unknown_and_the_next_waits_its_turn(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        released = threading.Event()

        def slow(path: Path, zone: Zone) -> None:
            released.wait(5)
            save(path, zone)

        monkeypatch.setattr(driver_module, "save", slow)
        embedded = target(tmp_path / "zone.json", timeout_s=0.03)
        first = await embedded.apply(None, token(1), [Change(*MAIL.key, MAIL)])
        assert first.result is ApplyResult.UNKNOWN
        second = await embedded.apply(None, token(2), [])
        assert second.result is ApplyResult.UNKNOWN
        assert "not begun" in second.detail
        assert (await seen(embedded)).token is None
        released.set()
        await asyncio.wait_for(embedded._one_at_a_time.acquire(), 1)
        assert (await seen(embedded)).token == token(1)
        assert json.loads((tmp_path / "zone.json").read_text())["serial"] == 2

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (Change("mail.example.test.", "MX", None), "only A, AAAA, TXT"),
            (Change("example.test.", "SOA", None), "only A, AAAA, TXT"),
            (Change("mail.example.test.", "A", RRset("mail.example.test.", "A", 5, ("x",))), "'x'"),
        ],
    )
    async def test_what_cannot_be_published_here_is_refused(
        self, tmp_path: Path, change: Change, reason: str
    ) -> None:
        embedded = target(tmp_path / "zone.json")
        applied = await embedded.apply(None, token(1), [Change(*MAIL.key, MAIL), change])
        assert applied.result is ApplyResult.REFUSED
        assert reason in applied.detail
        assert await seen(embedded) == ZoneView(None, ())


class TestZone:
    def test_the_serial_goes_round(self) -> None:
        assert Zone(SETTINGS, 2**32 - 1).replaced([]).serial == 1

    @pytest.mark.parametrize(
        ("settings", "named"),
        [
            (ZoneSettings("example.test.", ()), "no name server"),
            (ZoneSettings("example..test", ("ns1.example.test.",)), "example..test"),
        ],
    )
    def test_settings_that_are_no_zone_are_an_error(self, settings: ZoneSettings, named: str) -> None:
        with pytest.raises(ValueError, match=re.escape(named)):
            Zone(settings)

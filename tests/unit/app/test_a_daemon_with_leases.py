"""What a daemon is made of where there are leases: it leads nobody and promises nothing in its first seconds
but by the rules of promises."""

from pathlib import Path
from typing import Any

import pytest
from tests.unit.configs.good import FILES, GOOD
from tests.unit.configs.test_leases import leased

from mailward.app.daemon import Daemon
from mailward.configs.loading import load
from mailward.configs.policy import digest_of
from mailward.model.errors import StoreError

STORE_ID = "0123456789ab"


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    """Beside mail-a, of a cluster whose ZooKeeper nobody has reached yet."""
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o600)
    text = GOOD
    for old, new in leased():
        text = text.replace(old, new, 1)
    socket = f"api: {{socket: {tmp_path}/mailward.sock}}\n"
    (tmp_path / "mailward.yaml").write_text(f"{socket}{text}")
    return Daemon(load(tmp_path / "mailward.yaml", {}))


async def test_it_stands_for_the_lead_when_what_it_may_have_promised_before_is_over(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    stood: list[bool] = []

    async def lead(*, willing: bool = True) -> None:
        stood.append(willing)
        raise StoreError("that is all")

    monkeypatch.setattr(daemon._store, "lead", lead)
    with pytest.raises(StoreError, match="that is all"):
        await daemon.run()
    assert stood == [False]


async def test_its_loop_is_bound_by_what_it_has_promised(daemon: Daemon) -> None:
    parts = daemon._build(STORE_ID)
    loop = daemon._make_loop(parts)
    assert loop._why_not().startswith("not before ")
    daemon._promises._until_s = float("-inf")
    assert loop._why_not() == ""
    await parts.close()


@pytest.mark.parametrize(
    ("leads", "in_touch", "why"),
    [
        (True, False, "it leads"),
        (False, True, "the store is in touch with it"),
        (False, False, ""),
    ],
)
async def test_it_promises_nothing_while_it_may_act(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, leads: bool, in_touch: bool, why: str
) -> None:
    parts = daemon._build(STORE_ID)
    daemon._loop = daemon._make_loop(parts)
    monkeypatch.setattr(type(daemon._loop), "leads", leads)
    monkeypatch.setattr(type(daemon._store), "in_touch", in_touch)
    question: dict[str, Any] = {"promise": {"config": digest_of(daemon._config)}}
    assert await daemon._answer(question) == {"promised": not why, "why": why}
    await parts.close()

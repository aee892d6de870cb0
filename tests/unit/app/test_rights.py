"""Who may do what in ZooKeeper, as the configuration has it."""

from collections.abc import Callable
from pathlib import Path

import pytest

import mailward.configs
from mailward.app.zookeeper import rights_of
from mailward.configs.consistency import CLUSTER_ONLY
from mailward.configs.loading import load
from mailward.configs.schema import Config
from mailward.controller.coordination.zookeeper.tree import Tree
from mailward.controller.coordination.zookeeper.values import Grant
from mailward.model.ports import Box

DEPLOYMENTS = Path(mailward.configs.__file__).parent / "deployments"
AT = Tree("example")
SEVERAL = """
coordination: {zookeeper: {servers: ["zk1:2281"], tls: {ca_file: ca, cert_file: crt, key_file: key}}}
observers:
  - {name: eye, node: mail-a, leader: never}
  - {name: watch}
"""


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[..., Config]:
    def run(deployment: str = "cluster", of: str = SEVERAL) -> Config:
        text = (DEPLOYMENTS / "cluster.yaml").read_text(encoding="utf-8").replace("/etc/mailward/", "")
        changed = text.replace("deployment: cluster", f"deployment: {deployment}") + of
        if deployment != "cluster":
            lines = [
                line for line in changed.splitlines() if line.strip().partition(":")[0] not in CLUSTER_ONLY
            ]
            changed = "\n".join(line for line in lines if line != "policy:")
        (tmp_path / "mailward.yaml").write_text(changed)
        return load(tmp_path / "mailward.yaml", {}, with_secrets=False)

    return run


def test_who_may_lead_asks_and_only_who_is_beside_the_node_answers(loaded: Callable[..., Config]) -> None:
    rights = rights_of(loaded())
    assert rights.beside == {"mail-a": "eye"}
    asks, answers = rights.of_letter(Box.ASKS, "mail-a"), rights.of_letter(Box.ANSWERS, "mail-a")
    assert {grant for grant in asks if "w" in grant.may} == {Grant("x509", "CN=watch", "arw")}
    assert {grant for grant in answers if "w" in grant.may} == {Grant("x509", "CN=eye", "rw")}
    folders = rights.of(AT)
    for box, who in ((Box.ASKS, "CN=watch"), (Box.ANSWERS, "CN=eye")):
        makes = {grant.who for grant in folders[AT.letters(box, "mail-a")] if "c" in grant.may}
        assert makes == {who}, box
    assert AT.letters(Box.ASKS, "mail-b") not in folders, "nobody is beside it"


@pytest.mark.parametrize(
    ("deployment", "of"), [("hybrid", SEVERAL), ("cluster", SEVERAL.replace("node: mail-a, ", ""))]
)
def test_where_nobody_is_asked_there_is_no_place_for_letters(
    loaded: Callable[..., Config], deployment: str, of: str
) -> None:
    rights = rights_of(loaded(deployment, of))
    assert not rights.beside
    assert not [path for path in rights.of(AT) if path in {AT.letters(box) for box in Box}]

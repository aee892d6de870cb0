"""How nodes are reached: helper, replication, power, and where each secret stands."""

from collections.abc import Iterator

from mailward.configs import effective
from mailward.configs.nodes import Replication
from mailward.configs.power import is_secret
from mailward.configs.problems import Path, Problem
from mailward.configs.schema import Config
from mailward.configs.sections import SecretSection
from mailward.model.policy import Deployment


def secret_sections(config: Config) -> Iterator[tuple[Path, SecretSection]]:
    """Every section that holds a secret."""
    if config.canary:
        yield ("canary",), config.canary
    if config.replication and config.replication.doveadm:
        yield ("replication", "doveadm"), config.replication.doveadm
    for name, node in config.nodes.items():
        if node.replication and node.replication.doveadm:
            yield ("nodes", name, "replication", "doveadm"), node.replication.doveadm
        for option, secret in (node.agent.secrets if node.agent else {}).items():
            yield ("nodes", name, "agent", "secrets", option), secret
    for name, target in config.dns.items():
        if target.rfc2136:
            yield ("dns", name, "rfc2136", "tsig"), target.rfc2136.tsig
    if config.coordination.zookeeper and config.coordination.zookeeper.login:
        yield ("coordination", "zookeeper", "login"), config.coordination.zookeeper.login
    yield ("api",), config.api


def replication(config: Config) -> Iterator[Problem]:
    """A returning node waits until it has caught up, and who is promoted has the mail: somebody must say how
    that is known."""
    said: list[tuple[Path, Replication | None]] = [(("replication",), config.replication)]
    said += [(("nodes", name, "replication"), node.replication) for name, node in config.nodes.items()]
    for path, section in said:
        if section is not None and section.doveadm is not None and section.ssh is not None:
            yield Problem(path, "doveadm and ssh are both given: keep one")
    if config.deployment is not Deployment.STANDARD and _unsaid(config):
        sentence = (
            "missing: write how replication is measured, `{doveadm: {api_key_file: …}}` or"
            " `{ssh: {key_file: …}}`, or `none` where nodes share their mail store or nothing"
        )
        yield Problem(("replication",), sentence, (("deployment",), ("nodes",)))
    else:
        yield from _measured(config)


def _unsaid(config: Config) -> bool:
    """Whether a node leans on a section of defaults that says nothing."""
    silent = config.replication is not None and not config.replication.model_fields_set
    return silent and any(
        node.replication is not None and not node.replication.model_fields_set
        for node in config.nodes.values()
    )


def _measured(config: Config) -> Iterator[Problem]:
    """What measuring needs: a pair."""
    if not all(node.addresses for node in config.nodes.values()):
        return
    sources = {name: effective.replication_of(config, name) for name in config.nodes}
    pair = [name for name, source in sources.items() if source is not None]
    alone = len(config.nodes) == 1 and config.deployment is not Deployment.STANDARD
    if len(pair) not in (0, 2) and not alone:
        sentence = (
            f"Dovecot replicates between two nodes, and here it is measured on {', '.join(pair)}:"
            " write `replication: none` where there is none"
        )
        yield Problem(("replication",), sentence, (("nodes",), ("deployment",)))


def one_node_only(config: Config) -> Iterator[Problem]:
    """What would be the same for all nodes, and cannot be."""
    if config.replication and config.replication.doveadm and config.replication.doveadm.url:
        sentence = "belongs to one node: write it under nodes.NAME.replication.doveadm"
        yield Problem(("replication", "doveadm", "url"), sentence)
    if config.replication and config.replication.ssh and config.replication.ssh.address:
        sentence = "belongs to one node: write it under nodes.NAME.replication.ssh"
        yield Problem(("replication", "ssh", "address"), sentence)
    if config.helper and config.helper.ssh.address:
        sentence = "belongs to one node: write it under nodes.NAME.helper.ssh"
        yield Problem(("helper", "ssh", "address"), sentence)


def secrets(config: Config) -> Iterator[Problem]:
    """Each secret has one source; that of the API and a node's inherited one may be left out."""
    shared = config.replication.doveadm if config.replication else None
    for path, section in secret_sections(config):
        file_key, env_key = section.secret_keys
        if getattr(section, file_key) is not None and getattr(section, env_key) is not None:
            yield Problem(path, f"{file_key} and {env_key} are both given: keep one")
        inherits = path[2:3] == ("replication",) and shared is not None and shared.names_secret
        if not section.names_secret and not inherits and path[0] != "api" and path[0] != "replication":
            sentence = f"missing: write the path of a file that holds the {section.secret_name}"
            yield Problem((*path, file_key), sentence, ((*path, env_key), (*path, section.secret_name)))
    if shared is not None and not shared.names_secret and _leans_on(config):
        yield Problem(
            ("replication", "doveadm", "api_key_file"),
            "missing: write the path of a file that holds the api_key",
            (("replication", "doveadm"),),
        )


def agents(config: Config) -> Iterator[Problem]:
    """What stands in the wrong one of an agent's two lists, or in both."""
    for name, node in config.nodes.items():
        here: Path = ("nodes", name, "agent")
        for option in node.agent.options if node.agent else ():
            assert node.agent is not None
            if option in node.agent.secrets:
                yield Problem((*here, "options", option), "stands under secrets as well: keep that one")
            elif is_secret(option):
                sentence = (
                    "secrets do not stand in this file: put it into a file, and write under agent"
                    f" `secrets: {{{option}: {{secret_file: …}}}}`"
                )
                yield Problem((*here, "options", option), sentence)


def switches(config: Config) -> Iterator[Problem]:
    """Each node has a switch of its own: with another's, that one would be switched off in its place, and
    read off. No option is shown: one may be a secret in the wrong place."""
    owners: dict[object, str] = {}
    for name, node in config.nodes.items():
        if node.agent is None:
            continue
        other = owners.setdefault(node.agent.acts_on, name)
        if other != name:
            sentence = (
                f"the same switch as that of {other}: whoever switches {name} off would switch {other} off,"
                " and take it for done; write the options of its own"
            )
            yield Problem(("nodes", name, "agent"), sentence, (("nodes", other, "agent"),))


def _leans_on(config: Config) -> bool:
    """Whether a node takes its doveadm key from the defaults."""
    return any(
        node.replication is not None and not node.replication.model_fields_set
        for node in config.nodes.values()
    )

"""How nodes are reached: helper, replication, and where each secret stands."""

from collections.abc import Iterator
from typing import Any

from mailward.configs import effective
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
    for name, target in config.dns.items():
        if target.rfc2136:
            yield ("dns", name, "rfc2136", "tsig"), target.rfc2136.tsig
    yield ("api",), config.api


def replication(config: Config) -> Iterator[Problem]:
    """In a hybrid a returning node waits until it has caught up: somebody must say how that is known."""
    said: list[tuple[Path, Any]] = [(("replication",), config.replication)]
    said += [(("nodes", name, "replication"), node.replication) for name, node in config.nodes.items()]
    for path, section in said:
        if section is not None and section.doveadm is not None and section.ssh:
            yield Problem(path, "doveadm and ssh are both given: keep one")
        elif section is not None and section.model_fields_set and section.doveadm is None and not section.ssh:
            yield Problem(path, "neither doveadm nor ssh is given: write one, or `none`")
    silent = config.replication is not None and not config.replication.model_fields_set
    for name, node in config.nodes.items():
        path = ("nodes", name, "replication")
        inherits = node.replication is not None and not node.replication.model_fields_set
        source = effective.replication_of(config, name) if node.addresses else None
        if config.deployment is Deployment.HYBRID and inherits and silent:
            yield Problem(
                ("replication",),
                "missing: write how replication is measured, `{doveadm: {api_key_file: …}}` or `{ssh: true}`,"
                " or `none` where nodes share their mail store or nothing",
                (("deployment",), path),
            )
            return
        if source is not None and source.ssh and effective.ssh_of(config, name) is None:
            yield Problem(
                path,
                f"measuring over ssh uses the helper's account, and {name} has no helper",
                (("helper",), ("replication",), ("nodes", name, "helper")),
            )
    if config.replication and config.replication.doveadm and config.replication.doveadm.url:
        yield Problem(
            ("replication", "doveadm", "url"),
            "belongs to one node: write it under nodes.NAME.replication.doveadm",
        )
    if config.helper and config.helper.ssh.address:
        yield Problem(
            ("helper", "ssh", "address"), "belongs to one node: write it under nodes.NAME.helper.ssh"
        )


def secrets(config: Config) -> Iterator[Problem]:
    """Each secret has one source; that of the API and a node's inherited one may be left out."""
    shared = config.replication.doveadm if config.replication else None
    for path, section in secret_sections(config):
        file_key, env_key = section.secret_keys
        if getattr(section, file_key) is not None and getattr(section, env_key) is not None:
            yield Problem(path, f"{file_key} and {env_key} are both given: keep one")
        inherits = path[0] == "nodes" and shared is not None and shared.names_secret
        if not section.names_secret and not inherits and path[0] != "api" and path[0] != "replication":
            sentence = f"missing: write the path of a file that holds the {section.secret_name}"
            yield Problem((*path, file_key), sentence, ((*path, env_key), (*path, section.secret_name)))
    if shared is not None and not shared.names_secret and _leans_on(config):
        yield Problem(
            ("replication", "doveadm", "api_key_file"),
            "missing: write the path of a file that holds the api_key",
            (("replication", "doveadm"),),
        )


def _leans_on(config: Config) -> bool:
    """Whether a node takes its doveadm key from the defaults."""
    return any(
        node.replication is not None and not node.replication.model_fields_set
        for node in config.nodes.values()
    )

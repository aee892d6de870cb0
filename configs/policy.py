"""From the configuration to `model.policy.Policy`: all that the core gets to see."""

import hashlib
import json
from typing import Any

from mailward.configs import effective, schema
from mailward.configs.schema import Config
from mailward.configs.windows import window_of
from mailward.model.fencing import Scope, Terms
from mailward.model.policy import (
    Endpoint,
    Node,
    Observer,
    Policy,
    Rules,
    Rung,
    RungKind,
    Service,
    lease_over_s,
)

# What only concerns one host: daemons that differ in it still see the same cluster.
_OF_ONE_HOST = frozenset({"observer", "api", "coordination", "watchdog"})


def policy_of(config: Config) -> Policy:
    """The cluster as the core sees it."""
    return Policy(
        cluster=config.cluster,
        deployment=config.deployment,
        automation=config.automation,
        services=tuple(
            Service(name, effective.port_of(config, name), effective.protocol_of(config, name).value)
            for name in config.services
        ),
        nodes=tuple(_node(config, name) for name in config.nodes),
        endpoints=tuple(_endpoint(config, name) for name in config.endpoints) or _under_its_own_name(config),
        observers=tuple(
            Observer(observer.name, observer.site or "", observer.votes, observer.leader != "never")
            for observer in config.observers
        ),
        targets=tuple(config.dns),
        rules=_rules(config),
        digest=digest_of(config),
    )


def _rules(config: Config) -> Rules:
    said = config.policy.model_dump()
    window = config.policy.failback_window
    return Rules(**{**said, "failback_window": window_of(window) if window is not None else None})


def _node(config: Config, name: str) -> Node:
    entry = config.nodes[name]
    return Node(
        name=name,
        site=entry.site,
        addresses=entry.addresses,
        fenced=effective.ssh_of(config, name) is not None,
        replicates=effective.replication_of(config, name) is not None,
        hostname=entry.hostname,
        priority=entry.priority,
        ladder=_ladder(config, name),
    )


def _ladder(config: Config, name: str) -> tuple[Rung, ...]:
    """The rungs that can be tried, the surest and fastest first."""
    if effective.ssh_of(config, name) is None:
        return ()
    agent, lease_s = config.nodes[name].agent, config.policy.lease_s
    terms = Terms(stop=config.policy.fence_scope.covers(Scope.WRITES))
    order_s = config.policy.order_timeout_s + terms.extra_s
    through_store = (Rung(RungKind.ASK, order_s),) if effective.asked_of(config, name) is not None else ()
    kept = effective.daemon_beside(config, name) is not None
    lease = (Rung(RungKind.LEASE, lease_over_s(lease_s)),) if lease_s is not None and kept else ()
    power = (Rung(RungKind.AGENT, agent.timeout_s),) if agent is not None else ()
    return (*through_store, Rung(RungKind.HELPER, order_s), *lease, *power)


def _endpoint(config: Config, name: str) -> Endpoint:
    entry = config.endpoints[name]
    return Endpoint(
        name=name,
        services=entry.services,
        nodes=effective.nodes_of(config, name),
        ttl_s=entry.ttl_s,
        targets=effective.targets_of(config, name),
    )


def _under_its_own_name(config: Config) -> tuple[Endpoint, ...]:
    """Where no endpoint is listed, which only a `standard` may do: each server with all its services,
    published nowhere."""
    return tuple(
        Endpoint(
            name=node.hostname or name,
            services=tuple(config.services),
            nodes=(name,),
            ttl_s=schema.Endpoint(services=()).ttl_s,
            targets=(),
        )
        for name, node in config.nodes.items()
    )


def digest_of(config: Config) -> str:
    """sha256 of what the file says of the cluster beyond the defaults.

    The order of keys, comments and notation do not matter. Secrets, where they stand, and what concerns one
    host only are left out; so is what no file says yet because only a newer version knows it."""
    said = _shared(config.model_dump(mode="json", exclude=set(_OF_ONE_HOST), exclude_defaults=True))
    content = {name: section for name, section in said.items() if section != {}}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _shared(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shared(one) for key, one in value.items() if not key.endswith(("_file", "_env"))}
    return value

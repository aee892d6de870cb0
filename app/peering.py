"""Which of the observers this daemon is, and where it meets the others."""

import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mailward.app.zookeeper import servers_of
from mailward.configs.daemon import ObserverEntry
from mailward.configs.schema import Config
from mailward.controller.coordination.peers import Peer, Peers
from mailward.model.errors import ConfigError
from mailward.model.ports import Clock
from mailward.model.report import Report


def observer_of(config: Config) -> str:
    """Which of the observers this daemon is; ConfigError where nothing says it."""
    names = [observer.name for observer in config.observers]
    if config.observer is not None:
        return config.observer
    host = socket.gethostname().partition(".")[0].lower()
    if len(names) == 1 or host in names:
        return names[0] if len(names) == 1 else host
    problem = f"observer: missing: this host is {host!r}; write which of {', '.join(names)} this daemon is"
    raise ConfigError((problem,))


def may_ever_act(config: Config) -> bool:
    """Whether this daemon may ever act: not one that only watches, nor one beside a node that has the store
    to itself."""
    entry = _entry(config)
    alone = config.coordination.zookeeper is None
    return entry.leader != "never" and not (alone and entry.node is not None)


def beside(config: Config) -> str | None:
    """The node that this daemon runs beside, if any."""
    return _entry(config).node


def _entry(config: Config) -> ObserverEntry:
    name = observer_of(config)
    return next(observer for observer in config.observers if observer.name == name)


def peers_of(
    config: Config, nonce: str, clock: Clock, report: Callable[[], Report | None], on_end: Callable[[], None],
    answer: Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]],
) -> Peers:  # fmt: skip
    """The other daemons, as far as the configuration says where they are."""
    zookeeper, name = config.coordination.zookeeper, observer_of(config)
    others = [observer for observer in config.observers if observer.name != name and zookeeper is not None]
    peers = [Peer(each.name, *_host_and_port(each.address)) for each in others if each.address is not None]
    tls = servers_of(zookeeper).tls if zookeeper is not None else None
    return Peers(
        config.cluster, name, nonce, peers, clock, tls,
        report=report, answer=answer, admitted=[other.name for other in others], on_end=on_end,
    )  # fmt: skip


def listen_of(config: Config) -> tuple[str | None, int] | None:
    """Where the other daemons are to find this one: on all addresses of this host, at one port."""
    ours = _entry(config)
    if ours.address is None or config.coordination.zookeeper is None:
        return None
    return None, _host_and_port(ours.address)[1]


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)

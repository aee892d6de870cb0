"""ZooKeeper as the configuration has it: its servers, and who may do what there."""

from mailward.configs import effective
from mailward.configs.daemon import ZooKeeper
from mailward.configs.identities import identity_of
from mailward.configs.schema import Config
from mailward.controller.coordination.tls import Tls
from mailward.controller.coordination.zookeeper.rights import OPEN, Rights
from mailward.controller.coordination.zookeeper.values import Login, Servers


def servers_of(zookeeper: ZooKeeper) -> Servers:
    tls, login = zookeeper.tls, zookeeper.login
    return Servers(
        zookeeper.servers,
        session_s=zookeeper.session_s,
        tls=Tls(tls.ca_file, tls.cert_file, tls.key_file) if tls is not None else None,
        login=Login(login.user, login.password.get_secret_value()) if login is not None else None,
    )


def rights_of(config: Config) -> Rights:
    """Without tls or login nobody is known, and nothing kept from anybody."""
    zookeeper = config.coordination.zookeeper
    if zookeeper is None:
        return OPEN
    scheme = "sasl" if zookeeper.login is not None else "x509" if zookeeper.tls is not None else ""
    return Rights(
        scheme,
        {observer.name: identity_of(observer, zookeeper) for observer in config.observers},
        frozenset(observer.name for observer in config.observers if observer.leader != "never"),
        zookeeper.admins,
        beside_of(config),
    )


def beside_of(config: Config) -> dict[str, str]:
    """Which observer answers for which node."""
    asked = {name: effective.asked_of(config, name) for name in config.nodes}
    return {name: observer for name, observer in asked.items() if observer is not None}

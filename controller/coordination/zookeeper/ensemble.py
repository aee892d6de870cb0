"""What the servers of a ZooKeeper ensemble need, as files: `zoo.cfg`, `myid`, Debian's `environment`, and
`jaas.conf` where clients show a password. Pure.

The values follow from the session that the daemons ask for: it has ten ticks, so that it is granted (a server
grants 2 to 20 of its ticks), and a server that hears nothing of its leader for three leaves the quorum.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

TICKS_OF_A_SESSION = 10
PEER_PORT, ELECTION_PORT = 2888, 3888
HEAP_MIB, MEMORY_MIB, DISK_MIB = 128, 250, 200
"""Of a server: Java's heap, all that it takes, and what its logs and snapshots take at most."""

_TLS = """\
serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory
ssl.keyStore.location={folder}/tls.pem
ssl.trustStore.location={folder}/ca.pem
ssl.clientAuth=need
authProvider.1=org.apache.zookeeper.server.auth.X509AuthenticationProvider
# The servers among themselves
sslQuorum=true
ssl.quorum.keyStore.location={folder}/tls.pem
ssl.quorum.trustStore.location={folder}/ca.pem
"""


_SASL = """\
# Nobody may do anything without a password
authProvider.sasl=org.apache.zookeeper.server.auth.SASLAuthenticationProvider
enforce.auth.enabled=true
enforce.auth.schemes=sasl
"""


@dataclass(frozen=True, slots=True)
class Ensemble:
    """`servers` are `host:port` for clients. With `tls` everything is encrypted, and both sides show a
    certificate: `tls.pem`, key and certificate, and `ca.pem`, beside `zoo.cfg` in `folder`. With `users`
    clients show a password; in place of each stands `password_of` it, with which no server starts."""

    servers: Sequence[str]
    session_s: float
    tls: bool
    folder: str = "/etc/zookeeper/conf"
    data: str = "/var/lib/zookeeper"
    users: Sequence[str] = ()

    def files(self, number: int) -> Mapping[str, str]:
        """Of server `number`, from 1; by name."""
        login = f" -Djava.security.auth.login.config={self.folder}/jaas.conf" if self.users else ""
        environment = _ENVIRONMENT.format(folder=self.folder, heap=HEAP_MIB, login=login)
        found = {"zoo.cfg": self._configuration(number), "myid": f"{number}\n", "environment": environment}
        return {**found, "jaas.conf": self._passwords()} if self.users else found

    def _passwords(self) -> str:
        users = "".join(f"\n    user_{user}={password_of(user)}" for user in self.users)
        return f"Server {{\n    org.apache.zookeeper.server.auth.DigestLoginModule required{users};\n}};\n"

    def _configuration(self, number: int) -> str:
        port = self.servers[number - 1].rpartition(":")[2]
        lines = [
            "# Written by: mailward zookeeper setup",
            f"tickTime={round(self.session_s * 1000 / TICKS_OF_A_SESSION)}",
            "initLimit=10",
            "syncLimit=3",
            f"dataDir={self.data}",
            "# Snapshots and logs are purged hourly, and logs begin small",
            "autopurge.snapRetainCount=3",
            "autopurge.purgeInterval=1",
            "preAllocSize=4096",
            "snapCount=10000",
            "4lw.commands.whitelist=srvr",
            f"secureClientPort={port}" if self.tls else f"clientPort={port}",
        ]
        if self.tls:
            lines += _TLS.format(folder=self.folder).splitlines()
        if self.users:
            lines += _SASL.splitlines()
        if len(self.servers) > 1:
            hosts = [server.rpartition(":")[0] for server in self.servers]
            lines += [f"server.{n}={host}:{PEER_PORT}:{ELECTION_PORT}" for n, host in enumerate(hosts, 1)]
        return "\n".join(lines) + "\n"


def password_of(user: str) -> str:
    """What stands in `jaas.conf` until somebody has written it there, in quotes."""
    return f"<password of {user}>"


_ENVIRONMENT = """\
# Written by: mailward zookeeper setup. What Debian's zookeeperd is started with.
ZOOMAIN=org.apache.zookeeper.server.quorum.QuorumPeerMain
ZOOCFGDIR={folder}
ZOOCFG={folder}/zoo.cfg
ZOO_LOG_DIR=/var/log/zookeeper
ZOO_LOG4J_PROP=INFO,ROLLINGFILE
JAVA=/usr/bin/java
JAVA_OPTS="-Xmx{heap}m -Dzookeeper.admin.enableServer=false{login}"
# Debian's zookeeper.jar names neither netty-codec nor netty-resolver: without them TLS clients are dropped.
CLASSPATH="{folder}:/usr/share/java/zookeeper.jar:/usr/share/java/netty-codec.jar:/usr/share/java/netty-resolver.jar"
"""

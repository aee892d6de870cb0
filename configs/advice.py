"""What works as it is written, and may still surprise: warnings, shown by `config check` and at start."""

from collections.abc import Iterator

from mailward.configs import effective
from mailward.configs.schema import Config


def advice(config: Config) -> Iterator[str]:
    """Sentences with their place in the file."""
    for name in config.endpoints:
        nodes = effective.nodes_of(config, name)
        if len(nodes) == 1 and len(config.nodes) > 1:
            yield f"endpoints.{name}: only {nodes[0]} stands behind it: it is never withdrawn"
        for family, mark in (("IPv4", "."), ("IPv6", ":")):
            have = [node for node in nodes if any(mark in one for one in config.nodes[node].addresses)]
            if have and len(have) < len(nodes):
                yield f"endpoints.{name}: {family} clients depend on {' and '.join(have)} alone"
    if not config.dns and config.endpoints:
        yield "dns: no target: endpoints are watched, never published"
    if config.canary is None:
        yield "canary: no account: probes cannot log in, and a server that greets may still serve nobody"

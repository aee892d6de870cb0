"""The Docker engine, by testcontainers: a network per lab, containers at fixed addresses, nothing left over.

Every object carries two labels: the lab's name, and who owns it. A killed test run cannot clean up after
itself, so each new lab first removes what belongs to owners that are gone; a playground is owned by nobody
and stays. testcontainers' own cleaner (ryuk) is an image of its own and off: a machine without a registry
cannot have it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import docker
import docker.errors
from docker.models.containers import Container
from docker.models.networks import Network
from docker.models.volumes import Volume
from docker.types import EndpointConfig, IPAMConfig, IPAMPool
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from tests.lab.harness.layout import IMAGES, Addresses

LAB_LABEL = "mailward.lab.name"
OWNER_LABEL = "mailward.lab.owner"
NOBODY = "nobody"
NETWORKS = range(64)
FREEZES = 3

# The tests run on the engine's own host, even where that host looks like a container.
testcontainers_config.ryuk_disabled = True
testcontainers_config.tc_host_override = "localhost"


class LabError(Exception):
    """The lab itself cannot work: a sentence for the person who runs it."""


def _started_at(pid: str) -> str:
    """The kernel's start time of a process, which tells it from a later one of the same pid."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""


def this_process() -> str:
    """The owner label of what this process starts."""
    pid = str(os.getpid())
    return f"{pid}:{_started_at(pid)}"


def _is_gone(owner: str) -> bool:
    pid, _, started = owner.partition(":")
    return owner != NOBODY and _started_at(pid) != started


class Engine:
    """What one lab has in the engine. Labs of several runs live side by side."""

    def __init__(self, lab: str, owner: str) -> None:
        try:
            self.client = docker.from_env(timeout=60)
            self.client.ping()
        except docker.errors.DockerException as error:
            raise LabError("no Docker engine answers: run tests/lab/setup (make test does)") from error
        self.lab = lab
        self.labels = {LAB_LABEL: lab, OWNER_LABEL: owner}

    def require_images(self) -> None:
        for name in IMAGES:
            try:
                self.client.images.get(f"mailward-lab/{name}")
            except docker.errors.ImageNotFound as error:
                raise LabError(
                    f"image mailward-lab/{name} is missing: run tests/lab/setup (make test does)"
                ) from error

    def remove_leftovers(self) -> None:
        """Remove what labs of owners now gone left, and all of this lab's name."""
        self._remove(
            lambda labels: labels.get(LAB_LABEL) == self.lab or _is_gone(labels.get(OWNER_LABEL, NOBODY))
        )

    def remove_all(self) -> None:
        """Remove this lab."""
        self._remove(lambda labels: labels.get(LAB_LABEL) == self.lab)

    def _remove(self, is_wanted: Callable[[Mapping[str, str]], bool]) -> None:
        containers = self.client.containers.list(all=True, filters={"label": LAB_LABEL}, ignore_removed=True)
        networks = self.client.networks.list(filters={"label": LAB_LABEL})
        volumes = self.client.volumes.list(filters={"label": LAB_LABEL})
        for container in containers:
            if is_wanted(container.labels):
                with contextlib.suppress(docker.errors.NotFound):
                    container.remove(force=True)
        things: list[Network | Volume] = [*networks, *volumes]
        for thing in things:
            if is_wanted(thing.attrs.get("Labels") or {}):
                with contextlib.suppress(docker.errors.APIError):
                    thing.remove()

    def create_network(self) -> Addresses:
        for number in NETWORKS:
            addresses = Addresses(number)
            pool = IPAMPool(subnet=addresses.subnet, gateway=addresses.gateway)
            try:
                self.client.networks.create(
                    self.network_name,
                    driver="bridge",
                    ipam=IPAMConfig(pool_configs=[pool]),
                    labels=self.labels,
                )
            except docker.errors.APIError as error:
                if "overlap" not in str(error):
                    raise
            else:
                return addresses
        raise LabError(f"no free network among {Addresses(0).subnet} to {Addresses(NETWORKS[-1]).subnet}")

    @property
    def network_name(self) -> str:
        return f"mailward-lab-{self.lab}"

    def container(self, name: str) -> Container:
        """One that an earlier process has started."""
        try:
            return self.client.containers.get(f"{self.network_name}-{name}")
        except docker.errors.NotFound as error:
            raise LabError(f"there is no {name} in this lab") from error

    def create_disk(self, name: str, size: str) -> str:
        """A small tmpfs as a named volume; it lives while some container that mounts it runs."""
        volume = self.client.volumes.create(
            f"{self.network_name}-{name}",
            driver="local",
            driver_opts={"type": "tmpfs", "device": "tmpfs", "o": f"size={size},mode=0755"},
            labels=self.labels,
        )
        return str(volume.name)

    def run(
        self,
        name: str,
        image: str,
        *,
        address: str | None = None,
        volumes: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
        command: str | None = None,
        **options: Any,
    ) -> Container:
        """Start a container; `volumes` maps a host folder (read-only) or a disk (writable) to its place."""
        container = DockerContainer(
            image, env=dict(env or {}), command=command, name=f"{self.network_name}-{name}"
        )
        for source, target in (volumes or {}).items():
            container.with_volume_mapping(source, target, "ro" if source.startswith("/") else "rw,nocopy")
        if address is not None:
            endpoint = EndpointConfig(self.client.api.api_version, ipv4_address=address)
            options["network"] = self.network_name
            options["networking_config"] = {self.network_name: endpoint}
        container.with_kwargs(labels=self.labels, **options)
        container.start()
        return self.client.containers.get(container.get_container_id())


def freeze(container: Container) -> None:
    """`docker pause`, tried again where a busy machine was too slow to freeze all of its processes."""
    for _ in range(FREEZES - 1):
        with contextlib.suppress(docker.errors.APIError):
            container.pause()
            return
    container.pause()

"""Simulated hosts on this machine: one network namespace per host, all on one bridge."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Host:
    """A network namespace with one link to the bridge."""

    namespace: str
    address: str

    @property
    def network(self) -> str:
        """Return the name of this host's network in podman."""
        return f"ns:/run/netns/{self.namespace}"

    def cut(self) -> None:
        """Take the link down, as if a cable were pulled."""
        _ip("link", "set", self._link, "down")

    def mend(self) -> None:
        """Bring the link up again."""
        _ip("link", "set", self._link, "up")

    @property
    def _link(self) -> str:
        return f"v{self.namespace}"


@dataclass(slots=True)
class Network:
    """A bridge on which this machine itself has the first address."""

    number: int
    running: ExitStack
    hosts: list[Host] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Return this machine's address on the bridge."""
        return f"10.77.{self.number}.1"

    def host(self) -> Host:
        """Add a host, which is removed together with the network."""
        ordinal = len(self.hosts) + 2
        host = Host(f"d{self.number}h{ordinal}", f"10.77.{self.number}.{ordinal}")
        name, link = host.namespace, f"v{host.namespace}"
        _ip("netns", "add", name)
        self.running.callback(_ip, "netns", "delete", name)
        _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", link, "master", f"derain{self.number}", "up")
        _ip("-n", name, "addr", "add", f"{host.address}/24", "dev", "eth0")
        for device in ("eth0", "lo"):
            _ip("-n", name, "link", "set", device, "up")
        _ip("-n", name, "route", "add", "default", "via", self.address)
        self.hosts.append(host)
        return host


@contextmanager
def network() -> Iterator[Network]:
    """Create a bridge with its own subnet; remove it and its hosts after the block."""
    with ExitStack() as running:
        made = Network(random.SystemRandom().randrange(1, 250), running)
        bridge = f"derain{made.number}"
        _ip("link", "add", bridge, "type", "bridge")
        running.callback(_ip, "link", "delete", bridge)
        _ip("addr", "add", f"{made.address}/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        yield made


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=30)

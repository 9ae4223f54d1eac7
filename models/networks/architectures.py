"""Table of all network architectures by name (`architecture`, `preset`, `build_network`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from models.errors import ModelError, unknown_name
from models.networks import afr_net, afr_student, drd_net, student
from models.networks.base import Network, NetworkConfig


class ArchitectureUnknown(ModelError):
    """Raised if no architecture or preset has the given name; the message lists the existing ones."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """One kind of network: its name, its presets, and its classes."""

    name: str
    config: type[NetworkConfig]
    network: Callable[[Any], Network]
    presets: Mapping[str, NetworkConfig]
    family: str = ""
    """Prefix of its presets, if it differs from `name`."""

    @property
    def preset_names(self) -> dict[str, NetworkConfig]:
        """Sizes by the full name of their preset."""
        return {f"{self.family or self.name}-{size}": config for size, config in self.presets.items()}


ARCHITECTURES = {
    architecture.name: architecture
    for architecture in (
        Architecture("student", student.StudentConfig, student.Student, student.PRESETS),
        Architecture("afr-net", afr_net.AfrNetConfig, afr_net.AfrNet, afr_net.PRESETS),
        Architecture(
            "afr-student",
            afr_student.AfrStudentConfig,
            afr_student.AfrStudent,
            afr_student.PRESETS,
            "afr-net",
        ),
        Architecture("drd-net", drd_net.DrdNetConfig, drd_net.DrdNet, drd_net.PRESETS),
    )
}


def architecture(name: str) -> Architecture:
    """Return the architecture with this name, such as `student`.

    Raises
    ------
    ArchitectureUnknown
        If there is none; the message lists the existing ones.
    """
    if name not in ARCHITECTURES:
        raise ArchitectureUnknown(unknown_name("architecture", name, ARCHITECTURES))
    return ARCHITECTURES[name]


def architecture_of(described: NetworkConfig | Network) -> Architecture:
    """Return the architecture of a network or of its sizes.

    Raises
    ------
    ArchitectureUnknown
        If it belongs to none in the table.
    """
    config = described.config if isinstance(described, Network) else described
    for known in ARCHITECTURES.values():
        if type(config) is known.config:
            return known
    raise ArchitectureUnknown(
        f"{type(config).__name__}: not the sizes of a known architecture: {', '.join(ARCHITECTURES)}"
    )


def presets() -> dict[str, NetworkConfig]:
    """Return the sizes of every preset by its full name, such as `student-base`."""
    return {name: config for known in ARCHITECTURES.values() for name, config in known.preset_names.items()}


def preset(name: str) -> NetworkConfig:
    """Return the sizes of a preset, such as `drd-net-slim`.

    Raises
    ------
    ArchitectureUnknown
        If there is none; the message lists the existing ones.
    """
    known = presets()
    if name not in known:
        raise ArchitectureUnknown(unknown_name("preset", name, known))
    return known[name]


def preset_name(config: NetworkConfig) -> str:
    """Return the full name of the preset with these sizes, or the architecture's name if there is none."""
    names = (name for name, known in presets().items() if known == config)
    return next(names, architecture_of(config).name)


def build_network(config: NetworkConfig) -> Network:
    """Build a network of these sizes, with new weights."""
    return architecture_of(config).network(config)

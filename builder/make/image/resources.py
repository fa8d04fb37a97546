"""What a machine that installs gets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Resources:
    """What the machine that installs gets."""

    memory_mib: int = 2048
    cpus: int = 2
    hours: int = 3

"""Sizes and places of partitions and logical volumes: arithmetic only, in MiB.

Growing follows blivet's partitioning: what is left is shared among the growing ones in proportion to
their base sizes, up to their limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .program import InstallError

FIRST_MIB = 1  # where the first partition starts, for alignment
TAIL_MIB = 1  # the backup GPT is in the last MiB
PV_HEADER_KIB = 1024  # LVM's label and metadata before the first extent
BOOT_FIRST = ("biosboot", "/boot/efi", "/boot")


@dataclass(frozen=True)
class Request:
    """A partition or logical volume as the kickstart asks for it.

    Args:
        key: mount point, ``swap``, ``biosboot`` or ``pv.<n>``.
        size: base size, MiB; 0 for a logical volume by `percent`.
        limit: the most it may grow to, MiB; 0 for no limit.
        disk: name of its disk; "" when the kickstart does not say.
    """

    key: str
    fstype: str
    size: int
    grow: bool = False
    limit: int = 0
    disk: str = ""
    options: str = ""
    label: str = ""
    mkfs_options: str = ""
    name: str = ""
    percent: int = 0


@dataclass(frozen=True)
class Place:
    """A partition on a disk; start and size in MiB."""

    request: Request
    disk: str
    number: int
    start: int
    size: int


@dataclass(frozen=True)
class Group:
    """A volume group as the kickstart asks for it; the extent size is in KiB, the reserve in MiB."""

    name: str
    volumes: tuple[str, ...]
    requests: tuple[Request, ...] = field(default=())
    extent: int = 4096
    reserved: int = 0
    reserved_percent: int = 0


def share_space(
    requests: Sequence[Request], space: int, sizes: Sequence[int], limits: Sequence[int]
) -> list[int]:
    """Return the sizes after the growing requests have shared the space that is left.

    Args:
        requests: what was asked for; only those with ``grow`` get more.
        space: what is left, in the unit of `sizes`.
        sizes: base sizes.
        limits: the most each may have; 0 for no limit.
    """
    grown = list(sizes)
    growing = [i for i, request in enumerate(requests) if request.grow]
    while growing and space > 0:
        total = sum(sizes[i] for i in growing)
        shares = {i: space * sizes[i] // total for i in growing}
        full = [i for i in growing if limits[i] and grown[i] + shares[i] >= limits[i]]
        if not full:
            for i in growing:
                grown[i] += shares[i]
                space -= shares[i]
            grown[growing[0]] += space if not limits[growing[0]] else 0
            break
        for i in full:
            space -= max(0, limits[i] - grown[i])
            grown[i] = max(grown[i], limits[i])
            growing.remove(i)
    return grown


def place_partitions(requests: Sequence[Request], disk: str, disk_mib: int) -> list[Place]:
    """Return where the partitions of one disk lie: those for booting first, as Anaconda sorts them.

    Raises:
        InstallError: they don't fit.
    """
    rank = {key: number for number, key in enumerate(BOOT_FIRST)}
    ordered = sorted(requests, key=lambda request: rank.get(request.key, len(rank)))
    sizes = [request.size for request in ordered]
    space = disk_mib - FIRST_MIB - TAIL_MIB - sum(sizes)
    if space < 0:
        raise InstallError(f"the partitions need {-space} MiB more than disk {disk} has ({disk_mib} MiB)")
    sizes = share_space(ordered, space, sizes, [request.limit for request in ordered])
    places = []
    start = FIRST_MIB
    for number, (request, size) in enumerate(zip(ordered, sizes, strict=True), 1):
        places.append(Place(request, disk, number, start, size))
        start += size
    return places


def volume_extents(group: Group, physical_mib: Sequence[int]) -> list[int]:
    """Return how many extents each logical volume of a group gets.

    Args:
        group: the group with its logical volumes.
        physical_mib: sizes of its physical volumes.

    Raises:
        InstallError: they don't fit.
    """
    total = sum((size * 1024 - PV_HEADER_KIB) // group.extent for size in physical_mib)
    reserved = -(-group.reserved * 1024 // group.extent) + total * group.reserved_percent // 100
    sizes = [-(-request.size * 1024 // group.extent) for request in group.requests]
    space = total - reserved - sum(sizes)
    if space < 0:
        need = -space * group.extent // 1024
        raise InstallError(f"the logical volumes need {need} MiB more than volume group {group.name} has")
    for number, request in enumerate(group.requests):
        if request.percent:
            # Of what the fixed sizes leave, as the kickstart's documentation says.
            sizes[number] = space * request.percent // 100
    space = total - reserved - sum(sizes)
    if space < 0:
        raise InstallError(f"the percentages in volume group {group.name} come to more than 100")
    limits = [request.limit * 1024 // group.extent for request in group.requests]
    return share_space(group.requests, space, sizes, limits)

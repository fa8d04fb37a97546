"""Sizes of partitions and logical volumes."""

from __future__ import annotations

import itertools

import pytest

from builder.lab.installer.layout import (
    Group,
    Request,
    place_partitions,
    share_space,
    volume_extents,
)
from builder.lab.installer.program import InstallError


def _part(key: str, size: int, **more: object) -> Request:
    return Request(key=key, fstype="xfs", size=size, **more)  # type: ignore[arg-type]


def test_boot_partitions_come_first_and_nothing_overlaps() -> None:
    wanted = [
        _part("pv.01", 100, grow=True),
        _part("/boot", 1024),
        _part("biosboot", 1),
        _part("/boot/efi", 200),
    ]
    places = place_partitions(wanted, "sda", 20480)
    assert [place.request.key for place in places] == ["biosboot", "/boot/efi", "/boot", "pv.01"]
    assert [place.number for place in places] == [1, 2, 3, 4]
    for before, after in itertools.pairwise(places):
        assert before.start + before.size == after.start
    assert places[0].start == 1
    assert places[-1].start + places[-1].size == 20480 - 1


def test_partitions_that_do_not_fit_are_refused_with_the_shortfall() -> None:
    with pytest.raises(InstallError, match="need 3 MiB more than disk sda has"):
        place_partitions([_part("/", 1001)], "sda", 1000)


def test_growth_is_shared_by_base_size_up_to_the_limits() -> None:
    requests = [_part("a", 100, grow=True), _part("b", 300, grow=True), _part("c", 50)]
    assert share_space(requests, 400, [100, 300, 50], [0, 0, 0]) == [200, 600, 50]
    assert share_space(requests, 400, [100, 300, 50], [0, 350, 0]) == [450, 350, 50]
    assert share_space(requests, 0, [100, 300, 50], [0, 0, 0]) == [100, 300, 50]
    assert share_space(requests, 1000, [100, 300, 50], [150, 350, 0]) == [150, 350, 50]


def test_volume_sizes_are_rounded_up_to_extents_and_the_first_mib_is_lvms() -> None:
    group = Group("rhel", ("pv.01",), (_part("/", 10, name="root"), _part("/var", 0, percent=50)))
    # 101 MiB: one for LVM, 25 extents of 4 MiB; 10 MiB take 3, half of the other 22 are 11.
    assert volume_extents(group, [101]) == [3, 11]


def test_a_reserve_is_left_alone_by_growing_volumes() -> None:
    root = _part("/", 4, grow=True, name="root")
    assert volume_extents(Group("rhel", ("pv.01",), (root,), reserved_percent=20), [401]) == [80]
    assert volume_extents(Group("rhel", ("pv.01",), (root,), reserved=41), [401]) == [89]


def test_volumes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InstallError, match="volume group rhel"):
        volume_extents(Group("rhel", ("pv.01",), (_part("/", 401),)), [401])
    both = (_part("/a", 0, percent=60), _part("/b", 0, percent=60))
    with pytest.raises(InstallError, match="more than 100"):
        volume_extents(Group("rhel", ("pv.01",), both), [401])

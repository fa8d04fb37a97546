"""The installation as one flat list of steps, in Anaconda's order."""

from __future__ import annotations

import json
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pykickstart.constants import (
    KS_SCRIPT_POST,
    KS_SCRIPT_PREINSTALL,
)

from . import accounts, bootloader, check, console, dpkg, listed, network, packages, settings, source, storage
from .finish import keep_records
from .kickstart import Kickstart, read_kickstart, read_pre_scripts
from .program import SYSROOT, InstallError, run, write_file
from .scripts import run_scripts

IMAGE = source.REPO / "images/install.img"


@dataclass
class State:
    """What is known so far; the end of an installation, good or bad, looks here."""

    kickstart: Kickstart | None = None
    plan: storage.Plan | None = None


@dataclass(frozen=True)
class Orders:
    """All that was decided before the disk is touched."""

    plan: storage.Plan
    purge: list[str]
    units: dict[str, bool]


def install(cmdline: str, state: State) -> None:
    """Carry out the kickstart that the kernel arguments name.

    Raises:
        InstallError: a step failed; `state` tells how far it came.
    """
    for word in source.unknown_arguments(cmdline):
        console.not_shown(word, "el laboratorio no entiende este argumento de arranque")
    path = source.fetch_kickstart(source.parse_source(source.argument(cmdline, "inst.ks")))
    console.progress("read the kickstart")
    run_scripts(read_pre_scripts(path))
    kickstart = state.kickstart = read_kickstart(path)
    medium = json.loads((source.REPO / "BaseOS/laboratorio.json").read_text(encoding="utf-8"))
    efi = bootloader.started_by_efi()
    orders = decide(kickstart, medium, efi=efi)
    state.plan = orders.plan

    console.progress(f"partition {', '.join(f'disk {disk}' for disk in orders.plan.disks)}")
    filesystems = storage.make_storage(orders.plan)
    storage.mount_storage(filesystems)
    run_scripts(kickstart.scripts(KS_SCRIPT_PREINSTALL), SYSROOT)

    console.progress("unpack the system")
    unpack()
    storage.mount_api()
    write_file(SYSROOT / "etc/fstab", storage.fstab(filesystems))
    if orders.purge:
        console.progress(f"take out what is not asked for: {', '.join(orders.purge)}")
        _purge(orders.purge, filesystems)

    console.progress("install the boot loader")
    bootloader.configure_bootloader(kickstart.data, orders.plan, filesystems, cmdline, efi=efi)
    console.progress("configure the system")
    settings.configure_settings(kickstart)
    network.configure_network(kickstart)
    settings.require_enabled(orders.units, list(kickstart.data.services.enabled), medium["services"])
    settings.configure_services(orders.units)
    settings.configure_firewall(kickstart)
    accounts.configure_accounts(kickstart)
    write_file(SYSROOT / "etc/machine-id", f"{uuid.uuid4().hex}\n", 0o444)

    run_scripts(kickstart.scripts(KS_SCRIPT_POST), SYSROOT)
    keep_records(path, source.argument(cmdline, "inst.nosave"))
    console.progress("unmount the system")
    storage.unmount_all(orders.plan)


def decide(kickstart: Kickstart, medium: dict[str, Any], *, efi: bool) -> Orders:
    """Check the whole kickstart against this medium and this machine, and say what is not shown.

    Raises:
        InstallError: something that can't be honoured; the disk has not been touched.
    """
    data = kickstart.data
    not_shown: dict[str, str] = medium["not_shown"]
    notes = check.check_commands(kickstart.lines, not_shown)
    _check_sources(kickstart)
    accounts.check_accounts(kickstart)
    bootloader.check_bootloader(data)
    network.check_network(kickstart)
    settings.check_settings(kickstart)
    installed = dpkg.parse_status((Path("/") / dpkg.STATUS).read_text(encoding="utf-8"))
    selection = packages.select_packages(data.packages, medium["packages"], not_shown, installed)
    units, unit_notes = settings.select_services(kickstart, medium["services"], not_shown, Path("/"))
    plan = storage.plan_storage(kickstart, storage.usable_disks(), efi=efi)
    purge = decide_purge(installed, selection, medium["base"])
    for note in (*notes, *selection.notes, *unit_notes):
        console.not_shown(note.what, note.reason)
    return Orders(plan, purge, units)


def decide_purge(
    installed: dict[str, dpkg.Installed], selection: packages.Selection, base: list[str]
) -> list[str]:
    """Return the packages of the payload to take out: by the medium's list, or else by what nothing needs.

    Raises:
        InstallError: the list, the kickstart and the payload don't agree.
    """
    resolved = listed.read_list(source.REPO / listed.LIST)
    if resolved is None:
        return packages.superfluous(installed, selection, base)
    purge = listed.unlisted(installed, resolved, selection, base)
    console.progress(
        f"{len(resolved)} packages, as /{listed.LIST} lists them; {len(purge)} others are on the medium"
    )
    return purge


def _check_sources(kickstart: Kickstart) -> None:
    """Look whether what the kickstart installs from is there; the payload itself is always the medium's."""
    for repo in kickstart.data.repo.repoList:
        folder = Path(repo.baseurl.removeprefix("file://"))
        if repo.baseurl and not folder.is_dir():
            raise InstallError(f"repo {repo.name}: there is no {folder}")
    url = getattr(kickstart.data.url, "url", None)
    if kickstart.seen("url") and not Path(str(url).removeprefix("file://")).is_dir():
        raise InstallError(f"url: there is no {url}")


def unpack() -> None:
    """Unpack the payload; the ESP gets plain copies, since FAT knows neither owners nor modes."""
    argv = [
        "unsquashfs",
        "-force",
        "-no-progress",
        "-dest",
        str(SYSROOT),
        "-excludes",
        str(IMAGE),
        "boot/efi",
    ]
    run(argv, doing="unpack the system")
    shutil.copytree("/boot/efi", SYSROOT / "boot/efi", dirs_exist_ok=True, copy_function=shutil.copyfile)


def _purge(names: list[str], filesystems: list[storage.Filesystem]) -> None:
    """Take packages out; dpkg runs their scripts from /var, so noexec is lifted for that long."""
    strict = [fs for fs in filesystems if "noexec" in fs.options.split(",")]
    for fs in strict:
        _remount(fs, "exec")
    packages.purge(names)
    for fs in strict:
        _remount(fs, fs.options)


def _remount(fs: storage.Filesystem, options: str) -> None:
    target = SYSROOT / fs.mountpoint.lstrip("/")
    run(["mount", "-o", f"remount,{options}", target], doing=f"remount {fs.mountpoint}")

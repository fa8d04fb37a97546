"""`forja doctor`: what the build host has and lacks for a build, each with its remedy. Changes nothing.

Stands on the standard library alone, so that it runs before `make setup` has.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from builder.tools import host
from builder.tools.cell import open_cell
from builder.tools.errors import ExitCode, ForjaError, HostUnready
from builder.tools.process import find_program, run

State = Literal["ok", "warn", "missing"]
Need = Literal["image", "laboratory"]

GIB = 2**30
MEMORY_MIB, MEMORY_WARN_MIB = 2560, 4096
"""A guest has 2 GiB, QEMU and Packer some more; under 4 GiB the host's file cache suffers."""
DISK_BYTES, DISK_WARN_BYTES = 4 * GIB, 24 * GIB
"""A laboratory build leaves 2 GiB; one of a RHEL DVD writes a second DVD (9 GiB), qcow2, VHDX and copies."""
CACHE_BYTES = 2 * GIB
"""The laboratory's file system, its archive and its DVD."""
OLDEST_PACKER = (1, 6, 6)
PACKER_WITHOUT_PLUGINS = (1, 10, 0)
"""The first release that brings neither qemu nor hyperv; both are named in `packer/`, so both are needed."""
PACKER_PLUGINS = ("qemu", "hyperv")
OLDEST_XORRISO = (1, 4, 6)
"""The first that knows `-volume_date all_file_dates`; `-boot_image any replay` is of 1.4.2."""
PACKER_FROM = "its single binary, from releases.hashicorp.com, into /usr/local/bin"


@dataclass(frozen=True)
class Fact:
    """One thing that a build needs: what was found, how good that is, and what to do about it."""

    name: str
    found: str
    state: State = "ok"
    remedy: str = ""
    needed_for: Need = "image"


def run_doctor(build: Path, cache: Path) -> int:
    """Print the facts of this host on standard output, the remedies below them.

    Args:
        build, cache: the folders that artefacts and cached media are put into; they need not exist.

    Returns:
        0 when an image can be built from a RHEL DVD here, 4 when something for it is missing.
    """
    facts = examine_host(build, cache)
    print(show(facts))
    return ExitCode.HOST_UNREADY if lacking(facts, "image") else ExitCode.OK


def lacking(facts: Iterable[Fact], need: Need) -> list[Fact]:
    """Return what is missing for a need."""
    return [fact for fact in facts if fact.state == "missing" and fact.needed_for == need]


def show(facts: list[Fact]) -> str:
    """Return the facts as text: a line each, its remedy below it, and the verdict at the end."""
    width = max(len(fact.name) for fact in facts)
    lines = []
    for fact in facts:
        state = fact.state if fact.needed_for == "image" or fact.state == "ok" else "no lab"
        lines.append(f"{state:8} {fact.name:{width}}  {fact.found}")
        if fact.remedy:
            lines.append(f"{'':8} {'':{width}}  -> {fact.remedy}")
    for need, title in (("image", "an image from a RHEL DVD"), ("laboratory", "the laboratory")):
        missing = [fact.name for fact in lacking(facts, "image")]
        if need == "laboratory":
            missing += [fact.name for fact in lacking(facts, "laboratory")]
        verdict = f"NOT possible here, for want of: {', '.join(missing)}" if missing else "possible here"
        lines.append(f"{title}: {verdict}")
    return "\n".join(lines)


def examine_host(build: Path, cache: Path) -> list[Fact]:
    """Return all facts of this host that matter to a build, in the order in which they matter."""
    return [
        _python(),
        _virtualisation(),
        _memory(),
        _disk("disk for artefacts", build, DISK_BYTES, DISK_WARN_BYTES, "image", "BUILD=/other/folder"),
        _disk("disk for the cache", cache, CACHE_BYTES, CACHE_BYTES, "laboratory", "a larger disk"),
        _qemu(),
        _program("qemu-img", "qemu-utils", "qemu-img", version=("--version",)),
        _firmware(),
        *_packer(),
        _xorriso(),
        _program("implantisomd5", "isomd5sum", "isomd5sum"),
        _program("createrepo_c", "createrepo-c", "createrepo_c", version=("--version",)),
        _program("gpg", "gpg", "gnupg2", version=("--version",)),
        _dnf(),
        _program("mcopy", "mtools", "mtools", version=("--version",)),
        _program("ssh", "openssh-client", "openssh-clients", version=("-V",)),
        _cell(),
        _program("rpmbuild", "rpm", "", version=("--version",), need="laboratory"),
        _program("gpg-agent", "gpg-agent", "", need="laboratory"),
        _program("mmdebstrap", "mmdebstrap", "", version=("--version",), need="laboratory"),
        _program("mksquashfs", "squashfs-tools", "", version=("-version",), need="laboratory"),
        _program("mkfs.vfat", "dosfstools", "", need="laboratory"),
    ]


def _python() -> Fact:
    found = ".".join(map(str, sys.version_info[:3])) + f" ({sys.executable})"
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Fact("Python", found)
    remedy = "install python3 (Debian 12 and later) or python3.11 (RHEL 8.8+, 9.2+); 3.11 to 3.13 are tested"
    return Fact("Python", found, "warn", remedy)


def _virtualisation() -> Fact:
    name, trouble = "virtualisation", host.kvm_trouble()
    if not trouble:
        return Fact(name, "KVM")
    slow = f"TCG, all in software, some ten times slower: {trouble}"
    if not host.KVM.exists():
        remedy = (
            "switch on VT-x or AMD-V in the firmware (for a virtual machine: nested virtualisation), "
            "then: modprobe kvm_intel or kvm_amd"
        )
    elif not os.access(host.KVM, os.R_OK | os.W_OK):
        remedy = "usermod -aG kvm USER, and log in again"
    else:
        remedy = "ask for nested virtualisation, or build on a host of its own; the build goes on with TCG"
    return Fact(name, slow, "warn", remedy)


def _memory() -> Fact:
    free = host.memory_mib()
    remedy = f"a guest takes 2 GiB; end other programs or give this host {MEMORY_WARN_MIB} MiB"
    if free < MEMORY_MIB:
        return Fact("memory", f"{free} MiB available", "missing", remedy)
    if free < MEMORY_WARN_MIB:
        return Fact("memory", f"{free} MiB available", "warn", remedy)
    return Fact("memory", f"{free} MiB available")


def _disk(name: str, folder: Path, least: int, comfortable: int, need: Need, remedy: str) -> Fact:
    free = host.free_bytes(folder)
    found = f"{free / GIB:.1f} GiB free for {folder}"
    if free < least:
        return Fact(name, found, "missing", f"free {least // GIB} GiB, or give {remedy}", need)
    if free < comfortable:
        return Fact(
            name, found, "warn", f"with a RHEL DVD, have {comfortable // GIB} GiB or give {remedy}", need
        )
    return Fact(name, found, needed_for=need)


def _qemu() -> Fact:
    try:
        program = host.find_qemu()
        found = f"{_version([program, '--version'])} ({program})"
        software = "tcg" in run([program, "-accel", "help"], doing="list QEMU's accelerators").stdout
    except ForjaError as error:
        return Fact("QEMU", error.message, "missing", error.hint)
    if not software and host.accelerator() == "tcg":
        remedy = "this QEMU can do nothing without KVM: see virtualisation above"
        return Fact("QEMU", f"{found}, built without TCG", "missing", remedy)
    return Fact("QEMU", found)


def _firmware() -> Fact:
    try:
        firmware = host.find_firmware()
    except ForjaError as error:
        return Fact("UEFI firmware", error.message, "missing", error.hint)
    return Fact("UEFI firmware", f"{firmware.code}{' (needs q35 with SMM)' if firmware.needs_smm else ''}")


def _packer() -> list[Fact]:
    try:
        version = host.packer_version()
    except ForjaError as error:
        return [Fact("Packer", error.message, "missing", error.hint)]
    found = f"{'.'.join(map(str, version))} ({host.find_packer()})"
    if version < OLDEST_PACKER:
        oldest = ".".join(map(str, OLDEST_PACKER))
        return [Fact("Packer", found, "missing", f"use {oldest} or later: {PACKER_FROM}")]
    facts = [Fact("Packer", found)]
    if version >= PACKER_WITHOUT_PLUGINS:
        try:
            installed = host.packer_plugins()
        except ForjaError as error:
            return [*facts, Fact("Packer's plugins", error.message, "missing", error.hint)]
        facts += [judge_plugin(name, installed) for name in PACKER_PLUGINS]
    return facts


def judge_plugin(name: str, installed: list[str]) -> Fact:
    """Return the fact of one of Packer's plugins, from the paths of those that are installed."""
    title = f"Packer's plugin {name}"
    for path in installed:
        if Path(path).name.startswith(f"packer-plugin-{name}_"):
            return Fact(title, path)
    remedy = (
        f"packer plugins install github.com/hashicorp/{name} (as the user who builds: root's are not yours); "
        "offline: do so on a host with a network, and copy its ~/.config/packer/plugins here"
    )
    return Fact(title, "not installed", "missing", remedy)


def _dnf() -> Fact:
    """Say whether a Python of the system has dnf and rpm; no program on PATH shows that."""
    try:
        return Fact("dnf for Python", str(host.find_system_python()))
    except HostUnready as error:
        return Fact("dnf for Python", error.message, "missing", error.hint)


def _xorriso() -> Fact:
    remedy = "run 'make setup', or install xorriso (apt, dnf)"
    program = find_program("xorriso")
    if program is None:
        return Fact("xorriso", "not on this host", "missing", remedy)
    try:
        version = _version([program, "--version"])
    except ForjaError as error:
        return Fact("xorriso", error.message, "missing", remedy)
    if tuple(map(int, re.findall(r"\d+", version))) < OLDEST_XORRISO:
        oldest = ".".join(map(str, OLDEST_XORRISO))
        return Fact("xorriso", version, "missing", f"{oldest} or later is needed; RHEL 8 has 1.4.8")
    beside = find_program("mkksiso")
    return Fact("xorriso", f"{version} ({program}{f'; beside it {beside}, of lorax' if beside else ''})")


def _program(name: str, apt: str, dnf: str, *, version: tuple[str, ...] = (), need: Need = "image") -> Fact:
    path = find_program(name)
    if path is None:
        packages = (
            f"{apt} (apt) or {dnf} (dnf)" if dnf else f"{apt} (apt; the laboratory needs a Debian host)"
        )
        return Fact(name, "not on this host", "missing", f"run 'make setup', or install {packages}", need)
    try:
        found = f"{_version([path, *version])} ({path})" if version else path
    except ForjaError as error:
        return Fact(name, error.message, "missing", f"reinstall the package {apt}", need)
    return Fact(name, found, needed_for=need)


def _cell() -> Fact:
    name = "network namespaces"
    for program in ("unshare", "nsenter", "ip"):
        if find_program(program) is None:
            remedy = "run 'make setup', or install util-linux and iproute2 (apt) or iproute (dnf)"
            return Fact(name, f"the program '{program}' is not on this host", "missing", remedy)
    try:
        with open_cell():
            pass
    except ForjaError as error:
        return Fact(name, error.message, "missing", error.hint)
    return Fact(name, "usable as root" if os.geteuid() == 0 else "usable without privilege")


def _version(argv: list[str | Path]) -> str:
    """Return the first dotted number that a program says of itself.

    Raises:
        ForjaError: it does not start.
    """
    said = run(argv, doing=f"ask {Path(argv[0]).name} its version", accept=range(256), timeout=60).stdout
    found = re.search(r"\d+(?:\.\d+)+", said)
    return found[0] if found else "of unknown version"


if __name__ == "__main__":
    repository = Path(__file__).resolve().parents[1]
    where = Path(sys.argv[1]) if len(sys.argv) > 1 else repository / "build"
    sys.exit(run_doctor(where, repository / ".cache"))

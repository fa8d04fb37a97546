"""What boots from the medium: the kernel, the initrd, and the installer's own files."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import py_compile
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from builder.lab.archive import Entry, list_tar, read_tar, write_initrd, write_tar
from builder.lab.rootfs import Rootfs
from builder.tools.errors import StageFailed

HERE = Path(__file__).parent
HOME = "usr/lib/laboratorio"
PYTHON_PACKAGES = ("pykickstart", "requests", "urllib3", "idna", "certifi", "charset_normalizer")

MODULES = tuple(
    """virtio_pci virtio_blk virtio_scsi virtio_net hv_vmbus hv_storvsc hv_netvsc ata_piix ahci nvme sd_mod
    sr_mod usb-storage isofs vfat nls_cp437 nls_iso8859-1 nls_ascii nls_utf8 squashfs overlay loop xfs dm-mod
    efivarfs""".split()  # noqa: SIM905
)
"""Kernel modules that the initrd loads; the cloud kernel lacks some of them (ahci), and has others
built in."""


def source_digest() -> str:
    """Return a hash of all that this module puts on the medium, and of how it is compiled."""
    digest = hashlib.sha256(f"{sys.version_info[:2]}".encode())
    for path in sorted(HERE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(str(path.relative_to(HERE)).encode() + path.read_bytes())
    for package in PYTHON_PACKAGES:
        digest.update(f"{package} {importlib.metadata.version(package)}".encode())
    return digest.hexdigest()


def read_kernel(rootfs: Rootfs) -> tuple[str, bytes]:
    """Return the release and the image of the newest kernel in the payload.

    Raises:
        StageFailed: there is no kernel in it.
    """
    kernels = sorted(path for path in list_tar(rootfs.root) if path.startswith("boot/vmlinuz-"))
    if not kernels:
        raise StageFailed("the laboratory's root file system has no kernel")
    kernel = read_tar(rootfs.root, [kernels[-1]])[kernels[-1]]
    return kernels[-1].removeprefix("boot/vmlinuz-"), kernel.content()


def make_initrd(path: Path, rootfs: Rootfs, release: str, *, epoch: int) -> None:
    """Write the initrd: busybox, the modules that reach the medium, and ``/init``."""
    folder = f"usr/lib/modules/{release}/"
    modules = read_tar(rootfs.root, [folder])
    order = module_order(modules[f"{folder}modules.dep"].content().decode(), MODULES)
    entries = {
        "init": Entry((HERE / "live/init").read_bytes(), mode=0o755),
        "bin/busybox": read_tar(rootfs.stage2, ["usr/bin/busybox"], top="stage2/")["usr/bin/busybox"],
        "lib/modules/load": Entry("".join(f"{name}\n" for name in order).encode()),
        **{f"lib/modules/{name}": modules[folder + name] for name in order},
        **{name: Entry(mode=0o755) for name in ("dev", "proc", "sys", "run", "sysroot")},
    }
    write_initrd(path, entries, epoch=epoch)


def module_order(modules_dep: str, wanted: tuple[str, ...]) -> list[str]:
    """Return the files to load for the modules wanted, each after those it needs.

    Args:
        modules_dep: text of depmod's modules.dep: ``file: needed file ...``.
        wanted: module names; those that are not in it (built in, or absent) are left out.
    """
    needs = {}
    for line in modules_dep.splitlines():
        file, _, others = line.partition(":")
        needs[file] = others.split()
    by_name = {_module_name(file): file for file in needs}
    order: list[str] = []
    for name in wanted:
        wanted_file = by_name.get(name.replace("-", "_"))
        if wanted_file is not None:
            # modules.dep lists the nearest need first; loading goes the other way.
            chain = (*reversed(needs[wanted_file]), wanted_file)
            order += [file for file in chain if file not in order]
    return order


def _module_name(file: str) -> str:
    return PurePosixPath(file).name.split(".", 1)[0].replace("-", "_")


def make_product(path: Path, rootfs: Rootfs, *, epoch: int) -> None:
    """Write the tar of what the installer's system has on top of the payload."""
    entries = read_tar(rootfs.stage2, [""], top="stage2/")
    entries = {name: entry for name, entry in entries.items() if name.startswith(("usr/", "etc/"))}
    entries[f"{HOME}/stage2"] = Entry((HERE / "live/stage2").read_bytes(), mode=0o755)
    for name, source in python_files():
        entries[f"{HOME}/{name}"] = Entry(source.read_bytes())
    if f"python{sys.version_info[0]}.{sys.version_info[1]}" in payload_python(rootfs):
        entries |= {f"{HOME}/{name}": entry for name, entry in compiled_files()}
    write_tar(path, entries, epoch=epoch)


def payload_python(rootfs: Rootfs) -> str:
    """Return the name of the installer's Python ("python3.11")."""
    for archive in (rootfs.root, rootfs.stage2):
        for path in list_tar(archive):
            match = re.search(r"(?:^|/)usr/bin/(python3\.\d+)$", path)
            if match:
                return match[1]
    raise StageFailed("the laboratory's installer has no Python")


def python_files() -> Iterator[tuple[str, Path]]:
    """Return the installer's Python files: (path below its home, where it lies here)."""
    yield from ((f"installer/{file.name}", file) for file in sorted((HERE / "installer").glob("*.py")))
    for package in PYTHON_PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise StageFailed(f"the Python package '{package}' is not installed", hint="run 'make setup'")
        top = Path(spec.submodule_search_locations[0])
        for file in sorted(top.rglob("*")):
            # Pure Python only: the parts compiled for this host are a faster spare of the same.
            if file.suffix in (".py", ".pem") and "__pycache__" not in file.parts:
                yield f"{package}/{file.relative_to(top)}", file


def compiled_files() -> Iterator[tuple[str, Entry]]:
    """Return byte code for `python_files`, which saves seconds of start-up under emulation."""
    with tempfile.TemporaryDirectory() as folder:
        compiled = Path(folder) / "compiled.pyc"
        for name, source in python_files():
            if source.suffix != ".py":
                continue
            py_compile.compile(
                str(source),
                cfile=str(compiled),
                dfile=f"/{HOME}/{name}",
                doraise=True,
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )
            where = PurePosixPath(name)
            tag = sys.implementation.cache_tag
            yield f"{where.parent}/__pycache__/{where.stem}.{tag}.pyc", Entry(compiled.read_bytes())

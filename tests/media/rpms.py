"""RPMs by rpmbuild and rpmsign: hundreds of them of one spec file, each with a version of its own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from .keys import Key, short_home
from .programs import run

PAYLOAD = "w1.gzdio"
FILENAME = "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm"
SIGNERS = os.cpu_count() or 1
MACROS = f"""\
%global debug_package %{{nil}}
%global _build_id_links none
%global __os_install_post %{{nil}}
%global _binary_payload {PAYLOAD}
%global _binary_filedigest_algorithm 8
%global _unpackaged_files_terminate_build 0
%global use_source_date_epoch_as_buildtime 1
%global clamp_mtime_to_source_date_epoch 1
%global _buildhost media.ejemplo.es
"""


@dataclass(frozen=True)
class Link:
    """A symbolic link, in the place of a file's text."""

    target: str


@dataclass(frozen=True)
class Rpm:
    """A package to build. Relations are written as in a spec file (`glibc >= 2.28`)."""

    name: str
    version: str
    release: str
    epoch: int = 0
    arch: str = "x86_64"
    requires: Sequence[str] = ()
    provides: Sequence[str] = ()
    conflicts: Sequence[str] = ()
    obsoletes: Sequence[str] = ()
    recommends: Sequence[str] = ()
    supplements: Sequence[str] = ()
    files: Mapping[str, str | Link] = field(default_factory=dict)
    """Path -> text. A path that ends in / is a folder; one below /etc is a configuration file."""
    modes: Mapping[str, str] = field(default_factory=dict)
    """Path -> mode as %attr takes it ("0640"); 0644 and 0755 (folders, and what lies in a bin) otherwise."""
    scripts: Mapping[str, str] = field(default_factory=dict)
    """Section (pre, post, preun, postun, posttrans) -> shell lines."""
    summary: str = "A package of a test medium"
    vendor: str = "Forja tests"

    @property
    def nevra(self) -> str:
        """Return `name-epoch:version-release.arch`, with an epoch of 0 too (as modules write it)."""
        return f"{self.name}-{self.epoch}:{self.version}-{self.release}.{self.arch}"

    @property
    def filename(self) -> str:
        """Return the name of its file."""
        return f"{self.name}-{self.version}-{self.release}.{self.arch}.rpm"


def build_rpms(rpms: Iterable[Rpm], folder: Path, *, key: Key | None) -> dict[str, Path]:
    """Build packages and sign them.

    Args:
        folder: where the files go, all side by side.
        key: who signs; nobody when None.

    Returns:
        `Rpm.nevra` -> file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made: dict[str, Path] = {}
    for group in group_rpms(rpms):
        build_group(group, folder)
        made |= {rpm.nevra: folder / rpm.filename for rpm in group}
    if key is not None:
        sign_rpms(made.values(), key)
    return made


def group_rpms(rpms: Iterable[Rpm]) -> list[list[Rpm]]:
    """Return packages grouped so that one spec can hold each group.

    A spec has each name once, one architecture (besides noarch), one vendor, and one text for a path.
    """
    groups: list[tuple[list[Rpm], dict[str, str | Link]]] = []
    for rpm in rpms:
        for group, files in groups:
            if (
                all(rpm.name != other.name for other in group)
                and rpm.vendor == group[0].vendor
                and len({other.arch for other in (*group, rpm)} - {"noarch"}) <= 1
                and all(files.get(path, text) == text for path, text in rpm.files.items())
            ):
                group.append(rpm)
                files.update(rpm.files)
                break
        else:
            groups.append(([rpm], dict(rpm.files)))
    return [group for group, _ in groups]


def build_group(group: Sequence[Rpm], folder: Path) -> None:
    """Build packages that one spec can hold."""
    arch = next((rpm.arch for rpm in group if rpm.arch != "noarch"), "x86_64")
    with tempfile.TemporaryDirectory(prefix="rpm-") as name:
        work = Path(name)
        stage_files(group, work / "files")
        spec = work / "media.spec"
        spec.write_text(write_spec(group, work / "files"), encoding="utf-8")
        argv = ["rpmbuild", "-bb", "--quiet", "--nodeps", "--target", arch, "--define", f"_topdir {work}/top"]
        argv += ["--define", f"_rpmdir {folder.resolve()}", "--define", f"_rpmfilename {FILENAME}"]
        run(*argv, spec, HOME=name)


def write_spec(group: Sequence[Rpm], staged: Path) -> str:
    """Return a spec file whose subpackages are the packages of a group; it has no main package."""
    head = f"{MACROS}Name: media\nVersion: 1\nRelease: 1\nSummary: Test medium\nLicense: ASL 2.0\n"
    head += f"Vendor: {group[0].vendor}\n%description\nTest medium.\n"
    install = f"%install\nmkdir -p %{{buildroot}}\ncp -a {staged}/. %{{buildroot}}/\n"
    return head + "".join(write_package(rpm) for rpm in group) + install + "".join(map(write_files, group))


def write_package(rpm: Rpm) -> str:
    """Return the `%package` section of a package."""
    lines = [f"%package -n {rpm.name}", f"Summary: {rpm.summary}"]
    lines += [f"Version: {rpm.version}", f"Release: {rpm.release}", "AutoReqProv: no"]
    lines += [f"Epoch: {rpm.epoch}"] if rpm.epoch else []
    lines += ["BuildArch: noarch"] if rpm.arch == "noarch" else []
    for tag in ("Requires", "Provides", "Conflicts", "Obsoletes", "Recommends", "Supplements"):
        lines += [f"{tag}: {relation}" for relation in getattr(rpm, tag.lower())]
    lines += [f"%description -n {rpm.name}", rpm.summary]
    return "\n".join(lines) + "\n"


def write_files(rpm: Rpm) -> str:
    """Return the `%files` section of a package, and its scripts."""
    lines = [f"%files -n {rpm.name}", "%defattr(-,root,root,0755)"]
    for path, text in rpm.files.items():
        kind = "%dir " if path.endswith("/") else "%config(noreplace) " if path.startswith("/etc/") else ""
        kind = "" if isinstance(text, Link) else kind
        mode = f"%attr({rpm.modes[path]},root,root) " if path in rpm.modes else ""
        lines.append(f"{kind}{mode}{path}")
    lines += [f"%{section} -n {rpm.name}\n{script}" for section, script in rpm.scripts.items()]
    return "\n".join(lines) + "\n"


def stage_files(group: Iterable[Rpm], folder: Path) -> None:
    """Lay out the files of a group."""
    folder.mkdir(parents=True)
    for rpm in group:
        for path, text in rpm.files.items():
            target = folder / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.endswith("/"):
                target.mkdir(exist_ok=True)
            elif isinstance(text, Link):
                target.unlink(missing_ok=True)
                target.symlink_to(text.target)
            else:
                target.write_text(text, encoding="utf-8")
                target.chmod(0o755 if {"bin", "sbin", "libexec"} & set(target.parts) else 0o644)


def sign_rpms(paths: Iterable[Path], key: Key) -> None:
    """Sign packages, or sign them anew."""
    files = [str(path) for path in paths]
    with short_home(key.home) as home, ThreadPoolExecutor(SIGNERS) as pool:
        argv = ["rpmsign", "--addsign", "--define", f"_gpg_name {key.fingerprint}"]
        argv += ["--define", f"_gpg_path {home}", "--define", f"__gpg {shutil.which('gpg')}"]
        argv += ["--define", "_gpg_sign_cmd_extra_args --batch --digest-algo sha256"]
        chunks = [chunk for number in range(SIGNERS) if (chunk := files[number::SIGNERS])]
        list(pool.map(lambda chunk: run(*argv, *chunk, GNUPGHOME=str(home)), chunks))

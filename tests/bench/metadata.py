"""Repository metadata of packages whose files are noise: createrepo_c would refuse to read these.

Written as createrepo_c writes it; createrepo_c itself then makes one repository of these and of real RPMs.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import escape

from tests.media.programs import EPOCH
from tests.media.rpms import Rpm

COMMON, LISTS, OTHER, REPO = (
    f"http://linux.duke.edu/metadata/{name}" for name in ("common", "filelists", "other", "repo")
)
RPM = "http://linux.duke.edu/metadata/rpm"
CHANGES = 8
PRIMARY_FOLDERS = ("/usr/bin/", "/usr/sbin/", "/etc/")


def write_metadata(folder: Path, packages: Iterable[tuple[Rpm, int, str]], *, location: str) -> None:
    """Write `folder`/repodata.

    Args:
        packages: each with the size and the SHA-256 of its file.
        location: the folder of the files, as the metadata says it.
    """
    found = list(packages)
    repodata = folder / "repodata"
    repodata.mkdir(parents=True)
    documents = {
        "primary": ("metadata", COMMON, "".join(primary(*one, location) for one in found)),
        "filelists": ("filelists", LISTS, "".join(filelists(rpm, digest) for rpm, _, digest in found)),
        "other": ("otherdata", OTHER, "".join(other(rpm, digest) for rpm, _, digest in found)),
    }
    repomd = f'<?xml version="1.0" encoding="UTF-8"?>\n<repomd xmlns="{REPO}">\n'
    for kind, (root, space, body) in documents.items():
        head = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{space}" xmlns:rpm="{RPM}"'
        text = f'{head} packages="{len(found)}">\n{body}</{root}>\n'
        path = repodata / f"{kind}.xml.gz"
        path.write_bytes(gzip.compress(text.encode(), 1))
        repomd += f' <data type="{kind}"><location href="repodata/{path.name}"/></data>\n'
    (repodata / "repomd.xml").write_text(repomd + "</repomd>\n", encoding="utf-8")


def primary(rpm: Rpm, size: int, digest: str, location: str) -> str:
    """Return what dnf solves with."""
    provides = [entry(name) for name in rpm.provides]
    own = f'epoch="{rpm.epoch}" ver="{rpm.version}" rel="{rpm.release}"'
    provides.append(f'<rpm:entry name="{rpm.name}" flags="EQ" {own}/>')
    files = [f"<file>{path}</file>" for path in rpm.files if path.startswith(PRIMARY_FOLDERS)]
    return (
        f'<package type="rpm"><name>{rpm.name}</name><arch>{rpm.arch}</arch><version {own}/>'
        f'<checksum type="sha256" pkgid="YES">{digest}</checksum><summary>{escape(rpm.summary)}</summary>'
        f"<description>{escape(rpm.summary * 6)}</description><packager/><url>https://ejemplo.es/{rpm.name}</url>"
        f'<time file="{EPOCH}" build="{EPOCH}"/>'
        f'<size package="{size}" installed="{3 * size}" archive="{3 * size}"/>'
        f'<location href="{location}/{rpm.filename}"/><format><rpm:license>GPLv2+ and MIT</rpm:license>'
        f"<rpm:vendor>{rpm.vendor}</rpm:vendor><rpm:group>Unspecified</rpm:group>"
        f"<rpm:buildhost>media.ejemplo.es</rpm:buildhost><rpm:sourcerpm>{rpm.name}.src.rpm</rpm:sourcerpm>"
        f'<rpm:header-range start="4504" end="20000"/><rpm:provides>{"".join(provides)}</rpm:provides>'
        f"<rpm:requires>{''.join(entry(name) for name in rpm.requires)}</rpm:requires>"
        f"{''.join(files)}</format></package>\n"
    )


def entry(name: str) -> str:
    """Return one relation without a version."""
    return f'<rpm:entry name="{escape(name)}"/>'


def filelists(rpm: Rpm, digest: str) -> str:
    """Return the list of a package's files."""
    files = "".join(f"<file>{path}</file>\n" for path in rpm.files)
    return f"{opening(rpm, digest)}{files}</package>\n"


def other(rpm: Rpm, digest: str) -> str:
    """Return a change log as long as RHEL's."""
    line = f"- {rpm.summary}\n- Resolves: rhbz#1800000"
    changes = "".join(
        f'<changelog author="Somebody &lt;somebody@ejemplo.es&gt; - {rpm.version}-{number}" '
        f'date="{EPOCH - number * 10**6}">{escape(line)}</changelog>\n'
        for number in range(CHANGES)
    )
    return f"{opening(rpm, digest)}{changes}</package>\n"


def opening(rpm: Rpm, digest: str) -> str:
    """Return the first tags of a package in the two smaller documents."""
    version = f'<version epoch="{rpm.epoch}" ver="{rpm.version}" rel="{rpm.release}"/>'
    return f'<package pkgid="{digest}" name="{rpm.name}" arch="{rpm.arch}">{version}\n'

"""What dpkg has installed, and the name, version and architecture by which RPM knows the same packages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

STATUS = Path("var/lib/dpkg/status")
ARCHITECTURES = {"amd64": "x86_64", "all": "noarch"}


class Evr(NamedTuple):
    """A version as RPM divides it; neither version nor release holds a ``-``."""

    epoch: int
    version: str
    release: str

    def __str__(self) -> str:
        """Return ``epoch:version-release``, with the epoch even when it is 0."""
        return f"{self.epoch}:{self.version}-{self.release}"


@dataclass(frozen=True)
class Relation:
    """A package that another one names: ``operator`` is dpkg's (``>>``), "" when any version will do."""

    name: str
    operator: str = ""
    version: str = ""


@dataclass(frozen=True)
class Installed:
    """An installed Debian package; `needs` is one tuple of alternatives a dependency."""

    name: str
    version: str
    architecture: str
    needs: tuple[tuple[Relation, ...], ...]
    provides: tuple[Relation, ...]
    essential: bool

    @property
    def evr(self) -> Evr:
        """Return its version as RPM divides it."""
        return rpm_version(self.version)

    @property
    def nevra(self) -> str:
        """Return the RPM that stands for it: ``name-epoch:version-release.architecture``."""
        return f"{self.name}-{self.evr}.{ARCHITECTURES[self.architecture]}"


def rpm_version(version: str) -> Evr:
    """Return a Debian version as RPM divides it.

    The last ``-`` splits upstream's version from Debian's revision (deb-version(7)); a native package has
    no revision, which counts as 0 there. A ``-`` inside upstream's version, which RPM can't have, becomes
    ``_``, which no Debian version has: two versions that differ stay two.
    """
    epoch, _, rest = version.rpartition(":")
    upstream, dash, revision = rest.rpartition("-")
    if not dash:
        upstream, revision = rest, "0"
    return Evr(int(epoch or 0), upstream.replace("-", "_"), revision)


def parse_status(text: str) -> dict[str, Installed]:
    """Return the installed packages of a dpkg status file by name."""
    found = {}
    for stanza in text.split("\n\n"):
        fields = dict(re.findall(r"^([\w-]+):[ \t]*(.*(?:\n[ \t].*)*)", stanza, re.MULTILINE))
        if not fields.get("Status", "").endswith(" ok installed"):
            continue
        needs = ",".join(fields[key] for key in ("Pre-Depends", "Depends") if key in fields)
        found[fields["Package"]] = Installed(
            name=fields["Package"],
            version=fields["Version"],
            architecture=fields["Architecture"],
            needs=tuple(parse_relations(part, "|") for part in needs.split(",") if part.strip()),
            provides=parse_relations(fields.get("Provides", ""), ","),
            essential=fields.get("Essential") == "yes" or fields.get("Protected") == "yes",
        )
    return found


def parse_relations(text: str, separator: str) -> tuple[Relation, ...]:
    """Return the relations of a field; the architecture that one is limited to (``:any``) is left out."""
    pattern = r"\s*([^\s(:\[]+)(?::[\w-]+)?\s*(?:\(\s*([<>=]+)\s*([^\s)]+)\s*\))?"
    matches = (re.match(pattern, part) for part in text.split(separator))
    return tuple(Relation(match[1], match[2] or "", match[3] or "") for match in matches if match)

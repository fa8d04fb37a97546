"""The resolved package set: what will be installed, from where, signed by whom and why it is there.

It is the artefact `packages.json`, which goes from the packages stage to medium, verification and manifest.
"""

from __future__ import annotations

from typing import Literal

from builder.ask.reading import Frozen

UPDATES = "actualizaciones"
"""Id of the repository of what was brought besides the DVD."""


class Package(Frozen):
    """One RPM of the set."""

    name: str
    epoch: int
    version: str
    release: str
    arch: str
    repository: str
    """Id of its repository: BaseOS, AppStream or UPDATES."""
    location: str
    """Its path from the root of the DVD, or from the folder of updates."""
    size: int
    """Size of the RPM, bytes."""
    sha256: str
    """Digest of the RPM file, as read from it."""
    signer: str
    """Fingerprint of the key whose signature was checked."""
    reason: str
    """Why it is there: a group, an overlay, or the package that needs it."""

    @property
    def nevra(self) -> str:
        """Name-epoch:version-release.arch, with the epoch even when it is 0."""
        return f"{self.name}-{self.epoch}:{self.version}-{self.release}.{self.arch}"


class Signer(Frozen):
    """A key by which at least one package of the set, or one that was brought, is signed."""

    fingerprint: str
    name: str
    ids: tuple[str, ...]
    """Long ids of the key and its subkeys, in lower case: signatures name one of these."""
    own: bool = False
    """The organisation's own key (the exception of the site file), not the vendor's."""


class Advisory(Frozen):
    """A published advisory (updateinfo) among what was brought, and what became of it in this set."""

    id: str
    kind: str
    """security, bugfix, enhancement or newpackage."""
    severity: str
    title: str
    issued: str
    cves: tuple[str, ...]
    state: Literal["held", "left out", "not concerned"]
    """Whether the set holds the fix, holds an older package instead, or none that it is about."""
    packages: tuple[str, ...]
    """NEVRAs of the advisory that decide the state."""
    because: str = ""
    """Why it is left out."""


class Resolution(Frozen):
    """The whole set, in the order of the packages' names."""

    medium: str
    """Volume id of the DVD."""
    packages: tuple[Package, ...]
    signers: tuple[Signer, ...]
    advisories: tuple[Advisory, ...] = ()

    @property
    def updates(self) -> list[Package]:
        """The packages that come from what was brought."""
        return [package for package in self.packages if package.repository == UPDATES]

    @property
    def size(self) -> int:
        """Size of all RPMs, bytes."""
        return sum(package.size for package in self.packages)

    def lock(self) -> str:
        """Return the text of a lock file: one line a package, NEVRA and SHA-256."""
        return "".join(f"{package.nevra} {package.sha256}\n" for package in self.packages)

"""The platform: facts of the system installed. The only place where RHEL and the laboratory differ."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from builder.ask.reading import REPOSITORY, Bilingual, Frozen, read_toml
from builder.ask.words import Fingerprint

FOLDER = REPOSITORY / "kickstarts" / "platforms"


class Identity(Frozen):
    """What a medium's `.treeinfo` must say to be taken for this platform."""

    names: tuple[str, ...] = Field(min_length=1)
    version: str
    arch: str = "x86_64"
    os_release: tuple[dict[str, str], ...] = Field(min_length=1)
    """What os-release(5) of an installed system says: all the variables of one of them."""


class VendorKey(Frozen):
    """A key that a vendor signs its packages with."""

    name: str
    fingerprint: Fingerprint | None = None
    """None only where the medium is no vendor's (the laboratory): then the key on the medium is believed."""
    file: str = ""
    """Its file at the root of the medium, where it lies there."""


class Tools(Frozen):
    """Names and places that differ between distributions and that scripts need."""

    grub_install: str
    grub_mkconfig: str = ""
    """Command that writes GRUB's configuration; empty where the installer's own is final."""
    grub_dir: str
    """Folder of GRUB's configuration under /boot."""
    efi_dir: str
    """Folder of the vendor under EFI/ on the system partition."""
    query_package: str
    """Command that prints the version of an installed package."""
    list_packages: str
    """Shell command that prints every installed package as name-epoch:version-release.arch, in any order."""
    install_packages: str
    """Command that people install packages with; the names come after it."""
    list_initramfs: str
    """Command that lists the files of an initramfs."""
    select_pam: str
    """Shell command that makes the PAM stack of the overlay `accounts` the one that programs use."""


class Platform(Frozen):
    """Facts of the system installed, in RHEL 8.3's names where it is not said otherwise."""

    name: str
    title: str
    mark: Bilingual | None = None
    """Shown loudly on banner, manifest and report: the image is not what the guide means."""
    osinfo: str
    """What libosinfo calls the system, for libvirt's tools."""
    identity: Identity
    tools: Tools
    keys: tuple[VendorKey, ...] = Field(min_length=1)
    """Keys that RPMs may be signed with."""
    module_platform: str = "platform:el8"
    """PLATFORM_ID of os-release(5), by which dnf filters modules."""
    packages: dict[str, tuple[str, ...]] = {}
    """RHEL package -> packages here; one that is not listed has the same name."""
    services: dict[str, str] = {}
    """RHEL unit -> unit here, without `.service`; without an entry, the same name; "": none."""
    relocate: dict[str, str] = {}
    """Prefix of a RHEL path -> prefix here."""
    network_files: dict[str, str] = {}
    """What the installer makes of the kickstart's network, for a seed to make: path here -> template."""
    not_shown: dict[str, Bilingual] = {}
    """What this platform can't show (selinux, rpm, ...) and why: such checks are *no verificado*."""
    needless_accounts: tuple[str, ...] = ()
    """System accounts that come with the system and that nothing here uses."""
    own_services: tuple[str, ...] = ()
    """Units that this platform needs enabled besides those that the overlays name."""

    @model_validator(mode="after")
    def _a_vendor_has_a_fingerprint(self) -> Self:
        if self.mark is None and any(key.fingerprint is None for key in self.keys):
            raise ValueError("a key without a fingerprint is only for a platform with a mark")
        return self

    def package(self, spec: str) -> tuple[str, ...]:
        """Return what stands for a RHEL package (a name, or name-version-release)."""
        return self.packages.get(spec, (spec,))

    def service(self, name: str) -> str:
        """Return the unit that stands for a RHEL unit."""
        return self.services.get(name, name)

    def path(self, path: str) -> str:
        """Return where a file of the RHEL tree lies on this platform."""
        for prefix in sorted(self.relocate, key=len, reverse=True):
            if path == prefix or path.startswith(prefix.rstrip("/") + "/"):
                return self.relocate[prefix] + path[len(prefix) :]
        return path


def platform_names() -> list[str]:
    """Return the names of the platforms there are, those that the guide means first."""
    return sorted((path.stem for path in FOLDER.glob("*.toml")), reverse=True)


def read_platform(name: str) -> Platform:
    """Return a platform by its name; an unknown one is a defect of ours, shown as bad input."""
    return read_toml(FOLDER / f"{name}.toml", Platform, what="platform", name=name)

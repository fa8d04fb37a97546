"""The plan: profile, site and platform joined, checked and frozen. Nothing after it reads them again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import reduce
from pathlib import Path

from builder.ask.control import Control
from builder.ask.overlay import Overlay, Port, read_overlay
from builder.ask.platform import Platform, read_platform
from builder.ask.profile import Profile, read_profile
from builder.ask.reading import Bilingual, Frozen
from builder.ask.site import Site, read_site, without_server
from builder.ask.words import Network
from builder.tools.errors import BadInput


class Plan(Frozen):
    """All that is built, and for whom. `forja plan` prints it as JSON."""

    profile: Profile
    site: Site
    platform: Platform
    overlays: tuple[Overlay, ...]
    left_out: tuple[Overlay, ...] = ()
    """Overlays that the profile names and the site does not switch on: their controls do not apply here."""
    updates: bool = False
    """Whether the medium holds a repository of RPMs that the DVD lacks."""
    closed: bool = False
    """Whether the image knows no server: it stays closed until a seed makes one of it."""

    @property
    def name(self) -> str:
        """Name of the image: profile and platform, and whether it is closed."""
        return f"{self.profile.name}-{self.platform.name}{'-cerrada' if self.closed else ''}"

    @property
    def without_server(self) -> Plan:
        """The plan of the closed image itself: nothing in it is a server's own."""
        return self.model_copy(update={"site": without_server(self.site)})

    def for_server(self, site: Site) -> Plan:
        """Return the plan of a server that a seed makes of this closed image.

        Raises:
            BadInput: the site switches an overlay on or off, or asks for what the profile lacks.
        """
        for overlay in (*self.overlays, *self.left_out):
            if overlay.when and overlay.when != CLOSED and _has(site, overlay.when) != self.has(overlay.name):
                raise BadInput(
                    f"{overlay.when}: not as in the image, and no seed brings the overlay '{overlay.name}'",
                    hint="build an image for it",
                )
        plan = self.model_copy(update={"site": site})
        _check_site(plan)
        return plan

    @property
    def packages(self) -> list[str]:
        """Packages that the overlays ask for, in RHEL's names, each once."""
        return sorted(_unique(package for overlay in self.overlays for package in overlay.packages))

    @property
    def excludes(self) -> list[str]:
        """Packages of the environment that must not be installed."""
        return sorted(_unique(package for overlay in self.overlays for package in overlay.excludes))

    def has(self, overlay: str) -> bool:
        """Say whether an overlay is part of the image: others' files ask it."""
        return any(item.name == overlay for item in self.overlays)

    @property
    def environment(self) -> str:
        """The guide's minimal installation (section 5), by its id in the DVD's comps."""
        return "minimal-environment"

    @property
    def selection(self) -> list[str]:
        """What the installer is told to install, in this platform's names; a group begins with @.

        Anaconda adds @core to every environment by itself; what else it would add (boot loader, file
        systems, language, kernel) the base overlay asks for: the set does not depend on the machine.
        """
        packages = [name for spec in self.packages for name in self.platform.package(spec)]
        return ["@core", f"@{self.environment}", *sorted(_unique(packages))]

    @property
    def exclusion(self) -> list[str]:
        """What the installer must not install, in this platform's names."""
        return sorted(_unique(name for spec in self.excludes for name in self.platform.package(spec)))

    @property
    def pins(self) -> dict[str, str]:
        """The packages that are pinned: name -> version-release, in RHEL's names."""
        found = (re.fullmatch(r"(.+)-(\d[^-]*-[^-]+)", spec) for spec in self.packages)
        return {match[1]: match[2] for match in found if match}

    @property
    def services(self) -> list[str]:
        """Units that are enabled, in RHEL's names; no other is. Not those that nothing stands for here."""
        named = _unique(service for overlay in self.overlays for service in overlay.services)
        return [name for name in named if self.platform.service(name)]

    @property
    def ports(self) -> list[Port]:
        """Ports that the image listens on."""
        return [port for overlay in self.overlays for port in overlay.ports]

    @property
    def controls(self) -> list[Control]:
        """Controls of all overlays, in their order, and those left out."""
        return [control for overlay in (*self.overlays, *self.left_out) for control in overlay.controls]

    def networks(self, port: Port) -> tuple[Network, ...]:
        """Return the site's networks that may reach a port."""
        return {
            "admin": self.site.admin.networks,
            "peers": self.site.mail.peers,
            "submission": self.site.mail.submission,
            "loopback": (),
        }[port.reached_from]


CLOSED = "closed"
"""What an overlay of closed images names as its `when`: not the site but the person says so (`--closed`)."""


class Draft(Frozen):
    """A profile on a platform, read once: with the site of a server it becomes that server's plan."""

    profile: Profile
    platform: Platform
    named: tuple[Overlay, ...]
    """The overlays that the profile names, those included that a site may not switch on."""
    updates: bool = False
    closed: bool = False

    def plan(self, site: Site) -> Plan:
        """Return the plan for a site.

        Raises:
            BadInput: they don't fit together.
        """
        taken = {item.name: self._takes(item, site) for item in self.named}
        plan = Plan(
            profile=self.profile,
            site=site,
            platform=self.platform,
            overlays=_in_order([item for item in self.named if taken[item.name]]),
            left_out=tuple(_not_here(item) for item in self.named if not taken[item.name]),
            updates=self.updates,
            closed=self.closed,
        )
        _check(plan)
        return plan

    def _takes(self, overlay: Overlay, site: Site) -> bool:
        if overlay.when is None:
            return True
        return self.closed if overlay.when == CLOSED else _has(site, overlay.when)


def read_draft(profile: str, platform: str, *, updates: bool = False, closed: bool = False) -> Draft:
    """Read a profile, a platform and the overlays that the profile names.

    Args:
        updates: whether RPMs were brought.
        closed: whether it is a server that a seed makes of a closed image; that image's own plan is the
            `without_server` of the plan that comes of this.

    Raises:
        BadInput: one of them is wrong.
    """
    asked = read_profile(profile)
    named = tuple(read_overlay(name) for name in asked.overlays)
    return Draft(profile=asked, platform=read_platform(platform), named=named, updates=updates, closed=closed)


def make_plan(
    profile: str, site: Path | None, platform: str, *, updates: bool = False, closed: bool = False
) -> Plan:
    """Join a profile, a site file (the example if None) and a platform; the rest as for `read_draft`.

    Raises:
        BadInput: one of them is wrong, or they don't fit together.
    """
    return read_draft(profile, platform, updates=updates, closed=closed).plan(read_site(site))


NEEDED = {
    **{"roles": "roles", "dkim.key": "dkim", "logs.server": "logs", "updates.repositories": "updates"},
    **{"disk_encryption.data_volumes": "luks", "fips": "fips"},
}
"""What a site asks for, and the overlay that does it: without it the wish would be passed over in silence."""


def _has(site: Site, key: str) -> bool:
    return bool(reduce(getattr, key.split("."), site))


def _not_here(overlay: Overlay) -> Overlay:
    """Return an overlay that the site does not switch on, with controls that do not apply."""
    reason = Bilingual(
        es=f"El archivo del sitio no tiene {overlay.when}.", en=f"The site file has no {overlay.when}."
    )
    if overlay.when == CLOSED:
        reason = Bilingual(
            es="La imagen no es cerrada: lleva los valores de su servidor y no lee semillas.",
            en="The image is not a closed one: it holds its server's values, and reads no seed.",
        )
    changes = {"status": "not-applicable", "reason": reason}
    return overlay.model_copy(
        update={"controls": tuple(control.model_copy(update=changes) for control in overlay.controls)}
    )


def _unique(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))


def _in_order(overlays: list[Overlay]) -> tuple[Overlay, ...]:
    """Sort overlays so that each comes after those that it requires; the profile's order otherwise."""
    by_name = {overlay.name: overlay for overlay in overlays}
    done: dict[str, Overlay] = {}

    def visit(overlay: Overlay, above: tuple[str, ...]) -> None:
        if overlay.name in above:
            raise BadInput(f"overlays require each other in a circle: {' -> '.join((*above, overlay.name))}")
        for name in overlay.requires:
            if name not in by_name:
                raise BadInput(
                    f"the overlay '{overlay.name}' requires '{name}', which the profile does not name"
                )
            visit(by_name[name], (*above, overlay.name))
        done.setdefault(overlay.name, overlay)

    for overlay in overlays:
        visit(overlay, ())
    return tuple(done.values())


def _check(plan: Plan) -> None:
    for what, items in (
        ("control", [control.id for control in plan.controls]),
        ("file", [entry.path for overlay in plan.overlays for entry in overlay.files]),
        ("mount point", [mount.path for mount in plan.profile.mounts]),
    ):
        twice = [item for item, count in Counter(items).items() if count > 1]
        if twice:
            raise BadInput(f"the {what} {twice[0]} is there twice in {plan.name}")
    _check_site(plan)
    known = {control.id for control in plan.controls}
    for overlay in plan.overlays:
        for entry in (*overlay.files, *overlay.dirs):
            for name in entry.controls:
                if name not in known:
                    raise BadInput(
                        f"overlays/{overlay.name}/overlay.toml: {entry.path} names the control {name}, "
                        "which no overlay has"
                    )
    needed = sum(mount.size_mib for mount in plan.profile.mounts if mount.fstype != "tmpfs")
    if needed > plan.profile.disk_gib * 1024 - 64:
        raise BadInput(
            f"kickstarts/profiles/{plan.profile.name}.toml: mounts: need {needed} MiB, "
            f"more than disk_gib = {plan.profile.disk_gib} gives"
        )


def _check_site(plan: Plan) -> None:
    """Refuse what the site asks for and the profile lacks."""
    for key, name in NEEDED.items():
        if _has(plan.site, key) and not plan.has(name):
            raise BadInput(f"the site has {key}, for which {plan.profile.name} lacks the overlay '{name}'")
    if plan.site.mail.dns_lists and not plan.profile.values.dns_lists_allowed:
        raise BadInput(f"the site has mail.dns_lists, and {plan.profile.name} allows no DNS lists")

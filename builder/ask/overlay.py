"""An overlay: one capability in one folder, with the files as they lie on the target."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from builder.ask.control import Control, ControlFile
from builder.ask.reading import REPOSITORY, Bilingual, Frozen, read_toml
from builder.tools.errors import BadInput

FOLDER = REPOSITORY / "overlays"


class Entry(Frozen):
    """A file or folder on the target: RHEL path, owner, mode, SELinux type, and the controls it is for."""

    path: str
    mode: str = Field(pattern=r"^[0-7]{4}$")
    owner: str = Field(default="root:root", pattern=r"^[a-z_][a-z0-9_-]*:[a-z_][a-z0-9_-]*$")
    type: str = Field(pattern=r"^[a-z0-9_]+_t$")
    controls: tuple[str, ...] = Field(min_length=1)
    site: str | None = Field(default=None, pattern=r"^[a-z_]+\.[a-z_]+$")
    """Key of the site that holds the file's path (`tls.key`); without that key the file is left out."""

    @model_validator(mode="after")
    def _path_stays_inside(self) -> Self:
        if not self.path.startswith("/") or re.search(r"/(\.{0,2})(/|$)", self.path):
            raise ValueError("path must be absolute and normal, without .., // or a trailing slash")
        return self


class Port(Frozen):
    """A port that the overlay listens on, and the site's networks that may reach it."""

    port: int = Field(ge=1, le=65535)
    protocol: Literal["tcp", "udp"] = "tcp"
    reached_from: Literal["admin", "peers", "submission", "loopback"]


class OverlayFile(Frozen):
    """The contents of `overlay.toml`."""

    title: Bilingual
    guide: tuple[str, ...]
    requires: tuple[str, ...] = ()
    when: str | None = Field(default=None, pattern=r"^[a-z_]+(\.[a-z_]+)?$")
    """Key of the site (`fips`) that switches it on; without it, a profile that names it goes without.
    `closed`: it is for closed images only."""
    packages: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    touches: tuple[str, ...] = ()
    """What its hook changes outside /etc (`*` in a part): kept by the archive for its way back."""
    ports: tuple[Port, ...] = ()
    files: tuple[Entry, ...] = ()
    dirs: tuple[Entry, ...] = ()


class Overlay(OverlayFile):
    """One capability: what `overlay.toml` and `controls.toml` say, and the folder that they lie in."""

    name: str
    folder: Path
    controls: tuple[Control, ...]

    def source(self, entry: Entry) -> Path:
        """Return the file in `root/` that makes an entry: the file itself, or its `.j2`."""
        plain = self.folder / "root" / entry.path.lstrip("/")
        return plain if plain.exists() else plain.with_name(plain.name + ".j2")

    @property
    def hook(self) -> Path | None:
        """The script that runs in the target once all files are in place, if the overlay has one."""
        path = self.folder / "apply.sh"
        return path if path.exists() else None


def overlay_names() -> list[str]:
    """Return the names of the overlays there are."""
    return sorted(path.parent.name for path in FOLDER.glob("*/overlay.toml"))


def read_overlay(name: str) -> Overlay:
    """Return an overlay by its name, with its tree and its list of files held against each other.

    Raises:
        BadInput: it does not exist, a key is wrong, or a file is listed and absent, or there and not listed.
    """
    folder = FOLDER / name
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name) or not (folder / "overlay.toml").exists():
        raise BadInput(f"there is no overlay '{name}'", hint=f"overlays lie in {FOLDER}")
    asked = read_toml(folder / "overlay.toml", OverlayFile, what="overlay")
    controls = read_toml(folder / "controls.toml", ControlFile, what="controls").control
    overlay = Overlay(name=name, folder=folder, controls=controls, **dict(asked))
    _check_tree(overlay)
    return overlay


def _check_tree(overlay: Overlay) -> None:
    tree = overlay.folder / "root"
    listed = {overlay.source(entry) for entry in overlay.files if entry.site is None}
    there = {path for path in tree.rglob("*") if path.is_file() or path.is_symlink()}
    for path in sorted(listed - there):
        raise BadInput(f"{overlay.folder / 'overlay.toml'}: {path} is listed and does not exist")
    for path in sorted(there - listed):
        raise BadInput(f"{path} is in no list of files", hint="give it owner, mode and type in overlay.toml")

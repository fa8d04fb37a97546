"""The profile: what is built for whom, as data; each file says what differs from the profile below."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from builder.ask.reading import REPOSITORY, Bilingual, Frozen, fill, load_toml
from builder.tools.errors import BadInput

FOLDER = REPOSITORY / "kickstarts" / "profiles"


class Mount(Frozen):
    """One mount point: where it lies, how large it is (MiB), and the options that it is mounted with."""

    path: str
    size_mib: int = Field(ge=1)
    grow: bool = False
    lvm: bool = True
    fstype: Literal["xfs", "efi", "swap", "biosboot", "tmpfs"] = "xfs"
    options: tuple[str, ...] = ()

    @property
    def volume(self) -> str:
        """Name of the logical volume: the path with `_` for `/`, `root` for the root."""
        return self.path.strip("/").replace("/", "_") or "root"


class Values(Frozen):
    """The few values in which profiles differ."""

    tls_level: Literal["may", "encrypt"]
    """Postfix security level on port 25, server and client."""
    password_max_days: int = Field(ge=1, le=365)
    password_min_days: int = Field(ge=0, le=30)
    password_min_length: int = Field(ge=12, le=64)
    password_history: int = Field(ge=1, le=400)
    """Earlier passwords that are remembered and refused."""
    lockout_attempts: int = Field(ge=3, le=8)
    """Wrong passwords within 15 minutes that lock an account."""
    lockout_seconds: int = Field(ge=0, le=604800)
    """How long it stays locked; 0: until an administrator unlocks it."""
    idle_seconds: int = Field(ge=60, le=3600)
    log_days: int = Field(ge=30)
    spam_network_tests: bool
    """Whether SpamAssassin may ask the DNS."""
    spam_mark: float = Field(gt=0)
    """Score from which a message is marked as spam, and delivered."""
    spam_stop: float = Field(gt=0)
    """Score from which a message stays in the quarantine."""
    signatures_days: int = Field(ge=1, le=365)
    """Virus signatures older than that are said to be old."""
    spf_permerror: Literal["mark", "reject"]
    """What becomes of mail whose domain has a broken SPF record (RFC 7208, 8.7)."""
    dkim_bad_signature: Literal["mark", "reject"]
    """What becomes of mail whose DKIM signature does not hold; RFC 6376 (6.1) has it treated like none."""

    dns_lists_allowed: bool
    """Whether the site may name DNS lists for postscreen to ask."""

    @model_validator(mode="after")
    def _marked_before_stopped(self) -> Self:
        if self.spam_stop < self.spam_mark:
            raise ValueError("spam_stop is lower than spam_mark")
        return self


class ProfileFile(Frozen):
    """The contents of one profile's file: with `extends`, only what differs from the profile below."""

    title: Bilingual
    annex: Literal["A", "B"] | None = None
    extends: str | None = None
    overlays: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    disk_gib: int | None = None
    values: dict[str, Any] = {}
    mounts: tuple[Mount, ...] = ()
    reasons: dict[str, Bilingual] = {}


class Profile(Frozen):
    """What is built for whom, with all that it has from the profiles below."""

    name: str
    title: Bilingual
    annex: Literal["A", "B"]
    extends: str | None = None
    """The profile below, which this one's file starts from."""
    overlays: tuple[str, ...] = Field(min_length=1)
    without: tuple[str, ...] = ()
    """Overlays of the profile below that this one leaves out."""
    disk_gib: int = Field(ge=8)
    values: Values
    mounts: tuple[Mount, ...]
    reasons: dict[str, Bilingual] = {}
    """Why it differs from the profile below: name of a value or overlay, `mounts` or `disk_gib` -> reason."""


def profile_names() -> list[str]:
    """Return the names of the profiles there are, each after the one that it extends.

    Raises:
        BadInput: one extends a profile that does not exist, or extends itself.
    """
    names = sorted(path.stem for path in FOLDER.glob("*.toml"))
    return sorted(names, key=lambda name: (len(lineage(name)), name))


def lineage(name: str) -> tuple[str, ...]:
    """Return the names of a profile and of those below it, from the lowest up.

    Raises:
        BadInput: there is none of that name, a file is wrong, or they extend each other in a circle.
    """
    names = [name]
    while (below := _read_file(names[0]).extends) is not None:
        if below in names:
            raise BadInput(f"profiles extend each other in a circle: {' -> '.join((below, *names))}")
        names.insert(0, below)
    return tuple(names)


def read_profile(name: str) -> Profile:
    """Return a profile by its name, with what it has from the profiles below.

    Raises:
        BadInput: there is none of that name, its file or one below is wrong, or a difference has no reason.
    """
    words: dict[str, Any] = {}
    for each in lineage(name):
        file = _read_file(each)
        if file.extends is not None:
            _check_reasons(each, words, file)
        words = _put_on(words, file)
    return fill(Profile, {**words, "name": name}, _path(name), what="profile")


def _path(name: str) -> Path:
    return FOLDER / f"{name}.toml"


def _read_file(name: str) -> ProfileFile:
    there = sorted(path.stem for path in FOLDER.glob("*.toml"))
    if name not in there:
        raise BadInput(f"there is no profile '{name}'", hint=f"the profiles are: {', '.join(there)}")
    return fill(ProfileFile, load_toml(_path(name), what="profile"), _path(name), what="profile")


def _put_on(words: dict[str, Any], file: ProfileFile) -> dict[str, Any]:
    """Return the keys of the profile below with those of a file over them; lists of overlays are joined."""
    own = file.model_dump(exclude_unset=True)
    joined = dict.fromkeys((*words.get("overlays", ()), *file.overlays))
    overlays = tuple(name for name in joined if name not in file.without)
    values = {**words.get("values", {}), **file.values}
    kept = {key: value for key, value in words.items() if key not in ("extends", "without", "reasons")}
    return {**kept, **own, "overlays": overlays, "values": values}


def _check_reasons(name: str, below: dict[str, Any], file: ProfileFile) -> None:
    """Hold a file's reasons against what it changes: one for each difference, and no other."""
    above = _put_on(below, file)
    changed = {key for key, value in file.values.items() if value != below.get("values", {}).get(key)}
    changed |= set(above["overlays"]) ^ set(below["overlays"])
    changed |= {key for key in ("mounts", "disk_gib") if above.get(key) != below.get(key)}
    for key in sorted(changed - set(file.reasons)):
        raise BadInput(f"{_path(name)}: {key} differs from {file.extends} without a reason in [reasons]")
    for key in sorted(set(file.reasons) - changed):
        raise BadInput(f"{_path(name)}: reasons: {key} does not differ from {file.extends}")

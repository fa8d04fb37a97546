"""The profile: what is built for whom, as data that fits on a screen."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from builder.ask.reading import REPOSITORY, Bilingual, Frozen, read_toml
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

    @model_validator(mode="after")
    def _marked_before_stopped(self) -> Self:
        if self.spam_stop < self.spam_mark:
            raise ValueError("spam_stop is lower than spam_mark")
        return self


class Profile(Frozen):
    """What is built for whom."""

    name: str
    title: Bilingual
    annex: Literal["A", "B"]
    overlays: tuple[str, ...] = Field(min_length=1)
    disk_gib: int = Field(ge=8)
    values: Values
    mounts: tuple[Mount, ...]


def profile_names() -> list[str]:
    """Return the names of the profiles there are."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_profile(name: str) -> Profile:
    """Return a profile by its name.

    Raises:
        BadInput: there is none of that name, or its file is wrong.
    """
    if name not in profile_names():
        raise BadInput(
            f"there is no profile '{name}'", hint=f"the profiles are: {', '.join(profile_names())}"
        )
    return read_toml(FOLDER / f"{name}.toml", Profile, what="profile", name=name)

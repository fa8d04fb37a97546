"""A control: one thing that the guide asks for."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from builder.ask.reading import Bilingual, Frozen


class Control(Frozen):
    """One thing asked for: its id, the section of its source, what is asked, and how the project answers."""

    id: str = Field(pattern=r"^[A-Z0-9]+(?:[.-][A-Za-z0-9]+)+$")
    section: str
    """Section of CCN-STIC-681, such as "6.5.4"; for the base system, of the series CCN-STIC-600."""
    title: Bilingual
    status: Literal["implemented", "manual", "not-applicable"] = "implemented"
    reason: Bilingual | None = None
    """Why it is manual or does not apply, and what the operator has to do."""
    where: tuple[str, ...] = ()
    """What implements it besides the overlay's files: a partial of the kickstart, a program."""


class ControlFile(Frozen):
    """The contents of `controls.toml`."""

    control: tuple[Control, ...] = ()

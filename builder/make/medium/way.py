"""Which program writes the medium: xorriso everywhere; mkksiso when it is asked for, or is all there is."""

from __future__ import annotations

from enum import StrEnum

from builder.tools.errors import BadInput, HostUnready
from builder.tools.process import find_program


class Way(StrEnum):
    """A program that writes the medium."""

    XORRISO = "xorriso"
    MKKSISO = "mkksiso"


def choose_way(asked: Way | None, *, trim: bool) -> Way:
    """Return the program that writes the medium.

    Args:
        asked: what the person asked for, or None.
        trim: whether the medium is to lose packages.

    Raises:
        BadInput: the program asked for can't do that.
        HostUnready: there is none on this host.
    """
    has_xorriso, has_mkksiso = find_program("xorriso") is not None, find_program("mkksiso") is not None
    way = asked or (Way.XORRISO if has_xorriso or trim or not has_mkksiso else Way.MKKSISO)
    if way is Way.MKKSISO and trim:
        raise BadInput(
            "mkksiso can only add to a medium: it can't leave packages out",
            hint="leave --medium-with mkksiso out",
        )
    if way is Way.XORRISO and not has_xorriso:
        raise HostUnready("xorriso is not on this host", hint="run 'make setup', or install xorriso")
    return way

"""What lies where on the medium, and how its installer is started: known on both sides of it."""

from __future__ import annotations

from builder.ask.plan import Plan

FOLDER = "forja"
"""Our own folder at the root of the medium."""
BOOT_ARGUMENTS = "inst.nosave=all net.ifnames=0 biosdevname=0"
"""inst.nosave: Anaconda leaves no kickstart (which holds hashes) and no logs in the image."""


def boot_arguments(plan: Plan) -> str:
    """Return the arguments that the installer's kernel starts with; in FIPS mode it must be in it too."""
    return f"{BOOT_ARGUMENTS} fips=1" if plan.site.fips else BOOT_ARGUMENTS

"""What lies where on the medium, and how its installer is started: known on both sides of it."""

from __future__ import annotations

FOLDER = "forja"
"""Our own folder at the root of the medium."""
BOOT_ARGUMENTS = "inst.nosave=all net.ifnames=0 biosdevname=0"
"""inst.nosave: Anaconda leaves no kickstart (which holds hashes) and no logs in the image."""

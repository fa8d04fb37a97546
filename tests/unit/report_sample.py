"""A made-up but realistic plan, its findings and packages: what the tests of the report look at.

Profile, site and platform are the real ones; overlays are of our own, so that a change of a real one breaks
no test here.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from builder.ask.overlay import Overlay
from builder.ask.plan import Plan
from builder.ask.platform import read_platform
from builder.ask.profile import read_profile
from builder.ask.site import read_site
from builder.make.findings import Findings
from builder.make.resolution import Resolution

FILE = Path(__file__).with_suffix(".toml")


def sample(platform: str = "laboratorio") -> tuple[Plan, Findings, Resolution]:
    """Return a plan, its findings and its packages, with every verdict in it and hostile text."""
    raw = tomllib.loads(FILE.read_text(encoding="utf-8"))
    plan = Plan(
        profile=read_profile("clasificado"),
        site=read_site(None),
        platform=read_platform(platform),
        overlays=tuple(Overlay.model_validate(overlay) for overlay in raw.pop("overlays")),
    )
    resolution = Resolution.model_validate(raw.pop("resolution"))
    return plan, Findings.model_validate(raw), resolution

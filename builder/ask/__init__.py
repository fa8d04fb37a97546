"""From what a person asks for (profile, site, platform, overlays) to one frozen plan."""

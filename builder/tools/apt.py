"""Where this host gets Debian from: its own apt sources and proxies, for another root to use."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from builder.tools.process import find_program, run

APT = Path("/etc/apt")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PASSED_ON = (
    "Acquire::http::Proxy",
    "Acquire::https::Proxy",
    "Acquire::Check-Valid-Until",
    "Acquire::Check-Date",
)


def debian_sources(suite: str, apt: Path = APT) -> list[str]:
    """Return lines of a sources.list with the Debian mirrors of this host for a suite.

    Only entries that are Debian's by their form (``.../debian`` or ``.../debian-security``, component
    main, the suite or its updates or security) count; Debian's own mirror stands in when there are none.
    """
    suites = (suite, f"{suite}-updates", f"{suite}-security")
    found = []
    for uri, name in (*_one_line_entries(apt), *_deb822_entries(apt)):
        if name in suites and re.search(r"/debian(-security)?/?$", uri) and (uri, name) not in found:
            found.append((uri, name))
    if not any(name == suite for _, name in found):
        mirror = "http://deb.debian.org/debian"
        found = [(mirror, suite), (mirror, suites[1]), (f"{mirror}-security", suites[2])]
    options = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    return [f"deb {options}{uri} {name} main" for uri, name in found]


def acquire_settings(environ: dict[str, str] | None = None) -> list[str]:
    """Return the settings of this host's apt that say how it reaches a mirror: ``Acquire::... "value"``."""
    environ = dict(os.environ) if environ is None else environ
    settings = [
        f'Acquire::{scheme}::Proxy "{value}"'
        for scheme in ("http", "https")
        if (value := environ.get(f"{scheme}_proxy", ""))
    ]
    if find_program("apt-config") is not None:
        dump = run(["apt-config", "dump", "Acquire"], doing="read this host's apt configuration").stdout
        for name, value in re.findall(r'^([\w:-]+) "([^"]+)";$', dump, re.MULTILINE):
            if name in PASSED_ON:
                settings.append(f'{name} "{value}"')
    return settings


def proxy_options(environ: dict[str, str] | None = None) -> list[str]:
    """Return mmdebstrap options that carry over this host's apt proxy and date checks."""
    return [f"--aptopt={setting}" for setting in acquire_settings(environ)]


def _one_line_entries(apt: Path) -> Iterator[tuple[str, str]]:
    for file in (apt / "sources.list", *sorted((apt / "sources.list.d").glob("*.list"))):
        if file.is_file():
            for line in file.read_text(encoding="utf-8").splitlines():
                match = re.match(r"deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)\s+.*\bmain\b", line)
                if match:
                    yield match[1], match[2]


def _deb822_entries(apt: Path) -> Iterator[tuple[str, str]]:
    for file in sorted((apt / "sources.list.d").glob("*.sources")):
        text = re.sub(r"^#.*\n", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for stanza in re.split(r"\n\s*\n", text):
            fields = {
                key.lower(): value.split()
                for key, value in re.findall(r"^([\w-]+):[ \t]*((?:.|\n[ \t])*)", stanza, re.MULTILINE)
            }
            if "deb" not in fields.get("types", ()) or "main" not in fields.get("components", ()):
                continue
            if fields.get("enabled", ["yes"])[0] != "no":
                yield from (
                    (uri, suite) for uri in fields.get("uris", ()) for suite in fields.get("suites", ())
                )

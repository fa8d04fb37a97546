"""The archive for servers in production (guide, 5 d): overlay and program in one file, signed.

It is a zip that Python runs: `program/` is the package of that name here, `root/` the overlay's members,
`hooks/` its scripts, `manifest.json` all that the program has to know, with a digest for each of them.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from builder import __version__
from builder.ask.plan import Plan
from builder.make.overlay import ENTRIES, HOOKS, Member, collect_members
from builder.tools.errors import BadInput
from builder.tools.files import finished, sha256, write_text
from builder.tools.openpgp import read_fingerprint, sign

PROGRAM = Path(__file__).parent / "program"
MAIN = """\
import sys

from program.main import start

sys.exit(start())
"""
FIRST_DATE = 315532800  # 1980-01-01: a zip knows no earlier one
UNSIGNED = "unsigned"


def write_archive(
    plan: Plan, path: Path | None, *, key: str | None, gpg_home: Path | None = None
) -> list[Path]:
    """Write the archive of a plan, its SHA-256 and, with a key, its detached signature; return the files.

    The same plan and key give the same archive, byte for byte (SOURCE_DATE_EPOCH sets its dates).

    Args:
        plan: what it applies.
        path: where; None: `NAME.overlay.pyz` here, `NAME.overlay.unsigned.pyz` without a key.
        key: fingerprint of the key that signs; None: nobody does, and the name has to say so.
        gpg_home: GnuPG's folder with that key; None: the person's own.

    Raises:
        BadInput: the fingerprint is none, an unsigned archive's name does not say so, or the site names a
            file that can't be read.
        StageFailed: GnuPG did not sign.
    """
    fingerprint = None if key is None else read_fingerprint(key)
    path = path or Path(f"{plan.name}.overlay{'' if fingerprint else '.' + UNSIGNED}.pyz")
    if fingerprint is None and UNSIGNED not in path.name:
        raise BadInput(
            f"{path.name} would be an archive that nobody has signed", hint=f"put '{UNSIGNED}' into its name"
        )
    signature = path.with_name(f"{path.name}.asc")
    sums = path.with_name(f"{path.name}.sha256")
    for old in (signature, sums):  # never beside an archive that they do not belong to
        old.unlink(missing_ok=True)
    with finished(path) as partial:
        _write_zip(partial, _parts(plan, fingerprint))
        partial.chmod(0o600)  # a site may bring keys
    write_text(sums, f"{sha256(path)}  {path.name}\n")
    if fingerprint is None:
        return [path, sums]
    with finished(signature) as partial:
        sign(path, partial, fingerprint, gpg_home, what="the archive")
    return [path, signature, sums]


def _parts(plan: Plan, fingerprint: str | None) -> dict[str, bytes]:
    """Return name -> content of everything in the zip."""
    members = collect_members(plan)
    hooks = {f"hooks/{Path(member.path).name}": member for member in members if _is_hook(member)}
    placed = [member for member in members if not _is_hook(member)]
    parts = {
        "__main__.py": MAIN.encode(),
        **{f"program/{source.name}": source.read_bytes() for source in sorted(PROGRAM.glob("*.py"))},
    }
    manifest = {
        "key": fingerprint,
        "program": {name: _digest(content) for name, content in parts.items()},
        "hooks": [
            {"name": name.removeprefix("hooks/"), "title": _title(member), "sha256": _digest(member.content)}
            for name, member in sorted(hooks.items())
        ],
        "entries": _entries(plan, placed),
        **_facts(plan),
    }
    parts |= {name: member.content or b"" for name, member in hooks.items()}
    parts |= {f"root{member.path}": member.content for member in placed if member.content is not None}
    parts["manifest.json"] = json.dumps(manifest, ensure_ascii=False, indent=1, sort_keys=True).encode()
    return parts


def _facts(plan: Plan) -> dict[str, Any]:
    """Return what the program has to know besides the files; nothing of it is a secret."""
    platform = plan.platform
    services = [platform.service(name) for name in plan.services]
    people = [(plan.site.admin.user, "wheel"), *((person.user, "") for person in plan.site.roles)]
    return {
        "builder": __version__,
        "profile": plan.profile.name,
        "platform": platform.name,
        "title": platform.title,
        "mark": platform.mark.model_dump() if platform.mark else None,
        "identity": {"version": platform.identity.version, "os_release": platform.identity.os_release},
        "packages": sorted({name for spec in plan.packages for name in platform.package(spec)} - {""}),
        "excludes": plan.exclusion,
        "list_packages": platform.tools.list_packages,
        "install_packages": platform.tools.install_packages,
        "services": [name if "." in name else f"{name}.service" for name in services],
        "accounts": [{"user": user, "group": group} for user, group in people],
        "saved": ["/etc", *sorted({platform.path(path) for item in plan.overlays for path in item.touches})],
    }


def _entries(plan: Plan, placed: list[Member]) -> list[dict[str, Any]]:
    table = next(member.content or b"" for member in placed if member.path == ENTRIES)
    types = {line.split("\t")[3]: line.split("\t")[2] for line in table.decode().splitlines()}
    secret = {
        plan.platform.path(entry.path)
        for overlay in plan.overlays
        for entry in overlay.files
        if entry.site and not int(entry.mode, 8) & 0o077
    }
    return [
        {
            "path": member.path,
            "mode": f"{member.mode:04o}",
            "owner": member.owner,
            "type": types.get(member.path, "lib_t"),
            "sha256": None if member.content is None else _digest(member.content),
            "secret": member.path in secret,
        }
        for member in sorted(placed, key=lambda member: member.path)
    ]


def _is_hook(member: Member) -> bool:
    return member.path.startswith(f"{HOOKS}/")


def _title(hook: Member) -> str:
    """Return the comment that a hook begins with, in one line."""
    lines = (hook.content or b"").decode().splitlines()[1:]
    said = []
    for line in lines:
        if not line.startswith("#"):
            break
        said.append(line.lstrip("# "))
    return " ".join(said)


def _digest(content: bytes | None) -> str:
    return hashlib.sha256(content or b"").hexdigest()


def _write_zip(path: Path, parts: dict[str, bytes]) -> None:
    epoch = max(FIRST_DATE, int(os.environ.get("SOURCE_DATE_EPOCH", "0")))
    date = datetime.fromtimestamp(epoch, UTC).timetuple()[:6]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(parts.items()):
            info = zipfile.ZipInfo(name, date)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (stat.S_IFREG | 0o600) << 16
            archive.writestr(info, content)

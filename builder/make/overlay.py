"""The overlay archive: every overlay's tree, rendered and relocated, in one deterministic tar."""

from __future__ import annotations

import io
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path

import jinja2

from builder.ask.overlay import Entry, Overlay
from builder.ask.plan import Plan
from builder.tools.errors import BadInput, StageFailed
from builder.tools.files import finished
from builder.tools.templates import text_templates

HOOKS = "/usr/lib/forja/apply.d"
ENTRIES = "/usr/lib/forja/entries.tsv"


@dataclass(frozen=True)
class Member:
    """One member of the archive: its place on the target, owner, mode and content (None: a folder)."""

    path: str
    mode: int
    owner: str
    content: bytes | None


def write_overlay(plan: Plan, path: Path) -> Path:
    """Write the overlay archive of a plan to `path`.

    The same plan gives the same bytes: members are sorted, times are SOURCE_DATE_EPOCH (0 when unset),
    owners are names that the target resolves.

    Raises:
        BadInput: a file that the site names can't be read.
        StageFailed: a template can't be rendered.
    """
    members = collect_members(plan)
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    with finished(path) as partial, tarfile.open(partial, "w", format=tarfile.GNU_FORMAT) as archive:
        for member in sorted(members, key=lambda member: member.path):
            info = tarfile.TarInfo(member.path.lstrip("/"))
            info.mode, info.mtime = member.mode, epoch
            info.uname, _, info.gname = member.owner.partition(":")
            if member.content is None:
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            else:
                info.size = len(member.content)
                archive.addfile(info, io.BytesIO(member.content))
        partial.chmod(0o600)  # a site may bring the key of its certificate
    return path


def collect_members(plan: Plan) -> list[Member]:
    """Return all that goes into the archive: files, folders, hooks, and the table of declared entries."""
    members: list[Member] = []
    table: list[str] = []
    for number, overlay in enumerate(plan.overlays):
        for entry in (*overlay.dirs, *overlay.files):
            content = None if entry in overlay.dirs else _content(plan, overlay, entry)
            if content is None and entry not in overlay.dirs:
                continue  # the site brings no such file
            target = plan.platform.path(entry.path)
            members.append(Member(target, int(entry.mode, 8), entry.owner, content))
            table.append(f"{entry.mode}\t{entry.owner}\t{entry.type}\t{target}\n")
        if overlay.hook:
            name = f"{HOOKS}/{number:02d}-{overlay.name}.sh"
            members.append(Member(name, 0o700, "root:root", overlay.hook.read_bytes()))
    members.append(Member(ENTRIES, 0o644, "root:root", "".join(sorted(table)).encode()))
    return members


def _content(plan: Plan, overlay: Overlay, entry: Entry) -> bytes | None:
    if entry.site is not None:
        section, _, key = entry.site.partition(".")
        brought: Path | None = getattr(getattr(plan.site, section), key)
        if brought is None:
            return None
        try:
            return (plan.site.source / brought).read_bytes()
        except OSError as error:
            raise BadInput(
                f"the site names {brought} as {entry.site}, which can't be read: {error.strerror}",
                hint="give a path that starts from the site file's folder",
            ) from error
    source = overlay.source(entry)
    if source.suffix != ".j2":
        return source.read_bytes()
    return _render(source, plan).encode()


def _render(source: Path, plan: Plan) -> str:
    try:
        return (
            text_templates(source.parent)
            .get_template(source.name)
            .render(plan=plan, profile=plan.profile, site=plan.site, platform=plan.platform)
        )
    except jinja2.TemplateError as error:
        line = getattr(error, "lineno", None)
        where = f"{source}:{line}" if line else str(source)
        raise StageFailed(f"{where} can't be rendered: {error}") from error

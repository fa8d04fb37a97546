"""The overlay archive: every overlay's tree, rendered and relocated, in one deterministic tar."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import jinja2
import jinja2.meta

from builder.ask.overlay import Entry, Overlay
from builder.ask.plan import Plan
from builder.ask.site import SERVERS_OWN, AdminSettings, Role, other_server
from builder.tools.errors import BadInput, StageFailed
from builder.tools.files import finished
from builder.tools.templates import text_templates

HOOKS = "/usr/lib/forja/apply.d"
ENTRIES = "/usr/lib/forja/entries.tsv"
SEEDABLE = "/usr/lib/forja/semilla.rutas"
"""The list of all that a seed may bring to a closed image."""
KEYS = "/authorized_keys"
IDENTITY = "/usr/lib/forja/imagen"
"""Which image a closed image is, for the seeds that are made for it."""


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
            content = None if entry in overlay.dirs else content_of(plan, overlay, entry)
            if content is None and entry not in overlay.dirs:
                continue  # the site brings no such file
            target = plan.platform.path(entry.path)
            members.append(Member(target, int(entry.mode, 8), entry.owner, content))
            table.append(f"{entry.mode}\t{entry.owner}\t{entry.type}\t{target}\n")
        if overlay.hook:
            name = f"{HOOKS}/{number:02d}-{overlay.name}.sh"
            members.append(Member(name, 0o700, "root:root", overlay.hook.read_bytes()))
    members.append(Member(ENTRIES, 0o644, "root:root", "".join(sorted(table)).encode()))
    if plan.closed:
        paths = "".join(f"{path}\n" for path in sorted(list_seedable(plan)))
        members.append(Member(SEEDABLE, 0o644, "root:root", paths.encode()))
        members.append(Member(IDENTITY, 0o644, "root:root", f"{identity_of(members)}\n".encode()))
    return members


def list_seedable(plan: Plan) -> set[str]:
    """Return the paths of all that a seed may bring to a closed image, and nothing else may be in it.

    Files that come out otherwise for another server, those that a site brings for a server, the network's,
    and the keys of people.
    """
    nobodys, others = plan.without_server, plan.model_copy(update={"site": other_server(plan.site)})
    found = set(plan.platform.network_files)
    for overlay in plan.overlays:
        for entry in overlay.files:
            if entry.site is not None:
                differs = entry.site.startswith(SERVERS_OWN)
            else:
                differs = depends_on_site(overlay.source(entry)) and (
                    content_of(nobodys, overlay, entry) != content_of(others, overlay, entry)
                )
            if differs:
                found.add(plan.platform.path(entry.path))
    return found | {f"/home/{person.user}/.ssh{name}" for person in people(plan) for name in ("", KEYS)}


def people(plan: Plan) -> tuple[AdminSettings | Role, ...]:
    """Return those whom the site lets in."""
    return (plan.site.admin, *plan.site.roles)


def identity_of(members: Iterable[Member]) -> str:
    """Return what tells an image from all that are made of anything else: a SHA-256 of all members."""
    digest = hashlib.sha256()
    for member in sorted(members, key=lambda member: member.path):
        content = "-" if member.content is None else hashlib.sha256(member.content).hexdigest()
        digest.update(f"{member.mode:o} {member.owner} {content} {member.path}\n".encode())
    return digest.hexdigest()


@functools.cache
def depends_on_site(source: Path) -> bool:
    """Say whether what a template makes can be another for another site."""
    if source.suffix != ".j2":
        return False
    tree = text_templates(source.parent).parse(source.read_text(encoding="utf-8"))
    return bool(jinja2.meta.find_undeclared_variables(tree) & {"site", "plan"})


def content_of(plan: Plan, overlay: Overlay, entry: Entry) -> bytes | None:
    """Return the content of an overlay's file, or None when the site brings no such file.

    Raises:
        BadInput: a file that the site names can't be read.
        StageFailed: a template can't be rendered.
    """
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

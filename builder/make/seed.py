"""Seeds: the small ISO that makes one server of a closed image (docs/reference/seed.md)."""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from builder.ask.overlay import read_overlay
from builder.ask.plan import Plan
from builder.ask.site import Site, image_keys, read_site
from builder.make.overlay import IDENTITY, KEYS, SEEDABLE, content_of, depends_on_site, people
from builder.tools.errors import BadInput
from builder.tools.files import finished, scratch
from builder.tools.process import run
from builder.tools.small_iso import small_iso
from builder.tools.templates import text_templates

LABEL = "FORJA_SEMILLA"
"""By which the image finds its seed: of letters that every volume id may have."""
SUFFIX = ".semilla.iso"
FORMAT = 1
TABLE, SUMS, SIGNATURE = "SEMILLA.TXT", "SUMAS.TXT", "FIRMA.BIN"
SCRATCH = Path(os.environ.get("TMPDIR", "/tmp"))  # noqa: S108

Sign = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Image:
    """A closed image as its build left it: its plan, which image it is, and its files."""

    plan: Plan
    identity: str
    seedable: frozenset[str]
    files: dict[str, bytes]


@dataclass(frozen=True)
class Row:
    """A line of the seed's table: what is at `path` afterwards; nothing when `content` is None."""

    path: str
    mode: str
    owner: str
    content: bytes | None
    folder: bool = False


def read_image(plan: Plan, overlay: Path) -> Image:
    """Return a closed image from its plan and its overlay archive, held against what this Forja would make.

    Raises:
        BadInput: it is not closed, its archive can't be read, or another state of Forja made it.
    """
    if not plan.closed:
        raise BadInput(
            f"{plan.name} holds its server's values, and takes no seed",
            hint="build it with --closed (CLOSED=1)",
        )
    try:
        with tarfile.open(overlay) as archive:
            files = {
                f"/{info.name}": file.read()
                for info in archive
                if (file := archive.extractfile(info)) is not None
            }
        identity, seedable = files[IDENTITY].decode().strip(), files[SEEDABLE].decode().split()
    except (OSError, tarfile.TarError, KeyError) as error:
        raise BadInput(
            f"{overlay} is not the overlay archive of a closed image", hint="keep plan.json and it together"
        ) from error
    # The folders of the overlays are those of the checkout that built it, which may be gone.
    here = plan.model_copy(update={"overlays": tuple(read_overlay(each.name) for each in plan.overlays)})
    for each in here.overlays:
        for entry in each.files:
            path = plan.platform.path(entry.path)
            if entry.site is None and files.get(path) != content_of(here, each, entry):
                raise BadInput(
                    f"{overlay}: {path} is not as this version of Forja makes it",
                    hint="make seeds with the version that built the image, or build the image again",
                )
    return Image(here, identity, frozenset(seedable), files)


def plan_server(image: Image, site: Path) -> Plan:
    """Return the plan of the server that a site file describes, made of a closed image.

    Raises:
        BadInput: the file is wrong, or differs from the image in what a seed can't change (all keys named).
    """
    wishes = read_site(site)
    try:
        return plan_site(image, wishes)
    except BadInput as error:
        raise BadInput(f"{site}: {error.message}", hint=error.hint) from error


def plan_site(image: Image, wishes: Site) -> Plan:
    """Return the plan of the server of a site; as `plan_server`."""
    mine, theirs = image_keys(wishes), image_keys(image.plan.site)
    wrong = sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))
    if wrong:
        raise BadInput(
            f"{', '.join(wrong)}: not as in the image, and no seed's to change",
            hint="give it the image's value, or build an image for it",
        )
    return image.plan.for_server(wishes)


def write_seed(image: Image, server: Plan, path: Path, sign: Sign | None = None) -> Path:
    """Write the seed that makes `server` of `image` to `path`, mode 0600; the same server, the same bytes.

    Args:
        server: of `plan_server`.
        sign: gives the signature of the list of sums; none for an image without `[seed] key`.

    Raises:
        BadInput: a file that the site names can't be read; a file outside /etc would differ; or the image
            wants a signature and there is no `sign`.
        StageFailed: a template can't be rendered.
    """
    if server.site.seed.key is not None and sign is None:
        raise BadInput("the image takes signed seeds only (seed.key)", hint="--sign-key FILE")
    files = pack_seed(image, server)
    if sign is not None:
        files[SIGNATURE] = sign(files[SUMS])
    with finished(path) as partial:
        partial.touch(mode=0o600)
        partial.chmod(0o600)
        partial.write_bytes(small_iso(LABEL, files))
    return path


def pack_seed(image: Image, server: Plan) -> dict[str, bytes]:
    """Return the files of a seed, by their names in it."""
    files: dict[str, bytes] = {}
    lines = [f"formato {FORMAT}", f"imagen {image.identity}", f"servidor {server.site.host.name}"]
    for row in sorted(list_rows(image, server), key=lambda row: row.path):
        source = "/" if row.folder else "-"
        if row.content is not None and not row.folder:
            source = f"f{len(files) + 1:03d}.dat"
            files[source.upper()] = row.content
        lines.append("\t".join((row.mode, row.owner, source, row.path)))
    files[TABLE] = ("\n".join(lines) + "\n").encode()
    sums = (
        f"{hashlib.sha256(content).hexdigest()}  {name.lower()}\n" for name, content in sorted(files.items())
    )
    files[SUMS] = "".join(sums).encode()
    return files


def list_rows(image: Image, server: Plan) -> list[Row]:
    """Return all that a seed makes: files that depend on the site, the network's, and the keys of people."""
    rows = []
    for overlay in server.overlays:
        for entry in overlay.files:
            if entry.site is None and not depends_on_site(overlay.source(entry)):
                continue
            path, content = server.platform.path(entry.path), content_of(server, overlay, entry)
            if path in image.seedable:
                rows.append(Row(path, entry.mode, entry.owner, content))
            elif content != image.files.get(path):
                raise BadInput(
                    f"{path} would not be as in the image, and no seed may bring it",
                    hint="build an image for this site",
                )
    for path, template in server.platform.network_files.items():
        text = text_templates(Path("/")).from_string(template).render(site=server.site)
        rows.append(Row(path, "0644", "root:root", text.encode()))
    for person in people(server):
        home, owner = f"/home/{person.user}/.ssh", f"{person.user}:{person.user}"
        keys = "".join(f"{key}\n" for key in person.ssh_keys)
        rows.append(Row(home, "0700", owner, b"", folder=True))
        rows.append(Row(f"{home}{KEYS}", "0600", owner, keys.encode()))
    return rows


def file_name(server: Plan) -> str:
    """Return the name of a server's seed: as in a fleet, where names that differ by case are one."""
    return f"{server.site.host.name.lower()}{SUFFIX}"


def signer(key: Path) -> Sign:
    """Return what signs with a private key (PEM; EC or RSA), as the image checks it: openssl dgst -sha384.

    Raises:
        BadInput: there is no such file.
    """
    if not key.is_file():
        raise BadInput(f"the key {key} does not exist", hint="check --sign-key")

    def sign(content: bytes) -> bytes:
        with scratch(SCRATCH, "semilla") as folder:
            (folder / "sums").write_bytes(content)
            argv: list[str | Path] = [
                "openssl",
                "dgst",
                "-sha384",
                "-sign",
                key,
                "-out",
                folder / "signature",
                folder / "sums",
            ]
            run(argv, doing=f"sign the seed with {key}")
            return (folder / "signature").read_bytes()

    return sign

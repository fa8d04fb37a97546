"""The seeds of a closed image: of its servers, and of the copy that it is verified as."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from builder.ask.plan import Plan
from builder.make.seed import Image, Sign, file_name, plan_server, read_image, signer, write_seed
from builder.make.verification import Seeder
from builder.room import Room
from builder.tools.errors import BadInput


def open_image(room: Room, sign_key: Path | None) -> tuple[Image, Sign | None]:
    """Return the closed image of a room, and what signs its seeds, if they are signed.

    Raises:
        BadInput: there is no closed image, or no such key.
    """
    return read_image(room.plan, room.path("overlay")), None if sign_key is None else signer(sign_key)


def make_seeder(room: Room, sign_key: Path | None) -> Seeder | None:
    """Return what makes a copy of a closed image the server of `server.json`; nothing for another image.

    Raises:
        BadInput: as `open_image`.
    """
    if not room.plan.closed:
        return None
    image, sign = open_image(room, sign_key)
    server = room.server

    def seed(public_key: str, path: Path) -> Path:
        keys = (*server.site.admin.ssh_keys, public_key)
        admin = server.site.admin.model_copy(update={"ssh_keys": keys})
        site = server.site.model_copy(update={"admin": admin})
        return write_seed(image, server.model_copy(update={"site": site}), path, sign)

    return seed


def write_seeds(folder: Path, sites: Sequence[Path], output: Path, sign_key: Path | None) -> Iterator[Path]:
    """Write the seed of each site's server for the closed image in `folder`, and give its path.

    All sites are checked before the first seed is written.

    Raises:
        BadInput: there is no closed image, a site is wrong or is no server of it, or two have one name.
    """
    image, sign = open_image(Room.at(folder), sign_key)
    servers: dict[str, tuple[Path, Plan]] = {}
    for site in sites:
        server = plan_server(image, site)
        other, _ = servers.setdefault(file_name(server), (site, server))
        if other is not site:
            raise BadInput(f"{other} and {site} both name the server {server.site.host.name}")
    for name, (_, server) in servers.items():
        yield write_seed(image, server, output / name, sign)

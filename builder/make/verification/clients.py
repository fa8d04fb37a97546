"""Where clients of the relay speak from: one address of each class that the site's networks make."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

from builder.ask.plan import Plan

DOCUMENTATION = tuple(IPv4Network(text) for text in ("203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24"))
"""Networks that belong to nobody (RFC 5737): an outsider comes from one of them."""


def choose_clients(plan: Plan) -> dict[str, str | None]:
    """Return an address for each class of client, or None where the site leaves none.

    Classes: `relay` may relay to anywhere; `peer` reaches port 25 and may not; `submission` reaches port 587;
    `admin` reaches SSH; `outsider` is in no network of the site. The server's own subnet is avoided where it
    can be: a guest looks for neighbours by ARP, which only its gateway answers here.
    """
    site = plan.site
    own = [site.network.address.network]
    everything = [*site.mail.networks, *site.mail.peers, *site.mail.submission, *site.admin.networks, *own]
    return {
        "relay": pick(site.mail.networks, own, site.network.gateway),
        "peer": pick(
            site.mail.peers,
            [*own, *site.mail.networks, *site.admin.networks, *site.mail.submission],
            site.network.gateway,
        ),
        "submission": pick(site.mail.submission, own, site.network.gateway),
        "admin": pick(site.admin.networks, own, site.network.gateway),
        "outsider": pick(DOCUMENTATION, everything, None),
    }


def pick(
    inside: Iterable[IPv4Network], outside: Iterable[IPv4Network], gateway: IPv4Address | None
) -> str | None:
    """Return the first host address that lies in one of `inside` and in none of `outside`.

    Failing that, the gateway's, if it is in `inside`; failing that, None.
    """
    inside, outside = list(inside), list(outside)
    for network in inside:
        rest = [network]
        for taken in outside:
            rest = [part for piece in rest for part in _without(piece, taken)]
        for piece in rest:
            hosts = piece.hosts()
            for address in hosts:
                return str(address)
    if gateway is not None and any(gateway in network for network in inside):
        return str(gateway)
    return None


def _without(piece: IPv4Network, taken: IPv4Network) -> list[IPv4Network]:
    if not piece.overlaps(taken):
        return [piece]
    if piece.subnet_of(taken):
        return []
    return sorted(piece.address_exclude(taken))

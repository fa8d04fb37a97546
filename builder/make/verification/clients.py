"""Where the relay's neighbours are: one address of each class that the site's networks make."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from builder.ask.plan import Plan
from builder.ask.site import Site

DOCUMENTATION = tuple(IPv4Network(text) for text in ("203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24"))
"""Networks that belong to nobody (RFC 5737): an outsider comes from one of them."""


def choose_clients(plan: Plan) -> dict[str, str | None]:
    """Return an address for each class of neighbour, or None where the site leaves none.

    Classes: `relay` may relay to anywhere; `peer` reaches port 25 and may not; `submission` reaches port
    587; `admin` reaches SSH; `outsider` is in no network of the site. `crowd` and `guesser` are a second
    peer and a second submission client, for tests that use up what one client is allowed. `next-hop` takes
    the mail that leaves. The server's own subnet is avoided where it can be: a guest looks for neighbours
    by ARP, which only its gateway answers here.
    """
    site = plan.site
    own, gateway = [site.network.address.network], site.network.gateway
    everything = [*site.mail.networks, *site.mail.peers, *site.mail.submission, *site.admin.networks, *own]
    strange = [*own, *site.mail.networks, *site.admin.networks, *site.mail.submission]
    peer = pick(site.mail.peers, strange, gateway)
    submission = pick(site.mail.submission, own, gateway)
    return {
        "relay": pick(site.mail.networks, own, gateway),
        "peer": peer,
        "crowd": pick(site.mail.peers, [*strange, *_host(peer)], None),
        "submission": submission,
        "guesser": pick(site.mail.submission, [*own, *_host(submission)], None),
        "admin": pick(site.admin.networks, own, gateway),
        "outsider": pick(DOCUMENTATION, everything, None),
        "next-hop": choose_next_hop(site),
    }


def choose_next_hop(site: Site) -> str | None:
    """Return the address at which the relay's next hop can be stood for, or None if it can't.

    That is the relay host's, if the site gives an address; else one of nobody's, to which the site's name
    servers, stood for as well, send the mail. None of them can be in the server's own subnet.
    """
    own = site.network.address.network
    host = (site.mail.relayhost or "").partition("]")[0].partition(":")[0].lstrip("[")
    try:
        address = IPv4Address(host)
    except AddressValueError:
        outside = [own, *(IPv4Network(server) for server in site.network.dns)]
        stood_at = pick(DOCUMENTATION[1:], [*outside, *site.mail.peers, *site.mail.networks], None)
    else:
        stood_at = None if address in own else str(address)
    return None if any(server in own for server in site.network.dns) else stood_at


def _host(address: str | None) -> list[IPv4Network]:
    return [IPv4Network(address)] if address else []


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
            for address in piece.hosts():
                if network.prefixlen > 30 or address not in (network[0], network[-1]):
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

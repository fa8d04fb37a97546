"""The site: what only the organisation knows, read from the person's TOML file."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, field_validator, model_validator

from builder.ask.reading import REPOSITORY, Frozen, read_toml
from builder.ask.words import (
    Address,
    CryptHash,
    DnsAnswers,
    DomainName,
    Fingerprint,
    FullName,
    GrubHash,
    HostOrAddress,
    Interface,
    MirrorUrl,
    Network,
    NextHop,
    RepositoryId,
    RepositoryUrl,
    Selector,
    SshKey,
    UserName,
)

EXAMPLE = REPOSITORY / "kickstarts" / "sites" / "ejemplo.toml"


SYSTEM_ACCOUNTS = {
    *("root", "postfix", "postmaster", "daemon", "bin", "mail", "nobody", "operator", "chrony", "sshd"),
    *("amavis", "clamav", "opendkim", "policyd-spf", "sudo", "wheel"),
    *("correo", "correo-admin", "correo-auditor"),
}
"""Names that packages, aliases and groups take: as a person's they would mean something else."""


def _no_system_account(value: str) -> str:
    if value in SYSTEM_ACCOUNTS:
        raise ValueError("is a system account, group or alias; choose another name")
    return value


PersonName = Annotated[UserName, AfterValidator(_no_system_account)]


class HostSettings(Frozen):
    """`[host]`: the name of the server (guide 6.4.1)."""

    name: Annotated[DomainName, Field(max_length=64)]
    """Linux takes no longer one (hostname(7))."""


class NetworkSettings(Frozen):
    """`[network]`: the one interface of the relay."""

    address: Interface
    gateway: Address
    dns: tuple[Address, ...] = Field(min_length=1, max_length=3)
    ipv6: bool = False
    """Whether the system speaks IPv6 at all; its addresses are given by hand."""

    @model_validator(mode="after")
    def _gateway_is_a_neighbour(self) -> Self:
        if self.gateway not in self.address.network:
            raise ValueError(f"gateway {self.gateway} is not in {self.address.network}")
        if self.gateway == self.address.ip:
            raise ValueError("gateway is the server's own address")
        return self


class TimeSettings(Frozen):
    """`[time]`: where the clock comes from; without servers the hypervisor's or hardware's clock rules."""

    servers: tuple[HostOrAddress, ...] = ()


class AdminSettings(Frozen):
    """`[admin]`: the one person who may log in and become root by sudo."""

    user: PersonName
    full_name: FullName
    ssh_keys: tuple[SshKey, ...] = Field(min_length=1)
    password_hash: CryptHash
    networks: tuple[Network, ...] = Field(min_length=1)


class Role(Frozen):
    """`[[roles]]`: a further person who may log in, and what for (guide 6.5 m)."""

    user: PersonName
    full_name: FullName
    role: Literal["sistema", "correo", "auditor"]
    ssh_keys: tuple[SshKey, ...] = Field(min_length=1)
    password_hash: CryptHash


class BootSettings(Frozen):
    """`[boot]`: the password that the boot loader asks for before its entries can be edited."""

    password_hash: GrubHash


class MailRoute(Frozen):
    """`[[mail.routes]]`: a destination that is reached by a server of its own, before `relayhost` and MX."""

    domain: DomainName
    next_hop: NextHop


class DnsList(Frozen):
    """`[[mail.dns_lists]]`: a DNS list that postscreen asks about unknown clients (guide 6.5.7)."""

    zone: DomainName
    answers: DnsAnswers | None = None
    """The answers that count, as postscreen_dnsbl_sites writes them; all when there is none."""
    weight: int = Field(default=1, ge=-100, le=100)
    """What an answer adds to a client's score; less than zero for a list of trusted ones."""

    @property
    def entry(self) -> str:
        """The list as postscreen_dnsbl_sites writes it."""
        return f"{self.zone}{f'={self.answers}' if self.answers else ''}*{self.weight}"


class MailSettings(Frozen):
    """`[mail]`: who may use the relay, for which domains, and where mail goes (guide 6.4)."""

    domain: DomainName
    relay_domains: tuple[DomainName, ...] = Field(min_length=1)
    networks: Annotated[tuple[Network, ...], Field(min_length=1)]
    """Clients that may relay to any destination: Postfix's mynetworks."""
    peers: Annotated[tuple[Network, ...], Field(min_length=1)]
    """Networks from which the firewall lets port 25 in; others don't reach Postfix at all."""
    submission: tuple[Network, ...] = ()
    """Networks from which the firewall lets port 587 in."""
    relayhost: NextHop | None = None
    """Indirect delivery (guide 6.4.2); None delivers directly by MX."""
    routes: tuple[MailRoute, ...] = ()
    """Postfix's transport table (guide 6.4.2): the inner servers of `relay_domains`, closed networks."""
    dns_lists: tuple[DnsList, ...] = ()
    """DNS lists for postscreen, where the profile allows them."""
    dns_lists_threshold: int = Field(default=1, ge=1, le=100)
    """The score from which a client is refused."""
    message_limit_mib: int = Field(default=25, ge=1, le=200)

    @field_validator("networks")
    @classmethod
    def _not_everybody(cls, value: tuple[Network, ...]) -> tuple[Network, ...]:
        if any(network.prefixlen == 0 for network in value):
            raise ValueError("holds 0.0.0.0/0, which would make an open relay")
        return value

    @field_validator("routes")
    @classmethod
    def _one_way_a_domain(cls, value: tuple[MailRoute, ...]) -> tuple[MailRoute, ...]:
        names = [route.domain.lower() for route in value]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"the domain '{twice[0]}' has two ways")
        return value

    @model_validator(mode="after")
    def _lists_can_reach_the_threshold(self) -> Self:
        reached = sum(max(item.weight, 0) for item in self.dns_lists)
        if self.dns_lists and reached < self.dns_lists_threshold:
            raise ValueError(f"dns_lists_threshold is more than all lists together give ({reached})")
        return self


class TlsSettings(Frozen):
    """`[tls]`: certificate, key and CA as PEM files; with none, a certificate is made at first boot."""

    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None

    @model_validator(mode="after")
    def _certificate_and_key_go_together(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key must be given together")
        return self


class DkimSettings(Frozen):
    """`[dkim]`: the selector, and a key that is in use already; with none, one is made at first boot."""

    selector: Selector = "forja"
    key: Path | None = None


class AntivirusSettings(Frozen):
    """`[antivirus]`: the organisation's own mirror of virus signatures, for the overlay freshclam."""

    mirror: MirrorUrl | None = None


class LogSettings(Frozen):
    """`[logs]`: the collector of the site, if it has one, and what both ends prove themselves with."""

    server: HostOrAddress | None = None
    port: int = Field(default=6514, ge=1, le=65535)
    name: DomainName | None = None
    """Name in the collector's certificate, where that is not `server`."""
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @model_validator(mode="after")
    def _what_belongs_together(self) -> Self:
        if self.server is not None and self.ca is None:
            raise ValueError("server needs ca: logs are sent under TLS only")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key must be given together")
        return self


class Repository(Frozen):
    """`[[updates.repositories]]`: a repository of the organisation."""

    id: RepositoryId
    baseurl: RepositoryUrl


class UpdateSettings(Frozen):
    """`[updates]`: where updates come from (guide 6.5 l); with no repository people bring them."""

    repositories: tuple[Repository, ...] = ()
    keys: Path | None = None
    """All public keys that their packages are signed with, in one file."""

    @model_validator(mode="after")
    def _packages_are_signed(self) -> Self:
        names = [repository.id for repository in self.repositories]
        if names and self.keys is None:
            raise ValueError("repositories need keys: only signed packages are installed")
        if len(set(names)) < len(names):
            raise ValueError("two repositories have one id")
        return self


class OwnKey(Frozen):
    """`[[packages.own_keys]]`: the exception for RPMs that the organisation built and signed itself."""

    file: Path
    fingerprint: Fingerprint
    packages: tuple[str, ...] = Field(min_length=1)
    """Names of the packages that it may sign; `*` and `?` as in a shell."""


class PackageSettings(Frozen):
    """`[packages]`: whose RPMs may be installed, besides those that the medium's own vendor signed."""

    keys: tuple[Path, ...] = ()
    """Public keys of vendors that the platform knows by fingerprint, such as EPEL's."""
    own_keys: tuple[OwnKey, ...] = ()


class DiskEncryptionSettings(Frozen):
    """`[disk_encryption]`: what the volumes with mail are unlocked with once somebody has encrypted them."""

    data_volumes: Literal["passphrase", "tpm"] | None = None


class SeedSettings(Frozen):
    """`[seed]`: whose seeds a closed image takes; with no key, anybody's who may put in a CD."""

    key: Path | None = None


class Site(Frozen):
    """What only the organisation knows. `source` is the folder that relative paths in the file start from."""

    source: Path
    host: HostSettings
    network: NetworkSettings
    time: TimeSettings = TimeSettings()
    admin: AdminSettings
    roles: tuple[Role, ...] = ()
    boot: BootSettings
    mail: MailSettings
    tls: TlsSettings = TlsSettings()
    dkim: DkimSettings = DkimSettings()
    antivirus: AntivirusSettings = AntivirusSettings()
    logs: LogSettings = LogSettings()
    updates: UpdateSettings = UpdateSettings()
    packages: PackageSettings = PackageSettings()
    disk_encryption: DiskEncryptionSettings = DiskEncryptionSettings()
    seed: SeedSettings = SeedSettings()
    fips: bool = False
    """Whether the system runs in FIPS mode: from the installation on, or not at all."""

    @model_validator(mode="after")
    def _fips_has_no_ed25519(self) -> Self:
        keys = [key for person in self.roles for key in person.ssh_keys] + list(self.admin.ssh_keys)
        if self.fips and any(key.startswith("ssh-ed25519 ") for key in keys):
            raise ValueError("fips: nobody can log in with an ssh-ed25519 key; use ecdsa-sha2-nistp384")
        return self

    @model_validator(mode="after")
    def _one_account_a_person(self) -> Self:
        names = [self.admin.user, *(person.user for person in self.roles)]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"roles: the account '{twice[0]}' is there twice")
        return self


def read_site(path: Path | None) -> Site:
    """Return the site of a file, or the example when there is none.

    Raises:
        BadInput: the file is missing or a key in it is unknown, missing or wrong.
    """
    path = path or EXAMPLE
    return read_toml(path, Site, what="site", source=path.resolve().parent)


NOBODY = "cerrado.invalid"
"""The name of a server that is none (RFC 6761, 6.4)."""
SERVERS_OWN = (
    *("host.", "network.address", "network.gateway", "network.dns", "time.", "admin.ssh_keys"),
    *("admin.networks", "mail.", "tls.", "dkim.", "logs.server", "logs.name", "logs.ca"),
    *("logs.certificate", "logs.key"),
)
"""Keys (those that end in a dot: all below them) whose values a seed brings; and each role's ssh_keys."""


def without_server(site: Site) -> Site:
    """Return a site with nothing in it that is a server's own: what a closed image is built with.

    Addresses are of RFC 5737, which nobody has. The keys of people stay in the record, which needs them, and
    are not put into the image.
    """
    nowhere, itself = IPv4Interface("192.0.2.2/24"), (IPv4Network("192.0.2.2/32"),)
    network = {"address": nowhere, "gateway": IPv4Address("192.0.2.1"), "dns": (IPv4Address("192.0.2.1"),)}
    return site.model_copy(
        update={
            "host": HostSettings(name=NOBODY),
            "network": site.network.model_copy(update=network),
            "time": TimeSettings(),
            "admin": site.admin.model_copy(update={"networks": itself}),
            "mail": MailSettings(domain=NOBODY, relay_domains=(NOBODY,), networks=itself, peers=itself),
            "tls": TlsSettings(),
            "dkim": DkimSettings(),
            "logs": LogSettings(port=site.logs.port),
        }
    )


def other_server(site: Site) -> Site:
    """Return a site all of whose server's own values are others than `without_server` gives it.

    What is rendered otherwise for it is what a seed has to bring. It is nobody's, and never leaves here.
    """
    nobodys, elsewhere = "sonda.invalid", (IPv4Network("198.51.100.0/24"),)
    network = {
        "address": IPv4Interface("198.51.100.2/24"),
        "gateway": IPv4Address("198.51.100.1"),
        "dns": (IPv4Address("198.51.100.3"),),
    }
    file = Path("sonda")
    mail = MailSettings(
        domain=nobodys,
        relay_domains=(nobodys, NOBODY),
        networks=elsewhere,
        peers=elsewhere,
        submission=elsewhere,
        relayhost=f"[{nobodys}]:25",
        routes=(MailRoute(domain=nobodys, next_hop=f"[{nobodys}]:25"),),
        dns_lists=(DnsList(zone=nobodys, weight=2),),
        dns_lists_threshold=2,
        message_limit_mib=1,
    )
    return site.model_copy(
        update={
            "host": HostSettings(name=nobodys),
            "network": site.network.model_copy(update=network),
            "time": TimeSettings(servers=(nobodys,)),
            "admin": site.admin.model_copy(update={"networks": elsewhere}),
            "mail": mail,
            "tls": TlsSettings(certificate=file, key=file, ca=file),
            "dkim": DkimSettings(selector="sonda", key=file),
            "logs": LogSettings(
                server=nobodys, port=site.logs.port, name=nobodys, ca=file, certificate=file, key=file
            ),
        }
    )


def image_keys(site: Site) -> dict[str, object]:
    """Return what of a site is in an image and no seed's to change: dotted key -> value.

    A path counts by its name: what lies there is compared as the file that it becomes.
    """
    found: dict[str, object] = {}

    def walk(value: object, key: str) -> None:
        if isinstance(value, BaseModel):
            for name in type(value).model_fields:
                walk(getattr(value, name), f"{key}.{name}" if key else name)
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            for number, item in enumerate(value):
                walk(item, f"{key}.{number}")
        elif not key.startswith(SERVERS_OWN) and not re.fullmatch(r"roles\.\d+\.ssh_keys|source", key):
            found[key] = value.name if isinstance(value, Path) else value

    walk(site, "")
    return {key: value for key, value in found.items() if value not in ((), None)}

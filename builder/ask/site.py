"""The site: what only the organisation knows, read from the person's TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from builder.ask.reading import REPOSITORY, Frozen, read_toml
from builder.ask.words import (
    Address,
    CryptHash,
    DomainName,
    Fingerprint,
    FullName,
    GrubHash,
    HostOrAddress,
    Interface,
    Network,
    NextHop,
    Selector,
    SshKey,
    UserName,
)

EXAMPLE = REPOSITORY / "kickstarts" / "sites" / "ejemplo.toml"


class HostSettings(Frozen):
    """`[host]`: the name of the server (guide 6.4.1)."""

    name: DomainName


class NetworkSettings(Frozen):
    """`[network]`: the one interface of the relay."""

    address: Interface
    gateway: Address
    dns: tuple[Address, ...] = Field(min_length=1, max_length=3)

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

    user: UserName
    full_name: FullName
    ssh_keys: tuple[SshKey, ...] = Field(min_length=1)
    password_hash: CryptHash
    networks: tuple[Network, ...] = Field(min_length=1)

    @field_validator("user")
    @classmethod
    def _not_a_system_account(cls, value: str) -> str:
        if value in {
            "root",
            "postfix",
            "postmaster",
            "daemon",
            "bin",
            "mail",
            "nobody",
            "operator",
            "chrony",
            "sshd",
        }:
            raise ValueError("is a system account or alias; choose another name")
        return value


class BootSettings(Frozen):
    """`[boot]`: the password that the boot loader asks for before its entries can be edited."""

    password_hash: GrubHash


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
    message_limit_mib: int = Field(default=25, ge=1, le=200)

    @field_validator("networks")
    @classmethod
    def _not_everybody(cls, value: tuple[Network, ...]) -> tuple[Network, ...]:
        if any(network.prefixlen == 0 for network in value):
            raise ValueError("holds 0.0.0.0/0, which would make an open relay")
        return value


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


class LogSettings(Frozen):
    """`[logs]`: the collector of the site, if it has one."""

    server: HostOrAddress | None = None


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


class Site(Frozen):
    """What only the organisation knows. `source` is the folder that relative paths in the file start from."""

    source: Path
    host: HostSettings
    network: NetworkSettings
    time: TimeSettings = TimeSettings()
    admin: AdminSettings
    boot: BootSettings
    mail: MailSettings
    tls: TlsSettings = TlsSettings()
    dkim: DkimSettings = DkimSettings()
    logs: LogSettings = LogSettings()
    packages: PackageSettings = PackageSettings()


def read_site(path: Path | None) -> Site:
    """Return the site of a file, or the example when there is none.

    Raises:
        BadInput: the file is missing or a key in it is unknown, missing or wrong.
    """
    path = path or EXAMPLE
    return read_toml(path, Site, what="site", source=path.resolve().parent)

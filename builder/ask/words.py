"""The kinds of value that may enter a configuration file, each closed against breaking out of its line."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, Field, PlainSerializer, WithJsonSchema
from pydantic.functional_validators import BeforeValidator

SECRET = Field(repr=False)
"""Left out wherever the settings are shown: a failed test writes them into its log and the report."""

LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"


def _matching(pattern: str, meaning: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(f"must be {meaning}")
        return value

    return AfterValidator(check)


DomainName = Annotated[
    str, _matching(rf"(?=.{{1,253}}$)(?:{LABEL}\.)+[A-Za-z]{{2,63}}", "a domain name such as ejemplo.es")
]
"""A fully qualified domain name by RFC 1123: at least two labels, no trailing dot."""

UserName = Annotated[
    str, _matching(r"[a-z_][a-z0-9_-]{0,30}", "a lower-case user name of at most 31 characters")
]
"""A POSIX user name as useradd(8) takes it."""

MailUser = Annotated[str, _matching(r"[a-z0-9][a-z0-9._-]{0,62}", "the local part of a mail address")]

Selector = Annotated[
    str,
    _matching(rf"(?=.{{1,63}}$){LABEL}(?:\.{LABEL})*", "a DKIM selector: letters, digits and hyphens"),
]
"""A DKIM selector (RFC 6376, 3.1): one or more labels of DNS."""

FullName = Annotated[
    str,
    _matching(r"[\w][\w .,()-]{0,60}", "a plain name: letters, digits, spaces and .,()- only"),
]
"""A person's name (GECOS): no colon, quote, percent sign, backslash or line break."""

CryptHash = Annotated[
    str,
    _matching(
        r"\$6\$(?:rounds=\d{4,9}\$)?[./0-9A-Za-z]{8,16}\$[./0-9A-Za-z]{86}",
        "a SHA-512 crypt hash ($6$...), made by: openssl passwd -6",
    ),
    SECRET,
]
"""A SHA-512 crypt(5) hash with a salt of at least 8 characters."""

Fingerprint = Annotated[
    str,
    BeforeValidator(lambda value: re.sub(r"[\s:]", "", value).upper() if isinstance(value, str) else value),
    _matching(r"[0-9A-F]{40}", "the 40 hexadecimal digits of a key's fingerprint (gpg --show-keys FILE)"),
]
"""The version 4 fingerprint of an OpenPGP key (RFC 4880, 12.2); blanks are taken out."""

GrubHash = Annotated[
    str,
    _matching(
        r"grub\.pbkdf2\.sha512\.[1-9]\d{3,8}\.[0-9A-F]{64,}\.[0-9A-F]{64,}",
        "a GRUB hash (grub.pbkdf2.sha512...), made by: grub2-mkpasswd-pbkdf2",
    ),
    SECRET,
]

SshKey = Annotated[
    str,
    _matching(
        r"(?:ssh-ed25519|ecdsa-sha2-nistp(?:256|384|521)|ssh-rsa)"
        r" [A-Za-z0-9+/]{40,}={0,2}(?: [\w@.-]{1,60})?",
        "an OpenSSH public key (ssh-ed25519, ecdsa-sha2-* or ssh-rsa), with no options before it",
    ),
]
"""One line of an id_*.pub file, without authorized_keys options."""


def _as_string(value: object) -> object:
    return str(value) if isinstance(value, (ipaddress.IPv4Network, ipaddress.IPv4Address)) else value


_plain = PlainSerializer(str, return_type=str)

Address = Annotated[ipaddress.IPv4Address, _plain, WithJsonSchema({"type": "string"})]
Network = Annotated[
    ipaddress.IPv4Network, _plain, WithJsonSchema({"type": "string"}), BeforeValidator(_as_string)
]
Interface = Annotated[ipaddress.IPv4Interface, _plain, WithJsonSchema({"type": "string"})]
"""An address with the length of its network's prefix, such as 10.20.30.10/24."""


def _next_hop(value: str) -> str:
    host, _, port = value.partition(":")
    inner = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        ipaddress.IPv4Address(inner)
    except ValueError:
        if not re.fullmatch(rf"(?:{LABEL}\.)+[A-Za-z]{{2,63}}", inner):
            raise ValueError("must be a next hop such as [mx.ejemplo.es]:25") from None
    if port and not (port.isdigit() and 0 < int(port) < 65536):
        raise ValueError("has a port that is not between 1 and 65535")
    return value


NextHop = Annotated[str, AfterValidator(_next_hop)]
"""A relayhost as postconf(5) writes it: a name or address, in [] to skip the MX look-up, with a port."""


def _dns_answers(value: str) -> str:
    octet = r"(?:\d{1,3}|\[\d{1,3}(?:\.\.\d{1,3})?(?:;\d{1,3}(?:\.\.\d{1,3})?)*\])"
    if not re.fullmatch(rf"127(?:\.{octet}){{3}}", value):
        raise ValueError("must be answers of a DNS list such as 127.0.0.[2..11]")
    if any(int(number) > 255 for number in re.findall(r"\d+", value)):
        raise ValueError("has a number over 255")
    if any(int(low) > int(high) for low, high in re.findall(r"(\d+)\.\.(\d+)", value)):
        raise ValueError("has a range that runs backwards")
    return value


DnsAnswers = Annotated[str, AfterValidator(_dns_answers)]
"""A filter of postscreen_dnsbl_sites (postconf(5)): an address of 127/8, with numbers and ranges in []."""


def _time_source(value: str) -> str:
    try:
        ipaddress.IPv4Address(value)
    except ValueError:
        if not re.fullmatch(rf"(?:{LABEL}\.)+[A-Za-z]{{2,63}}", value):
            raise ValueError("must be an address or a domain name") from None
    return value


HostOrAddress = Annotated[str, AfterValidator(_time_source)]

RepositoryId = Annotated[
    str, _matching(r"[a-z0-9][a-z0-9._-]{0,62}", "a repository's id: lower-case letters, digits and ._-")
]

MirrorUrl = Annotated[
    str,
    _matching(
        rf"https://(?:{LABEL}\.)*{LABEL}(?::\d{{1,5}})?(?:/[A-Za-z0-9._~+-]+)*",
        "an https:// address of plain letters, digits and ._~+-, without a slash at its end",
    ),
]
"""Where freshclam fetches virus signatures from."""

RepositoryUrl = Annotated[
    str,
    _matching(
        rf"(?:https://(?:{LABEL}\.)*{LABEL}(?::\d{{1,5}})?|file://)(?:/[A-Za-z0-9._~+-]+)*/?",
        "an https:// or file:/// address of plain letters, digits and ._~+-",
    ),
]
"""Where a repository lies. Not http://: signatures cover packages, not the list of those that there are."""

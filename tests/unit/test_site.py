"""A wrong site file is refused with file and key, and nothing in it breaks out of its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from builder.ask.site import EXAMPLE, read_site
from builder.tools.errors import BadInput


def write_site(folder: Path, old: str, new: str) -> Path:
    text = EXAMPLE.read_text(encoding="utf-8")
    assert old in text
    path = folder / "site.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


def test_the_example_works() -> None:
    site = read_site(None)
    assert site.host.name == "relay.ejemplo.es"
    assert str(site.network.address.netmask) == "255.255.255.0"


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('name = "relay.ejemplo.es"', 'name = "relay ejemplo.es"', "host.name"),
        ('name = "relay.ejemplo.es"', 'name = "relay.ejemplo.es\\n%post"', "host.name"),
        ('name = "relay.ejemplo.es"', 'name = "relay.ejemplo.es%"', "host.name"),
        ('name = "relay.ejemplo.es"', "name = 'relay\".ejemplo.es'", "host.name"),
        ('name = "relay.ejemplo.es"', 'name = "relay"', "host.name"),
        ('name = "relay.ejemplo.es"', 'name = "-relay.ejemplo.es"', "host.name"),
        ('full_name = "Administrador del sistema"', 'full_name = "A\\" --groups=x"', "admin.full_name"),
        ('full_name = "Administrador del sistema"', 'full_name = "A:B"', "admin.full_name"),
        ('full_name = "Administrador del sistema"', 'full_name = "A\\nB"', "admin.full_name"),
        ('full_name = "Administrador del sistema"', 'full_name = "$(reboot)"', "admin.full_name"),
        ('user = "administrador"', 'user = "root"', "admin.user"),
        ('user = "administrador"', 'user = "Admin"', "admin.user"),
        ('user = "administrador"', 'user = "a --lock"', "admin.user"),
        ("password_hash = '$6$", "password_hash = 'secreto$6$", "admin.password_hash"),
        ('"ssh-ed25519 ', '"command=\\"sh\\" ssh-ed25519 ', "admin.ssh_keys"),
        ("ejemplo-sin-clave-privada", "a\\nssh-rsa", "admin.ssh_keys"),
        ('address = "10.20.30.10/24"', 'address = "10.20.30.300/24"', "network.address"),
        ('gateway = "10.20.30.1"', 'gateway = "10.20.31.1"', "network"),
        ('gateway = "10.20.30.1"', 'gateway = "10.20.30.10"', "network"),
        ('networks = ["10.20.40.0/24"]', 'networks = ["0.0.0.0/0"]', "mail.networks"),
        ('networks = ["10.20.40.0/24"]', 'networks = ["10.20.40.1/24"]', "mail.networks"),
        ('relayhost = "[mx.ejemplo.es]:25"', 'relayhost = "[mx.ejemplo.es]:99999"', "mail.relayhost"),
        ('relayhost = "[mx.ejemplo.es]:25"', 'relayhost = "mx ejemplo.es"', "mail.relayhost"),
        ('servers = ["10.20.53.123"]', 'servers = ["a b"]', "time.servers"),
        ("[time]", "[tiempo]", "tiempo"),
        ('domain = "ejemplo.es"', 'domain = "ejemplo.es"\nopen_relay = true', "mail.open_relay"),
        ('password_hash = "grub.pbkdf2', 'password_hash = "plain', "boot.password_hash"),
    ],
)
def test_a_wrong_value_is_refused_by_file_and_key(tmp_path: Path, old: str, new: str, key: str) -> None:
    path = write_site(tmp_path, old, new)
    with pytest.raises(BadInput) as caught:
        read_site(path)
    said = str(caught.value)
    assert str(path) in said
    assert re.search(rf"(^|[ ;]){re.escape(key)}\b", said), said
    assert "\n" not in said


def test_a_hash_is_never_repeated_in_an_error(tmp_path: Path) -> None:
    path = write_site(tmp_path, "password_hash = '$6$", "password_hash = 'mipasswordenclaro")
    with pytest.raises(BadInput) as caught:
        read_site(path)
    assert "mipasswordenclaro" not in str(caught.value)


def test_no_hash_is_shown_with_the_settings() -> None:
    site = read_site(None)
    shown = repr(site)
    assert site.host.name in shown
    for secret in (site.admin, *site.roles, site.boot):
        assert secret.password_hash not in shown


def test_a_key_needs_its_certificate(tmp_path: Path) -> None:
    path = write_site(tmp_path, "[mail]", '[tls]\nkey = "relay.key"\n\n[mail]')
    with pytest.raises(BadInput, match="certificate and key must be given together"):
        read_site(path)


def test_no_file_and_no_toml_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        read_site(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("[host\n")
    with pytest.raises(BadInput, match="is not valid TOML"):
        read_site(broken)

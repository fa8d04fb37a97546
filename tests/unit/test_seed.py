"""Seeds as they are made: what may differ, what they hold; and a closed image, with no server in it."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import replace
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from builder.ask.plan import Plan, make_plan
from builder.ask.site import EXAMPLE, image_keys, other_server, without_server
from builder.cli import main
from builder.make.kickstart import render_kickstart, render_storage
from builder.make.overlay import collect_members, write_overlay
from builder.make.seed import Image, file_name, pack_seed, plan_server, read_image, signer, write_seed
from builder.tools.errors import BadInput, ExitCode
from builder.tools.small_iso import small_iso

OWN = ("relay.ejemplo.es", "10.20.")
"""What of the example is its server's; its domain is in comments too."""


@pytest.fixture(scope="module", params=["clasificado-rhel-8.3", "ens-alta-laboratorio"])
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Image:
    profile, _, platform = request.param.replace("ens-alta", "ens_alta").partition("-")
    plan = make_plan(profile.replace("_", "-"), None, platform, closed=True).without_server
    again = Plan.model_validate_json(plan.model_dump_json())
    return read_image(again, write_overlay(plan, tmp_path_factory.mktemp("image") / "x.tar"))


def site(folder: Path, *changes: tuple[str, str], more: str = "") -> Path:
    text = EXAMPLE.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "site.toml"
    path.write_text(text + more, encoding="utf-8")
    return path


def test_a_closed_image_holds_nothing_of_its_server(image: Image) -> None:
    plan = image.plan
    assert plan.name.endswith("-cerrada")
    for member in collect_members(plan):
        if member.path.startswith("/usr/lib/forja/apply.d"):
            continue
        text = (member.content or b"").decode()
        assert not [word for word in OWN if word in text], member.path
        assert "ssh-ed25519 AAAA" not in text, member.path
    kickstart = render_kickstart(plan, render_storage(plan))
    assert not [word for word in OWN if word in kickstart]
    assert "\nsshkey " not in kickstart
    assert "--onboot=no" in kickstart


def test_every_key_of_a_server_is_another_in_the_other_one(image: Image) -> None:
    """What `other_server` forgets would be refused in a seed, for its file would be taken for the image's."""
    mine, theirs = without_server(image.plan.site), other_server(image.plan.site)
    for name in ("host", "time", "mail", "tls", "dkim", "logs", "network"):
        here, there = getattr(mine, name), getattr(theirs, name)
        same = [key for key in type(here).model_fields if getattr(here, key) == getattr(there, key)]
        assert same == {"logs": ["port"], "network": ["ipv6"]}.get(name, []), name
    assert mine.admin.networks != theirs.admin.networks
    assert image_keys(mine) == image_keys(theirs)


def test_a_seed_brings_the_server_and_nothing_else(image: Image, tmp_path: Path) -> None:
    """Image and seed together are the files that the kickstart brings to a server of its own."""
    server = plan_server(image, EXAMPLE)
    assert file_name(server) == "relay.ejemplo.es.semilla.iso"
    files = pack_seed(image, server)
    rows = [line.split("\t") for line in files["SEMILLA.TXT"].decode().splitlines()[3:]]
    assert {row[3] for row in rows} <= image.seedable
    brought = {row[3]: files[row[2].upper()] for row in rows if row[2].startswith("f")}
    platform = image.plan.platform.name
    baked = {m.path: m for m in collect_members(make_plan(image.plan.profile.name, None, platform))}
    there = {**image.files, **brought}
    differs = {
        path
        for path, member in baked.items()
        if member.content is not None and there.get(path) != member.content
    }
    assert {path for path in differs if "/apply.d/" not in path} == {
        "/etc/systemd/system-preset/00-forja.preset",
        "/usr/lib/forja/platform.env",
        "/usr/lib/forja/entries.tsv",
    }
    for mode, owner, _, path in rows:
        if path in baked:
            assert (int(mode, 8), owner) == (baked[path].mode, baked[path].owner)
    keys = brought["/home/administrador/.ssh/authorized_keys"].decode()
    assert keys == "".join(f"{key}\n" for key in server.site.admin.ssh_keys)
    assert b"relay.ejemplo.es" in brought["/etc/hostname"]
    sums = dict(reversed(line.split("  ")) for line in files["SUMAS.TXT"].decode().splitlines())
    assert sums == {
        name.lower(): hashlib.sha256(content).hexdigest()
        for name, content in files.items()
        if name != "SUMAS.TXT"
    }


def test_the_network_is_written_as_the_installer_would(image: Image) -> None:
    files = pack_seed(image, plan_server(image, EXAMPLE))
    text = b"".join(files.values()).decode()
    if image.plan.platform.name == "rhel-8.3":
        for line in (
            "IPADDR=10.20.30.10",
            "PREFIX=24",
            "GATEWAY=10.20.30.1",
            "DNS1=10.20.53.53",
            "ONBOOT=yes",
        ):
            assert f"\n{line}\n" in text
    else:
        from builder.lab.installer.network import networkd_file

        class Command:
            bindto, onboot, mtu, bootProto, noipv4, noipv6 = "", True, "", "static", False, True
            ip, netmask, gateway, nodefroute = "10.20.30.10", "255.255.255.0", "10.20.30.1", False
            nameserver, nodns = "10.20.53.53", False

        assert networkd_file(Command, "eth0", "") in text


def test_the_same_server_gives_the_same_bytes(image: Image, tmp_path: Path) -> None:
    server = plan_server(image, EXAMPLE)
    one, two = (write_seed(image, server, tmp_path / name) for name in ("one.iso", "two.iso"))
    assert one.read_bytes() == two.read_bytes()
    assert one.stat().st_mode & 0o777 == 0o600
    extract = ["xorriso", "-osirrox", "on", "-indev", one, "-extract", "/", tmp_path / "x"]
    subprocess.run(extract, check=True, capture_output=True)
    expected = pack_seed(image, server)
    assert {path.name: path.read_bytes() for path in (tmp_path / "x").iterdir()} == expected
    said = subprocess.run(["blkid", "-o", "export", one], check=True, capture_output=True, text=True).stdout
    assert "LABEL=FORJA_SEMILLA" in said.splitlines()


def test_files_of_many_sectors_come_back(tmp_path: Path) -> None:
    files = {f"F{n:03d}.DAT": bytes([n % 251]) * (n * 97) for n in range(200)}
    (tmp_path / "x.iso").write_bytes(small_iso("FORJA_SEMILLA", files))
    extract = ["xorriso", "-osirrox", "on", "-indev", tmp_path / "x.iso", "-extract", "/", tmp_path / "x"]
    subprocess.run(extract, check=True, capture_output=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "x").iterdir()} == files


@pytest.mark.parametrize(
    ("changes", "more", "said"),
    [
        ([('user = "administrador"', 'user = "otra"')], "", "admin.user"),
        ([("$6$yTyDoi.y0KCeIrLO$", "$6$aTyDoi.y0KCeIrLO$")], "", "admin.password_hash"),
        ([('role = "auditor"', 'role = "correo"')], "", "roles.1.role"),
        ([("11EDC4845F", "21EDC4845F")], "", "boot.password_hash"),
        ([('dns = ["10.20.53.53"]', 'dns = ["10.20.53.53"]\nipv6 = true')], "", "network.ipv6"),
        ([], "\n[logs]\nport = 6515\n", "logs.port"),
        ([], '\n[disk_encryption]\ndata_volumes = "tpm"\n', "disk_encryption.data_volumes"),
    ],
)
def test_what_is_the_images_is_refused_by_its_key(
    image: Image, tmp_path: Path, changes: list[tuple[str, str]], more: str, said: str
) -> None:
    path = site(tmp_path, *changes, more=more)
    with pytest.raises(BadInput) as error:
        plan_server(image, path)
    assert str(path) in error.value.message
    assert said in error.value.message
    assert "$6$" not in error.value.message


def test_all_that_is_a_servers_may_differ(image: Image, tmp_path: Path) -> None:
    for name in ("c.pem", "k.pem"):
        (tmp_path / name).write_text(f"{name}\n")
    path = site(
        tmp_path,
        ("relay.ejemplo.es", "otro.ejemplo.es"),
        ("10.20.30.10/24", "10.20.30.77/24"),
        ('relayhost = "[mx.ejemplo.es]:25"', 'relayhost = "[mx2.ejemplo.es]:25"\nmessage_limit_mib = 40'),
        ("ejemplo-sin-clave-privada", "otra"),
        more='[[mail.routes]]\ndomain = "x.es"\nnext_hop = "[y.es]"\n'
        '[tls]\ncertificate = "c.pem"\nkey = "k.pem"\n',
    )
    files = pack_seed(image, plan_server(image, path))
    assert b"k.pem\n" in files.values()
    assert any(b"otro.ejemplo.es" in content for content in files.values())
    (tmp_path / "k.pem").unlink()
    with pytest.raises(BadInput, match=r"tls\.key"):
        pack_seed(image, plan_server(image, path))


def test_a_file_that_is_no_servers_is_refused(image: Image) -> None:
    """Should a template begin to depend on the server outside the list: never half a server."""
    server = plan_server(image, EXAMPLE)
    fewer = replace(image, seedable=image.seedable - {"/etc/motd"})
    with pytest.raises(BadInput, match="/etc/motd would not be as in the image"):
        pack_seed(fewer, server)


def test_another_state_of_forja_is_refused(image: Image, tmp_path: Path) -> None:
    plan = image.plan
    site = plan.site.model_copy(
        update={"network": plan.site.network.model_copy(update={"address": IPv4Interface("192.0.2.9/24")})}
    )
    path = write_overlay(plan.model_copy(update={"site": site}), tmp_path / "x.tar")
    with pytest.raises(BadInput, match="is not as this version of Forja makes it"):
        read_image(plan, path)


def test_a_signed_seed(tmp_path: Path) -> None:
    key, public = tmp_path / "k.pem", tmp_path / "p.pem"
    make = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp384r1", "-out", key]
    subprocess.run(make, check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True)
    path = site(tmp_path, more='\n[seed]\nkey = "p.pem"\n')
    closed = make_plan("clasificado", path, "rhel-8.3", closed=True)
    image = read_image(closed.without_server, write_overlay(closed.without_server, tmp_path / "x.tar"))
    server = plan_server(image, path)
    with pytest.raises(BadInput, match="signed seeds only"):
        write_seed(image, server, tmp_path / "x.iso")
    write_seed(image, server, tmp_path / "x.iso", signer(key))
    extract = ["xorriso", "-osirrox", "on", "-indev", tmp_path / "x.iso", "-extract", "/", tmp_path / "x"]
    subprocess.run(extract, check=True, capture_output=True)
    names = ["-signature", tmp_path / "x" / "FIRMA.BIN", tmp_path / "x" / "SUMAS.TXT"]
    check = ["openssl", "dgst", "-sha384", "-verify", public, *names]
    assert subprocess.run(check, capture_output=True, check=False).returncode == 0
    with pytest.raises(BadInput, match=r"seed\.key"):
        plan_server(image, EXAMPLE)


def test_the_verb_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = make_plan("clasificado", None, "laboratorio", closed=True).without_server
    write_overlay(plan, tmp_path / f"{plan.name}.overlay.tar")
    (tmp_path / "plan.json").write_text(plan.model_dump_json())
    out = tmp_path / "out"
    assert main(["seed", str(tmp_path), str(EXAMPLE), "--output", str(out)]) == 0
    assert capsys.readouterr().out.split() == [str(out / "relay.ejemplo.es.semilla.iso")]
    (tmp_path / "two.toml").write_text(EXAMPLE.read_text())
    assert main(["seed", str(tmp_path), str(EXAMPLE), str(tmp_path / "two.toml")]) == ExitCode.BAD_INPUT
    assert "both name the server relay.ejemplo.es" in capsys.readouterr().err
    open_plan = make_plan("clasificado", None, "laboratorio")
    (tmp_path / "plan.json").write_text(open_plan.model_dump_json())
    assert main(["seed", str(tmp_path), str(EXAMPLE)]) == ExitCode.BAD_INPUT
    assert "--closed" in capsys.readouterr().err

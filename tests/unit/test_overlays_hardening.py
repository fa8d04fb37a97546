"""minimal, usbguard, fapolicyd, luks and fips, rendered: what RHEL 8.3's programs would choke on."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from builder.ask.overlay import read_overlay
from builder.ask.plan import Plan, make_plan
from builder.ask.site import EXAMPLE
from builder.make.layout import boot_arguments
from builder.make.overlay import Member, collect_members
from builder.tools.errors import BadInput

ROOT = Path(__file__).parents[2]
NAMES = ("fapolicyd", "fips", "luks", "minimal", "selinux", "usbguard")
ENCRYPT = ROOT / "overlays/luks/root/usr/libexec/forja/cifrar-datos"
PASSPHRASE = "frase de prueba, y solo de prueba"

USBGUARD_0_7_8 = {
    *("RuleFile", "ImplicitPolicyTarget", "PresentDevicePolicy", "PresentControllerPolicy"),
    *("InsertedDevicePolicy", "AuthorizedDefault", "RestoreControllerDeviceState", "DeviceManagerBackend"),
    *("IPCAllowedUsers", "IPCAllowedGroups", "IPCAccessControlFiles", "DeviceRulesWithPort"),
    *("AuditBackend", "AuditFilePath", "HidePII"),
}
"""Keys of usbguard-daemon.conf in 0.7.8; it has no RuleFolder (1.0)."""

FAPOLICYD_1_0 = {
    *("permissive", "nice_val", "q_size", "uid", "gid", "do_stat_report", "detailed_report", "db_max_size"),
    *("subj_cache_size", "obj_cache_size", "watch_fs", "trust", "integrity", "syslog_format"),
}
"""Keys of fapolicyd.conf in 1.0; it has neither rpm_sha256_only nor allow_filesystem_mark (1.1)."""


def planned(tmp_path: Path, more: str = "", *, fips: bool = False) -> Plan:
    """Return the plan of the example site with something more; in FIPS mode, with keys that it takes."""
    text = EXAMPLE.read_text(encoding="utf-8")
    if fips:
        text = "fips = true\n" + re.sub(r"ssh-ed25519 \S+", "ecdsa-sha2-nistp384 " + "A" * 44, text)
    path = tmp_path / "site.toml"
    path.write_text(f"{text}\n{more}", encoding="utf-8")
    return make_plan("clasificado", path, "rhel-8.3")


def text_of(plan: Plan, path: str) -> str:
    members: dict[str, Member] = {member.path: member for member in collect_members(plan)}
    content = members[path].content
    assert content is not None
    return content.decode()


def settings(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan("clasificado", None, "rhel-8.3")


# --- Controls ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_control_is_brought_about_and_seen(name: str) -> None:
    overlay = read_overlay(name)
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "image").glob("*.py"))
    used = {control for entry in (*overlay.files, *overlay.dirs) for control in entry.controls}
    for control in overlay.controls:
        if control.status == "implemented":
            assert f'"{control.id}"' in tests, control.id
            assert control.id in used or control.where, control.id
        assert [path for path in control.where if not (ROOT / path).exists()] == []
    assert used <= {control.id for control in overlay.controls}


# --- USBGuard and fapolicyd ----------------------------------------------------------------------


def test_usbguard_knows_its_settings(plan: Plan) -> None:
    found = settings(text_of(plan, "/etc/usbguard/usbguard-daemon.conf"))
    assert set(found) <= USBGUARD_0_7_8
    assert found["ImplicitPolicyTarget"] == "block"
    assert {found[f"Present{kind}Policy"] for kind in ("Device", "Controller")} == {"apply-policy"}
    assert (found["IPCAllowedUsers"], found["IPCAllowedGroups"]) == ("root", "")


def test_usbguard_rules_name_kinds_and_no_device(plan: Plan) -> None:
    rules = text_of(plan, "/etc/usbguard/rules.conf").splitlines()
    kinds = r"with-interface (match-all|one-of) \{ \d\d:\*:\* \}"
    assert [rule for rule in rules if not re.fullmatch(rf"(allow|reject) {kinds}", rule)] == []
    assert [rule.split()[0] for rule in rules][-1] == "reject"


def test_fapolicyd_knows_its_settings(plan: Plan) -> None:
    found = settings(text_of(plan, "/etc/fapolicyd/fapolicyd.conf"))
    assert set(found) == FAPOLICYD_1_0
    assert (found["permissive"], found["trust"]) == ("0", "rpmdb,file")


def test_fapolicyd_denies_what_it_does_not_allow(plan: Plan) -> None:
    lines = text_of(plan, "/etc/fapolicyd/fapolicyd.rules").splitlines()
    rules = [line for line in lines if line and line[0] not in "#%"]
    form = r"(allow|deny_audit) perm=(any|open|execute) (all|uid=0|exe=\S+|pattern=ld_so)( \S+)* : \S+( \S+)*"
    assert [rule for rule in rules if not re.fullmatch(form, rule)] == []
    assert rules[-2:] == ["deny_audit perm=execute all : all", "allow perm=open all : all"]
    executing = [rule for rule in rules if rule.startswith(("allow perm=execute", "allow perm=any"))]
    assert [rule for rule in executing if "trust=1" not in rule and "uid=0" not in rule] == []
    # Set and rule of the same name, and no folder without the slash that makes it one.
    assert {word[6:] for rule in rules for word in rule.split() if word.startswith("ftype=%")} == {
        "%languages"
    }
    assert not re.search(r"dir=\S+[^/\s](\s|$)", "\n".join(rules))


def test_fapolicyd_lets_the_filters_read_mail(plan: Plan) -> None:
    """Those who look for viruses in an attachment must be able to open it, whatever it is."""
    lines = text_of(plan, "/etc/fapolicyd/fapolicyd.rules").splitlines()
    first_denial = lines.index("deny_audit perm=open all : ftype=application/x-sharedlib")
    for folder in ("/var/spool/amavisd/", "/var/spool/postfix/", "/var/spool/mail/"):
        assert lines.index(f"allow perm=open all : dir={folder}") < first_denial
    assert lines.index("allow perm=open exe=/usr/sbin/clamd : all") < first_denial


def test_fapolicyd_trusts_what_the_overlays_place(tmp_path: Path) -> None:
    program, folder = tmp_path / "programa", tmp_path / "carpeta"
    program.write_text("#!/bin/sh\n")
    folder.mkdir()
    (tmp_path / "entries.tsv").write_text(
        "".join(f"0755\troot:root\tbin_t\t{path}\n" for path in (program, folder, tmp_path / "falta"))
    )
    step = "usr/lib/forja/tras-semilla.d/50-confianza"
    assert f"/bin/sh /{step}\n" in (ROOT / "overlays/fapolicyd/apply.sh").read_text(encoding="utf-8")
    script = (ROOT / "overlays/fapolicyd/root" / step).read_text(encoding="utf-8")
    for old, new in (
        ("/etc/fapolicyd/", f"{tmp_path}/"),
        ("/usr/lib/forja/entries.tsv", f"{tmp_path}/entries.tsv"),
        ("/var/lib/fapolicyd/", f"{tmp_path}/"),
    ):
        assert old in script
        script = script.replace(old, new)
    subprocess.run(["/bin/sh"], input=script, text=True, check=True)
    digest = subprocess.run(["sha256sum", program], capture_output=True, text=True, check=True).stdout[:64]
    assert (tmp_path / "fapolicyd.trust").read_text() == f"{program} 10 {digest}\n"


# --- What the site switches on -------------------------------------------------------------------


def test_without_the_sites_wish_there_is_neither_luks_nor_fips(plan: Plan) -> None:
    assert {"luks", "fips"} <= set(plan.profile.overlays)
    assert not plan.has("luks")
    assert not plan.has("fips")
    assert "fips" not in boot_arguments(plan)


@pytest.mark.parametrize("how", ["passphrase", "tpm"])
def test_the_site_switches_luks_on(how: str, tmp_path: Path) -> None:
    plan = planned(tmp_path, f'[disk_encryption]\ndata_volumes = "{how}"\n')
    assert plan.has("luks")
    assert f"FORJA_UNLOCK={how}\n" in text_of(plan, "/usr/lib/forja/cifrado.env")
    assert {"clevis-luks", "cryptsetup"} <= set(plan.packages)


def test_a_way_of_unlocking_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="data_volumes"):
        planned(tmp_path, '[disk_encryption]\ndata_volumes = "fichero"\n')


def test_fips_from_the_installer_on_and_in_every_list(tmp_path: Path) -> None:
    plan = planned(tmp_path, fips=True)
    assert boot_arguments(plan).split()[-1] == "fips=1"
    sshd = text_of(plan, "/etc/ssh/sshd_config")
    assert not re.search(r"25519|chacha20", sshd)
    assert "HostKey /etc/ssh/ssh_host_ecdsa_key" in sshd.splitlines()
    assert "FORJA_FIPS=yes\n" in text_of(plan, "/usr/lib/forja/platform.env")
    main = text_of(plan, "/etc/postfix/main.cf")
    assert not re.search(r"(?mi)^[^#]*(chacha20|x25519)", main)


def test_fips_refuses_a_key_that_could_not_log_in(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text("fips = true\n" + EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(BadInput, match="ssh-ed25519"):
        make_plan("clasificado", path, "rhel-8.3")


def test_a_profile_without_the_overlay_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from builder.ask import plan as module

    whole = module.read_profile("clasificado")
    less = whole.model_copy(update={"overlays": tuple(n for n in whole.overlays if n != "luks")})
    monkeypatch.setattr(module, "read_profile", lambda _: less)
    with pytest.raises(BadInput, match=r"disk_encryption\.data_volumes"):
        planned(tmp_path, '[disk_encryption]\ndata_volumes = "tpm"\n')


# --- cifrar-datos, with a real LUKS2 header in a file ----------------------------------------------


def run_functions(
    tmp_path: Path, orders: str, unlock: str = "passphrase"
) -> subprocess.CompletedProcess[str]:
    """Run some of the script's functions: all but its last lines, which want root and a terminal."""
    (tmp_path / "cifrado.env").write_text(f"FORJA_UNLOCK={unlock}\n")
    script, found, _ = ENCRYPT.read_text(encoding="utf-8").partition('[ "$(id -u)" = 0 ]')
    assert found
    script = script.replace("/usr/lib/forja/cifrado.env", str(tmp_path / "cifrado.env"))
    env = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    return subprocess.run(
        ["/bin/sh"], input=script + orders, capture_output=True, text=True, env=env, check=False
    )


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that the script's own function has made a LUKS2 volume of."""
    folder = tmp_path_factory.mktemp("luks")
    device = folder / "volumen"
    with device.open("wb") as file:
        file.truncate(32 * 1024 * 1024)
    done = run_functions(folder, f"passphrase='{PASSPHRASE}'\nformat_volume '{device}'\n")
    assert done.returncode == 0, done.stderr
    return device


def cryptsetup(*argv: str | Path, text: str = "") -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    return subprocess.run(
        ["cryptsetup", *argv], input=text, capture_output=True, text=True, env=env, check=False
    )


def test_the_volume_is_luks2_with_what_was_asked(encrypted: Path) -> None:
    dump = cryptsetup("luksDump", encrypted).stdout
    assert re.search(r"Version:\s+2\b", dump)
    assert "aes-xts-plain64" in dump
    assert re.search(r"Key:\s+512 bits", dump)
    assert re.search(r"PBKDF:\s+argon2id", dump)
    assert re.search(r"AF hash:\s+sha512", dump)


@pytest.mark.parametrize(("tried", "code"), [(PASSPHRASE, 0), (f"{PASSPHRASE}\n", 2), ("otra frase", 2)])
def test_the_passphrase_opens_it_and_nothing_else(encrypted: Path, tried: str, code: int) -> None:
    argv = ("open", "--test-passphrase", "--type", "luks2", "--key-file", "-", encrypted)
    assert cryptsetup(*argv, text=tried).returncode == code


@pytest.mark.parametrize(("unlock", "options"), [("passphrase", "nofail"), ("tpm", "nofail,_netdev")])
def test_tables_name_the_volume_by_its_uuid(
    unlock: str, options: str, encrypted: Path, tmp_path: Path
) -> None:
    fstab = (
        "/dev/mapper/sistema-var /var xfs defaults,nodev 0 0\n"
        "/dev/mapper/sistema-var_spool_postfix /var/spool/postfix xfs defaults,nodev,noexec 0 0\n"
    )
    (tmp_path / "fstab").write_text(fstab)
    order = f"write_tables '{tmp_path}' /var/spool/postfix cifrado_var_spool_postfix '{encrypted}'\n"
    done = run_functions(tmp_path, order, unlock)
    assert done.returncode == 0, done.stderr
    uuid = cryptsetup("luksUUID", encrypted).stdout.strip()
    assert (tmp_path / "crypttab").read_text() == (
        f"cifrado_var_spool_postfix UUID={uuid} none luks,{options}\n"
    )
    first, second = (tmp_path / "fstab").read_text().splitlines()
    assert first == fstab.splitlines()[0]
    assert second.split() == [
        "/dev/mapper/cifrado_var_spool_postfix",
        "/var/spool/postfix",
        "xfs",
        f"defaults,nodev,noexec,{options}",
        "0",
        "0",
    ]


def test_a_table_without_the_volume_ends_it(encrypted: Path, tmp_path: Path) -> None:
    (tmp_path / "fstab").write_text("/dev/mapper/sistema-var /var xfs defaults 0 0\n")
    done = run_functions(tmp_path, f"write_tables '{tmp_path}' /var/spool/postfix x '{encrypted}'\n")
    assert done.returncode == 2
    assert "no tiene una línea de /var/spool/postfix" in done.stderr
    assert (tmp_path / "fstab").read_text().count("\n") == 1


def test_no_passphrase_without_a_terminal(tmp_path: Path) -> None:
    done = run_functions(tmp_path, "ask_passphrase\n")
    assert done.returncode == 2
    assert "terminal" in done.stderr


def test_the_passphrase_is_in_no_argument() -> None:
    script = ENCRYPT.read_text(encoding="utf-8")
    uses = [line.strip() for line in script.splitlines() if "$passphrase" in line]
    assert len(uses) >= 4
    # printf is the shell's own: no process has it in its arguments.
    allowed = (r'printf %s "\$passphrase" \| (cryptsetup|clevis) ', r'\[ "\$(\{#)?passphrase')
    assert [line for line in uses if not re.match("|".join(allowed), line)] == []

"""What a golden image must not carry from its build, and what each machine must make for itself.

The verification adds one authorised key tagged `forja-verificacion` and one file under /etc/sudoers.d to the
throwaway copy: these, and nothing else, are overlooked here.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest
from facts import ask

TAG = "forja-verificacion"
SLACK_SECONDS = 10
"""The kernel's own idea of when it booted wanders by some seconds while the clock is set."""

LEFTOVERS = (
    "/root/anaconda-ks.cfg /root/original-ks.cfg /root/initial-setup-ks.cfg /root/install.log /root/.ssh/*"
    " /var/log/anaconda /tmp/forja-* /root/forja-* /usr/lib/forja/apply.d /etc/sudoers.d/*packer*"
    " /etc/sudoers.d/*vagrant* /home/packer /home/vagrant /var/lib/cloud /etc/pki/consumer/*.pem"
    " /var/cache/dnf/*.solv"
)


def people(plan: Any) -> list[Any]:
    """Return those whom the site lets in: the administrator and the people of its roles."""
    return [plan.site.admin, *plan.site.roles]


@pytest.fixture(scope="module")
def facts(plan: Any, host: Any) -> dict[str, str]:
    grub = plan.platform.path("/boot/grub2")
    vendor = plan.platform.path("/boot/efi/EFI/redhat")
    return ask(
        host,
        {
            "boot": "awk '$1 == \"btime\" {print $2}' /proc/stat",
            "now": "date +%s",
            "keys": "stat -c '%n %a %U:%G %Y %s' /etc/ssh/ssh_host_*",
            "prints": "for k in /etc/ssh/ssh_host_*.pub; do ssh-keygen -l -f $k; done",
            "machine": "cat /etc/machine-id; stat -c %Y /etc/machine-id; ls /var/log/journal",
            "dbus": "cat /var/lib/dbus/machine-id || true",
            "first": "systemctl show -p Result -p ExecMainStatus forja-primer-arranque;"
            " cat /var/lib/forja/primer-arranque; journalctl -b -u forja-primer-arranque -o cat",
            "ageing": "awk -F: '$2 ~ /^\\$/ {print $1, $3, $4, $5, $6}' /etc/shadow",
            "leftovers": f"ls -d {LEFTOVERS} 2> /dev/null; true",
            "histories": "find /root /home -name '.*_history' -o -name .lesshst -o -name .viminfo",
            "leases": "find /var/lib/dhclient /var/lib/dhcp /var/lib/NetworkManager -type f"
            " \\( -name '*.lease*' -o -name secret_key -o -name 'seen-*' \\) 2> /dev/null; true",
            "seeds": "stat -c '%Y %n' /var/lib/systemd/random-seed /boot/loader/random-seed"
            " /var/lib/systemd/credential.secret 2> /dev/null; true",
            "oldlogs": "find /var/log -ignore_readdir_race -type f -size +0 ! -path '/var/log/forja/*'"
            ' ! -newermt "@$(($(awk \'$1 == "btime" {print $2}\' /proc/stat) - 10))"',
            "boots": "journalctl --list-boots --no-pager | grep -cE '^ *-?[0-9]+ [0-9a-f]{32} '",
            "record": "find /var/log/forja -type f -exec stat -c '%n %a %U:%G %s' {} +;"
            " ls -ld /var/log/forja",
            "secrets": "grep -cE '\\$6\\$|grub\\.pbkdf2|PRIVATE KEY' /var/log/forja/instalacion.log || true",
            "authorised": "find / /home /var /tmp /var/tmp /boot -xdev -ignore_readdir_race"
            " -path /usr/share -prune -o -name 'authorized_keys*' -print | sort -u",
            "authorised_text": "cat "
            + " ".join(f"/home/{person.user}/.ssh/authorized_keys" for person in people(plan)),
            "people": "awk -F: '$3 >= 1000 && $1 !~ /^nobody$|^nfsnobody$/ {print $1}' /etc/passwd",
            "grub": f"stat -c '%n %a %U:%G' {grub}/grub.cfg {grub}/user.cfg;"
            f" sha256sum < {grub}/user.cfg | cut -d ' ' -f 1",
            "grub_text": f"cat {grub}/grub.cfg",
            "firmware": f"ls -l {grub}/i386-pc/core.img /boot/efi/EFI/BOOT/BOOTX64.EFI"
            f" {vendor}/grub.cfg {vendor}/*.efi",
            "vendor_text": f"cat {vendor}/grub.cfg",
            "mbr": "boot=$(findmnt -n -o SOURCE --mountpoint /boot);"
            ' head -c 440 "$(lsblk -n -p -o PKNAME "$boot" | head -n 1)" | grep -c GRUB',
            "uuid": "findmnt -n -o UUID --mountpoint /boot",
            "entries": "ls /boot/loader/entries; grub2-editenv - list",
        },
    )


def booted(facts: dict[str, str]) -> int:
    return int(facts["boot"]) - SLACK_SECONDS


@pytest.mark.control("RHEL-SEAL-01", "RHEL-SSHD-08")
def test_host_keys_are_made_on_this_machine(fresh: None, facts: dict[str, str], seen: Any) -> None:
    keys = {line.split()[0]: line.split()[1:] for line in facts["keys"].splitlines()}
    seen(f"{facts['prints']}\n{facts['keys']}")
    names = {
        f"/etc/ssh/ssh_host_{kind}_key{suffix}" for kind in ("ed25519", "ecdsa") for suffix in ("", ".pub")
    }
    assert set(keys) == names
    for name, (mode, owner, made, size) in keys.items():
        assert owner == "root:root"
        assert mode == ("644" if name.endswith(".pub") else "600")
        assert int(made) >= booted(facts), f"{name} is older than this boot"
        assert int(size) > 0
    assert {(line.split()[0], line.split()[-1]) for line in facts["prints"].splitlines()} == {
        ("256", "(ED25519)"),
        ("384", "(ECDSA)"),
    }


@pytest.mark.control("RHEL-SEAL-01", "RHEL-SERVICE-04")
def test_first_boot_ran_to_its_end(fresh: None, facts: dict[str, str], seen: Any) -> None:
    seen(facts["first"])
    lines = facts["first"].splitlines()
    assert "Result=success" in lines
    assert "ExecMainStatus=0" in lines
    assert re.search(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", facts["first"], re.MULTILINE)
    assert "FORJA primer arranque: terminado" in lines


@pytest.mark.control("RHEL-SEAL-02")
def test_machine_id_is_this_machines(fresh: None, facts: dict[str, str], seen: Any) -> None:
    machine, made, *journals = facts["machine"].splitlines()
    seen(f"{machine}, {facts['dbus']}, journals {journals}")
    assert re.fullmatch(r"[0-9a-f]{32}", machine)
    assert int(made) >= booted(facts), "the identity came with the image"
    assert journals == [machine], "the journal of another machine is there"
    assert facts["dbus"] == machine or "No such file" in facts["dbus"]


@pytest.mark.control("RHEL-BOOT-05")
@pytest.mark.needs("bls")
def test_boot_entries_carry_the_machine_id(facts: dict[str, str], seen: Any) -> None:
    machine = facts["machine"].splitlines()[0]
    entries = [line for line in facts["entries"].splitlines() if line.endswith(".conf")]
    saved = re.search(r"^saved_entry=(.+)$", facts["entries"], re.MULTILINE)
    seen(facts["entries"])
    assert entries
    assert all(entry.startswith(f"{machine}-") for entry in entries)
    assert saved is None or f"{saved.group(1)}.conf" in entries


@pytest.mark.control("RHEL-ACCOUNT-02")
def test_passwords_age_from_the_first_boot(fresh: None, plan: Any, facts: dict[str, str], seen: Any) -> None:
    ageing = {line.split()[0]: line.split()[1:] for line in facts["ageing"].splitlines()}
    values = plan.profile.values
    seen(facts["ageing"])
    assert set(ageing) == {person.user for person in people(plan)}
    for days in ageing.values():
        changed, least, most, warning = map(int, days)
        assert int(facts["boot"]) // 86400 <= changed <= int(facts["now"]) // 86400
        assert (least, most, warning) == (values.password_min_days, values.password_max_days, 10)


@pytest.mark.control("RHEL-SEAL-03")
def test_nothing_is_left_of_the_build(plan: Any, facts: dict[str, str], seen: Any) -> None:
    seen(f"leftovers: {facts['leftovers'] or 'none'}; accounts of people: {facts['people']}")
    assert facts["leftovers"] == ""
    assert set(facts["people"].splitlines()) == {person.user for person in people(plan)}


@pytest.mark.control("RHEL-SEAL-03")
def test_logs_begin_with_this_boot(fresh: None, facts: dict[str, str], seen: Any) -> None:
    seen(f"boots in the journal: {facts['boots']}; older logs: {facts['oldlogs'] or 'none'}")
    assert facts["oldlogs"] == ""
    assert facts["boots"] == "1"


@pytest.mark.control("RHEL-SEAL-04")
def test_authorised_keys_are_the_sites(plan: Any, facts: dict[str, str], seen: Any) -> None:
    homes = {f"/home/{person.user}/.ssh/authorized_keys" for person in people(plan)}
    lines = [line.strip() for line in facts["authorised_text"].splitlines()]
    own = [line for line in lines if line and not line.startswith("#")]
    ours = [line for line in own if line.endswith(f" {TAG}")]
    keys = sorted(" ".join(line.split()[:2]) for line in own if line not in ours)
    seen(f"{facts['authorised']}: {keys}, and {len(ours)} of the verification")
    assert set(facts["authorised"].splitlines()) == homes
    assert len(ours) <= 1
    assert keys == sorted(" ".join(key.split()[:2]) for person in people(plan) for key in person.ssh_keys)


@pytest.mark.control("RHEL-SEAL-05")
def test_one_record_of_the_installation_is_kept(facts: dict[str, str], seen: Any) -> None:
    *files, folder = facts["record"].splitlines()
    seen(facts["record"])
    assert len(files) == 1
    name, mode, owner, size = files[0].split()
    assert (name, mode, owner) == ("/var/log/forja/instalacion.log", "600", "root:root")
    assert int(size) > 0
    assert folder.startswith("drwx------")
    assert facts["secrets"] == "0", "the record of the installation holds a hash or a key"


@pytest.mark.control("RHEL-SEAL-06")
def test_no_inherited_seeds_leases_or_histories(fresh: None, facts: dict[str, str], seen: Any) -> None:
    old = [line for line in facts["seeds"].splitlines() if int(line.split()[0]) < booted(facts)]
    seen(
        f"seeds: {facts['seeds'] or 'none'}; leases: {facts['leases'] or 'none'};"
        f" histories: {facts['histories'] or 'none'}"
    )
    assert not old, "a random seed came with the image"
    # NetworkManager makes its key anew when it starts; a lease has no place on a fixed address.
    assert [line for line in facts["leases"].splitlines() if not line.endswith("/secret_key")] == []
    assert facts["histories"] == ""


@pytest.mark.control("RHEL-BOOT-01", "RHEL-BOOT-07")
def test_boot_loader_asks_for_a_password(plan: Any, facts: dict[str, str], seen: Any) -> None:
    *files, password = facts["grub"].splitlines()
    seen("; ".join(files))
    assert [line.split()[1:] for line in files] == [["600", "root:root"]] * 2
    line = f"GRUB2_PASSWORD={plan.site.boot.password_hash}\n"
    assert password == hashlib.sha256(line.encode()).hexdigest(), "another password, or another form"
    text = facts["grub_text"]
    assert re.search(r"^\s*set superusers=", text, re.MULTILINE)
    assert re.search(r"^\s*password_pbkdf2 root \$\{?GRUB2_PASSWORD\}?", text, re.MULTILINE)
    assert "user.cfg" in text


@pytest.mark.control("RHEL-BOOT-02")
def test_both_firmwares_find_a_boot_loader(facts: dict[str, str], seen: Any) -> None:
    seen(facts["firmware"])
    assert "No such file" not in facts["firmware"]
    assert "shimx64.efi" in facts["firmware"]
    assert facts["mbr"] == "1", "the disk has no GRUB in its first sector"
    assert facts["uuid"] in facts["vendor_text"], "GRUB on the EFI partition does not lead to /boot"

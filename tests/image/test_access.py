"""Who gets in and what they may become: SSH, sudo, and the accounts that there are."""

from __future__ import annotations

import re
import struct
from typing import Any

import pytest
from facts import ask, unlike

OVERLOOKED = "zz-forja-verificacion"
"""The verification's own file under /etc/sudoers.d, in the throwaway copy only."""

SSH = (
    "LC_ALL=C.UTF-8 ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=no"
    " -o UserKnownHostsFile=/dev/null"
    " -o PreferredAuthentications=password,keyboard-interactive,hostbased,gssapi-with-mic"
)


def by_control(table: dict[str, Any]) -> list[Any]:
    return [pytest.param(value, id=name, marks=pytest.mark.control(name)) for name, value in table.items()]


@pytest.fixture(scope="module")
def facts(plan: Any, host: Any) -> dict[str, str]:
    admin = plan.site.admin.user
    main_pid = f"systemctl show -p MainPID --value {plan.platform.service('sshd')}"
    aside = f"/root/{OVERLOOKED}"
    return ask(
        host,
        {
            "sshd": "sshd -T",
            "sshd_line": f"tr '\\0' ' ' < /proc/$({main_pid})/cmdline",
            "ssh_root": f"{SSH} root@127.0.0.1 true",
            "ssh_admin": f"{SSH} {admin}@127.0.0.1 true",
            "issue_net": "cat /etc/issue.net",
            "sudo": f"sudo -l -U {admin}",
            "sudoers": "visudo -c; grep -rHE 'NOPASSWD|!authenticate' /etc/sudoers /etc/sudoers.d"
            f" | grep -v {OVERLOOKED}",
            # The verification's own rule steps aside for as long as it takes to ask.
            "sudo_password": f"f=/etc/sudoers.d/{OVERLOOKED}; [ ! -e $f ] || mv $f {aside};"
            f" su {admin} -c 'sudo -k -n true'; echo code $?; [ ! -e {aside} ] || mv {aside} $f",
            "sudo_log": "stat -c '%a %U:%G %s' /var/log/sudo.log; grep -c COMMAND= /var/log/sudo.log",
            "wheel": "getent group wheel",
            "session": f"su -l {admin} -s /bin/bash -c 'umask; readonly -p; ulimit -Hc; ulimit -Sc'",
            "logindefs": "grep -E '^[A-Z_]+[[:space:]]' /etc/login.defs",
            "umasks": "grep -HnE '^[[:space:]]*umask[[:space:]]'"
            " /etc/profile /etc/bashrc /etc/csh.cshrc /etc/profile.d/*",
            "root": "passwd -S root",
            "shadow": 'awk -F: \'{print $1, ($2 == "" ? "EMPTY" : $2 ~ /^[!*]/ ? "locked" :'
            ' $2 ~ /^\\$6\\$/ ? "sha512" : "other")}\' /etc/shadow',
            "passwd": "cut -d: -f1,3,7 /etc/passwd",
        },
    )


@pytest.fixture(scope="module")
def sshd(facts: dict[str, str]) -> dict[str, str]:
    """Effective settings of sshd, by its own reading of its file."""
    return dict(line.partition(" ")[::2] for line in facts["sshd"].splitlines())


def people(plan: Any, *roles: str) -> list[str]:
    """Return the accounts of the site's people: the administrator, and those of the roles (of all)."""
    others = [person.user for person in plan.site.roles if not roles or person.role in roles]
    return [plan.site.admin.user, *others]


# --- SSH ------------------------------------------------------------------------------------------


@pytest.mark.control("RHEL-SSHD-01")
def test_root_is_not_admitted(facts: dict[str, str], sshd: dict[str, str], seen: Any) -> None:
    seen(facts["ssh_root"])
    assert sshd["permitrootlogin"] == "no"
    assert "Permission denied (publickey)." in facts["ssh_root"]


@pytest.mark.control("RHEL-SSHD-02")
def test_no_password_is_accepted(facts: dict[str, str], sshd: dict[str, str], seen: Any) -> None:
    seen(facts["ssh_admin"])
    assert "Permission denied (publickey)." in facts["ssh_admin"], "sshd offers more than keys"
    off = (
        "passwordauthentication",
        "permitemptypasswords",
        "hostbasedauthentication",
        "kerberosauthentication",
    )
    assert {name: sshd[name] for name in off} == dict.fromkeys(off, "no")
    assert sshd["authenticationmethods"] == "publickey"


@pytest.mark.control("RHEL-SSHD-03")
def test_only_the_named_people_may_log_in(plan: Any, facts: dict[str, str], seen: Any) -> None:
    allowed = [line.split()[1] for line in facts["sshd"].splitlines() if line.startswith("allowusers ")]
    seen(f"AllowUsers {allowed}")
    assert allowed == people(plan)


@pytest.mark.control("RHEL-SSHD-04")
def test_only_strong_algorithms_are_offered(facts: dict[str, str], guest: Any, seen: Any) -> None:
    """Read from the server's own first packet, so that a crypto policy on its command line would show."""
    offered = read_kexinit(guest)
    seen(offered)
    markers = {"kex-strict-s-v00@openssh.com", "ext-info-s"}  # no algorithms: they announce extensions
    assert set(offered["kex"]) - markers == {
        "ecdh-sha2-nistp384",
        "ecdh-sha2-nistp521",
        "ecdh-sha2-nistp256",
        "curve25519-sha256",
        "curve25519-sha256@libssh.org",
    }
    assert set(offered["host key"]) == {"ssh-ed25519", "ecdsa-sha2-nistp384"}
    assert set(offered["cipher"]) == {
        "aes256-gcm@openssh.com",
        "aes128-gcm@openssh.com",
        "aes256-ctr",
        "aes128-ctr",
    }
    assert set(offered["mac"]) == {"hmac-sha2-512-etm@openssh.com", "hmac-sha2-256-etm@openssh.com"}
    assert "Ciphers=" not in facts["sshd_line"]


def read_kexinit(guest: Any) -> dict[str, list[str]]:
    """Return the name-lists of the server's SSH_MSG_KEXINIT (RFC 4253, 7.1), server to client."""
    with guest.connect(22, "admin") as connection:
        connection.settimeout(60)
        connection.sendall(b"SSH-2.0-forja\r\n")
        stream = connection.makefile("rb")
        while not stream.readline().startswith(b"SSH-2.0-"):
            pass
        length, padding = struct.unpack(">IB", stream.read(5))
        payload = stream.read(length - padding - 1)
    assert payload[0] == 20
    lists, offset = [], 17
    for _ in range(10):
        (size,) = struct.unpack_from(">I", payload, offset)
        lists.append(payload[offset + 4 : offset + 4 + size].decode().split(","))
        offset += 4 + size
    return {"kex": lists[0], "host key": lists[1], "cipher": lists[3], "mac": lists[5]}


@pytest.mark.control("RHEL-SSHD-05", "RHEL-BANNER-02")
def test_the_notice_comes_before_authentication(facts: dict[str, str], seen: Any) -> None:
    seen(facts["ssh_admin"])
    assert "ACCESO RESTRINGIDO A PERSONAL AUTORIZADO" in facts["ssh_admin"]
    assert facts["issue_net"].strip() in facts["ssh_admin"].replace("\r", "")


@pytest.mark.control("RHEL-SSHD-06")
def test_attempts_and_idleness_are_limited(plan: Any, sshd: dict[str, str], seen: Any) -> None:
    expected = {
        "maxauthtries": "4",
        "maxsessions": "4",
        "maxstartups": "10:30:60",
        "logingracetime": "60",
        "clientaliveinterval": str(plan.profile.values.idle_seconds),
        "clientalivecountmax": "1",
    }
    seen({name: sshd.get(name) for name in expected})
    assert not unlike(expected, sshd)


@pytest.mark.control("RHEL-SSHD-07")
def test_nothing_is_forwarded_or_transferred(sshd: dict[str, str], seen: Any) -> None:
    expected = dict.fromkeys(
        ("allowtcpforwarding", "allowagentforwarding", "allowstreamlocalforwarding", "x11forwarding"), "no"
    ) | {
        "disableforwarding": "yes",
        "permittunnel": "no",
        "permituserenvironment": "no",
        "permituserrc": "no",
    }
    seen({name: sshd.get(name) for name in expected} | {"subsystem": sshd.get("subsystem", "none")})
    assert not unlike(expected, sshd)
    assert "subsystem" not in sshd


# --- sudo and accounts ----------------------------------------------------------------------------


@pytest.mark.control("RHEL-SUDO-01")
def test_sudo_always_asks_for_a_password(facts: dict[str, str], seen: Any) -> None:
    lines = facts["sudoers"].splitlines()
    seen(f"{facts['sudoers']}; {facts['sudo_password']}")
    assert lines
    wrong = [line for line in lines if not line.endswith("parsed OK")]
    assert wrong == [], "a rule asks for no password, or a file is wrong"
    assert "code 1" in facts["sudo_password"]
    assert "a password is required" in facts["sudo_password"]


@pytest.mark.parametrize(
    "setting",
    by_control(
        {
            "RHEL-SUDO-02": "use_pty",
            "RHEL-SUDO-03": "logfile=/var/log/sudo.log",
            "RHEL-SUDO-04": "timestamp_timeout=5",
        }
    ),
)
def test_sudo_settings_in_force(setting: str, facts: dict[str, str], seen: Any) -> None:
    text = facts["sudo"].split("User ")[0].replace("\\", "")
    seen(" ".join(text.split()))
    # Of several, the last one counts.
    name = setting.partition("=")[0]
    named = [word for word in re.split(r"[,\s]+", text) if word.lstrip("!").partition("=")[0] == name]
    assert named[-1:] == [setting]


@pytest.mark.control("RHEL-SUDO-03")
def test_sudo_writes_its_own_record(facts: dict[str, str], seen: Any) -> None:
    stat, count = facts["sudo_log"].splitlines()
    seen(facts["sudo_log"])
    assert stat.startswith("600 root:root ")
    assert int(count) > 0


@pytest.mark.control("RHEL-SUDO-05")
def test_wheel_holds_the_system_administrators_only(plan: Any, facts: dict[str, str], seen: Any) -> None:
    seen(facts["wheel"])
    assert sorted(facts["wheel"].split(":")[3].split(",")) == sorted(people(plan, "sistema"))


@pytest.mark.control("RHEL-ACCOUNT-01", "RHEL-ACCOUNT-03", "RHEL-ACCOUNT-07")
def test_defaults_for_new_accounts(plan: Any, facts: dict[str, str], seen: Any) -> None:
    found = dict(line.split(maxsplit=1) for line in facts["logindefs"].splitlines())
    values = plan.profile.values
    expected = {
        "PASS_MAX_DAYS": str(values.password_max_days),
        "PASS_MIN_DAYS": str(values.password_min_days),
        "PASS_MIN_LEN": "12",
        "PASS_WARN_AGE": "10",
        "ENCRYPT_METHOD": "SHA512",
        "UMASK": "027",
    }
    seen({name: found.get(name) for name in expected})
    assert not unlike(expected, found)


@pytest.mark.control("RHEL-ACCOUNT-03")
def test_umask_of_a_session(facts: dict[str, str], seen: Any) -> None:
    masks = [line.split()[-1] for line in facts["umasks"].splitlines() if "No such file" not in line]
    seen(f"session: {facts['session'].splitlines()[0]}; {facts['umasks']}")
    assert facts["session"].splitlines()[0] == "0027"
    assert masks
    assert all(int(mask, 8) & 0o027 == 0o027 for mask in masks)


@pytest.mark.control("RHEL-ACCOUNT-04")
def test_an_idle_session_ends(plan: Any, facts: dict[str, str], seen: Any) -> None:
    line = next((line for line in facts["session"].splitlines() if " TMOUT=" in line), "")
    seen(line)
    assert re.fullmatch(rf'declare -\w*r\w* TMOUT="{plan.profile.values.idle_seconds}"', line)
    assert "x" in line.split()[1]


@pytest.mark.control("RHEL-ACCOUNT-05")
def test_root_is_locked(facts: dict[str, str], seen: Any) -> None:
    seen(facts["root"])
    assert facts["root"].split()[1] in ("L", "LK")


@pytest.mark.control("RHEL-ACCOUNT-06", "RHEL-ACCOUNT-07")
def test_passwords_of_all_accounts(plan: Any, facts: dict[str, str], seen: Any) -> None:
    states = dict(line.split() for line in facts["shadow"].splitlines())
    seen(facts["shadow"])
    assert len(states) > 5
    assert {states.pop(name) for name in people(plan)} == {"sha512"}
    assert set(states.values()) == {"locked"}


@pytest.mark.control("RHEL-ACCOUNT-06", "RHEL-ACCOUNT-08")
def test_shells_and_ids_of_system_accounts(facts: dict[str, str], seen: Any) -> None:
    accounts = [line.split(":") for line in facts["passwd"].splitlines()]
    seen(facts["passwd"])
    assert [name for name, uid, _ in accounts if uid == "0"] == ["root"]
    allowed = {"nologin", "false", "sync", "shutdown", "halt"}
    loose = [
        name
        for name, uid, shell in accounts
        if 0 < int(uid) < 1000 and shell.rpartition("/")[2] not in allowed
    ]
    assert not loose


@pytest.mark.control("RHEL-SYSCTL-07")
def test_a_session_dumps_no_core(facts: dict[str, str], seen: Any) -> None:
    seen(facts["session"].splitlines()[-2:])
    assert facts["session"].splitlines()[-2:] == ["0", "0"]

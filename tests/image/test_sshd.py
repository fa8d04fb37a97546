"""SSH as it is in force: who gets in, by what, and what a connection may do."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from facts import ask, by_control, unlike

SSH = (
    "LC_ALL=C.UTF-8 ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=no"
    " -o UserKnownHostsFile=/dev/null"
    " -o PreferredAuthentications=password,keyboard-interactive,hostbased,gssapi-with-mic"
)

SETTINGS = {
    "RHEL-SSHD-09": {"ignorerhosts": "yes", "hostbasedauthentication": "no"},
    "RHEL-SSHD-10": {"permituserenvironment": "no", "permituserrc": "no"},
    "RHEL-SSHD-11": {"strictmodes": "yes"},
    "RHEL-SSHD-12": {"loglevel": "VERBOSE", "syslogfacility": "AUTHPRIV"},
    "RHEL-SSHD-13": {"rekeylimit": "1073741824 3600"},
    "RHEL-SSHD-16": {"permitemptypasswords": "no"},
    "RHEL-SSHD-17": {"usepam": "yes"},
    "RHEL-SSHD-18": {"kerberosauthentication": "no", "gssapiauthentication": "no"},
}
"""What `sshd -T` says where nothing but the setting can be seen."""


@pytest.fixture(scope="module")
def facts(plan: Any, host: Any) -> dict[str, str]:
    admin = plan.site.admin.user
    main_pid = f"systemctl show -p MainPID --value {plan.platform.service('sshd')}"
    return ask(
        host,
        {
            "sshd": "sshd -T",
            "sshd_line": f"tr '\\0' ' ' < /proc/$({main_pid})/cmdline",
            "ssh_root": f"{SSH} root@127.0.0.1 true",
            "ssh_admin": f"{SSH} {admin}@127.0.0.1 true",
            "issue_net": "cat /etc/issue.net",
            "mode": "stat -c '%a %U:%G' /etc/ssh/sshd_config",
        },
    )


@pytest.fixture(scope="module")
def sshd(facts: dict[str, str]) -> dict[str, str]:
    """Effective settings of sshd, by its own reading of its file."""
    return dict(line.partition(" ")[::2] for line in facts["sshd"].splitlines())


def named(facts: dict[str, str], setting: str) -> list[str]:
    """Return what a setting names that sshd prints on a line for each word."""
    return [line.split()[1] for line in facts["sshd"].splitlines() if line.startswith(f"{setting} ")]


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
    allowed = named(facts, "allowusers")
    seen(f"AllowUsers {allowed}")
    assert allowed == [plan.site.admin.user, *(person.user for person in plan.site.roles)]


@pytest.mark.control("RHEL-SSHD-15")
def test_a_role_is_asked_for_as_well(plan: Any, facts: dict[str, str], seen: Any) -> None:
    allowed = named(facts, "allowgroups")
    seen(f"AllowGroups {allowed}")
    assert allowed == ["wheel", *(("correo-admin", "correo-auditor") if plan.has("roles") else ())]


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


@pytest.mark.control("RHEL-SSHD-14")
def test_crypto_policy_is_opted_out_of(facts: dict[str, str], seen: Any) -> None:
    """RHEL 8 gives its policy to sshd as options, which win over sshd_config."""
    seen(facts["sshd_line"])
    assert "sshd" in facts["sshd_line"]
    assert not [name for name in ("Ciphers=", "MACs=", "KexAlgorithms=") if name in facts["sshd_line"]]


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


@pytest.mark.parametrize("expected", by_control(SETTINGS))
def test_setting_in_force(expected: dict[str, str], sshd: dict[str, str], seen: Any) -> None:
    seen({name: sshd.get(name) for name in expected})
    assert not unlike(expected, sshd)


@pytest.mark.control("RHEL-SSHD-08")
def test_only_root_reads_its_file(facts: dict[str, str], seen: Any) -> None:
    seen(facts["mode"])
    assert facts["mode"] == "600 root:root"

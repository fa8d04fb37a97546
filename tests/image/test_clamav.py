"""clamd and its signatures (CCN-STIC-681, 6.5 n); malware in mail: test_amavis.py."""

from __future__ import annotations

import base64
import functools
import io
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from smtp import Facts, await_line, look

from builder.ask.plan import Plan

Seen = Callable[[object], None]

EICAR = (r"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*").encode()
SOCKET = "/run/clamd.scan/clamd.sock"
BASE = "/var/lib/clamav"


def zipped(name: str, content: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return held.getvalue()


def scan(content: bytes) -> str:
    """Return the shell command that has clamd look at bytes."""
    text = base64.b64encode(content).decode()
    return f"echo {text} | base64 -d | clamdscan --config-file=/etc/clamd.d/scan.conf --no-summary -"


@pytest.fixture(scope="module")
def facts(host: Any) -> Facts:
    deep = functools.reduce(lambda inner, level: zipped(f"{level}.zip", inner), range(24), b"fondo")
    may = f"test -w {SOCKET} && echo yes || echo no"
    return look(
        host,
        {
            "unit": "systemctl is-enabled clamd@scan; systemctl is-active clamd@scan",
            "socket": f"stat -c '%a %U:%G %F' {SOCKET}",
            "reach": "".join(
                f"runuser -u {user} -- sh -c '{may}'; " for user in ("amavis", "postfix", "nobody")
            ),
            "listening": "ss -Hlntup | grep -E 'clam|freshclam'",
            "status": "pid=$(pgrep -x clamd); echo $pid; grep -E '^(Uid|CapEff|CapBnd):' /proc/$pid/status;"
            " ps -o user= -p $pid; readlink /proc/$pid/ns/net /proc/1/ns/net",
            "mounts": "awk '{print $5, $6}' /proc/$(pgrep -x clamd)/mountinfo",
            "base": f"stat -c '%a %U:%G %n' {BASE}/*",
            "eicar": scan(EICAR),
            "nested": scan(zipped("b.zip", zipped("eicar.txt", EICAR))),
            "clean": scan(zipped("nota.txt", b"Buenos dias")),
            "deep": scan(deep),
            "forged": f"mkdir /run/firmas; cd /run/firmas; ls -l {BASE} >before; printf '%513s' x >daily.cvd;"
            " /usr/libexec/forja/firmas instalar /run/firmas; echo rc $?;"
            f" ls -l {BASE} | cmp - before && echo unchanged; rm -r /run/firmas",
            "freshclam": "pgrep -a freshclam; systemctl is-active clamav-freshclam.service"
            " clamav-freshclam-once.timer; ls /etc/cron.d/clamav-update 2>/dev/null",
            "timer": "systemctl is-active forja-firmas.timer; systemctl start forja-firmas.service;"
            " systemctl show -p Result --value forja-firmas.service;"
            " journalctl -u forja-firmas.service -o cat -n 8 --no-pager | grep '^firmas: [A-Z]' | tail -n 1",
            "state": "/usr/libexec/forja/firmas estado; echo rc $?",
            "files": f"cd {BASE}; ls | grep -E '^(main|daily)[.]c[vl]d$'",
            "booleans": "getsebool antivirus_can_scan_system antivirus_use_jit",
            "domain": "ps -eo label=,comm= | grep -E ' (clamd|amavisd|/usr/sbin/amavi)'",
        },
    )


@pytest.mark.control("CCN681-6.5-40")
def test_clamd_runs_and_starts_by_itself(facts: Facts, seen: Seen) -> None:
    seen(facts["unit"])
    assert facts["unit"] == ["enabled", "active"]


@pytest.mark.control("CCN681-6.5-41")
def test_only_the_filter_reaches_it(facts: Facts, seen: Seen) -> None:
    seen(f"{facts['socket']}; amavis, postfix, nobody: {facts['reach']}; {facts['listening'] or 'no port'}")
    assert facts["socket"] == ["660 clamscan:amavis socket"]
    assert facts["reach"] == ["yes", "no", "no"]
    assert facts["listening"] == []


@pytest.mark.control("CCN681-6.5-42")
def test_it_runs_confined(facts: Facts, seen: Seen) -> None:
    pid, *rest, user, own, hosts = facts["status"]
    mounts = dict(line.split() for line in facts["mounts"])
    seen(f"{facts['status']}; / {mounts['/']}; {facts['base']}")
    assert user == "clamscan"
    assert {line.split()[0]: line.split()[1] for line in rest if line.startswith("Cap")} == {
        "CapEff:": "0000000000000000",
        "CapBnd:": "0000000000000000",
    }
    assert own != hosts, "it has the network of the machine"
    assert all("ro" in mounts[path].split(",") for path in ("/", "/var") if path in mounts)
    writable = [line for line in facts["base"] if " clamscan:" in line or int(line.split()[0], 8) & 0o022]
    assert pid.isdigit()
    assert writable == []


@pytest.mark.control("CCN681-6.5-43")
def test_beyond_the_limits_is_infected(facts: Facts, seen: Seen) -> None:
    seen(f"24 archives in each other: {facts['deep']}; one: {facts['clean']}")
    assert "Heuristics.Limits.Exceeded" in facts["deep"][0]
    assert facts["deep"][0].endswith("FOUND")
    assert facts["clean"][0].endswith(": OK")


@pytest.mark.control("CCN681-6.5-46")
def test_it_knows_eicar(facts: Facts, seen: Seen) -> None:
    seen(f"{facts['eicar']}; in a zip in a zip: {facts['nested']}; clean: {facts['clean']}")
    for name in ("eicar", "nested"):
        assert "EICAR" in facts[name][0].upper()
        assert facts[name][0].endswith("FOUND")
    assert facts["clean"][0].endswith(": OK")


@pytest.mark.control("CCN681-6.5-44")
def test_unsigned_signatures_are_refused(plan: Plan, facts: Facts, seen: Seen) -> None:
    seen(f"{facts['forged']}; freshclam: {facts['freshclam']}")
    assert facts["forged"][-2:] == ["rc 3", "unchanged"]
    assert plan.has("freshclam") or set(facts["freshclam"]) <= {"inactive", "unknown"}


@pytest.mark.control("CCN681-6.5-44")
@pytest.mark.needs("rpm")
def test_freshclam_is_there_only_with_a_mirror(plan: Plan, host: Any, seen: Seen) -> None:
    there = [name for name in ("clamav-update", "clamav-freshclam") if host.package(name).is_installed]
    seen(there or "not installed")
    assert bool(there) == plan.has("freshclam")


@pytest.mark.control("CCN681-6.5-45")
def test_age_of_the_signatures_is_told(facts: Facts, seen: Seen) -> None:
    active, result, told = facts["timer"]
    seen(f"{told}; {facts['state']}")
    assert (active, result) == ("active", "success")
    there = {name.partition(".")[0] for name in facts["files"]}
    word, code = told.split()[1].rstrip(":"), facts["state"][-1]
    if there == {"main", "daily"}:
        assert (word, code) in {("VIGENTES", "rc 0"), ("ANTIGUAS", "rc 1")}
    else:
        assert (word, code) == ("FALTAN", "rc 2")


@pytest.mark.control("CCN681-6.5-50")
def test_what_an_upgrade_puts_aside_is_looked_at(host: Any, seen: Seen) -> None:
    """As rpm leaves it; a signed one can't be made here, so it is one that must not come back."""
    saved = f"{BASE}/daily.cvd.rpmsave"
    before = host.check_output(f"cd {BASE}; sha256sum *")
    host.check_output(f"printf 'ClamAV-VDB:x:999999:%500s' x > {saved}")
    gone = await_line(host, f"test -e {saved} || echo gone", 180)
    told = await_line(host, "journalctl -u forja-firmas.service -o cat -n 20 | grep 'firmas: ERROR'")
    after = host.check_output(f"cd {BASE}; sha256sum *")
    seen(f"{gone}; {told}; files unchanged: {before == after}")
    assert gone
    assert "daily.cvd" in told
    assert before == after


@pytest.mark.control("CCN681-6.5-48")
@pytest.mark.needs("selinux")
def test_selinux_confines_it(facts: Facts, seen: Seen) -> None:
    seen(facts["booleans"] + facts["domain"])
    assert facts["booleans"] == ["antivirus_can_scan_system --> off", "antivirus_use_jit --> off"]
    assert len(facts["domain"]) >= 2
    assert all(":antivirus_t:" in line for line in facts["domain"])

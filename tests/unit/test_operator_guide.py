"""The operator's guide against the overlays: what it names is there, and who it names may do it."""

from __future__ import annotations

import fnmatch
import re
import shlex
import tempfile
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from builder.ask.overlay import FOLDER
from builder.ask.plan import Plan, make_plan
from builder.ask.reading import REPOSITORY
from builder.ask.site import EXAMPLE
from builder.make.overlay import collect_members
from tests.media.rhel83 import CORE_DEFAULT, CORE_MANDATORY, EPEL, read_rows

GUIDE = REPOSITORY / "docs" / "operador"
PAGES = sorted(GUIDE.glob("*.md"))
ROLES = {"correo": "correo-admin", "auditor": "correo-auditor"}
PROGRAMS = {
    "amavisd": "amavis", "aureport": "audit", "ausearch": "audit",
    "awk": "gawk", "cat": "coreutils", "chage": "shadow-utils", "chmod": "coreutils", "chown": "coreutils",
    "chpasswd": "shadow-utils", "chronyc": "chrony", "cmp": "diffutils", "cp": "coreutils", "cpio": "cpio",
    "cut": "coreutils", "df": "coreutils", "diff": "diffutils", "dnf": "dnf", "du": "coreutils",
    "export": "bash", "faillock": "pam", "find": "findutils", "firewall-cmd": "firewalld",
    "free": "procps-ng", "getent": "glibc-common", "gpasswd": "shadow-utils", "gpg": "gnupg2",
    "gpgsm": "gnupg2-smime", "grep": "grep", "gzip": "gzip", "install": "coreutils",
    "journalctl": "systemd", "less": "less", "logger": "util-linux", "loginctl": "systemd",
    "logrotate": "logrotate", "ls": "coreutils", "mount": "util-linux", "mv": "coreutils",
    "newaliases": "postfix", "nmcli": "NetworkManager", "opendkim": "opendkim", "openssl": "openssl",
    "passwd": "passwd", "platform-python": "platform-python",
    "postcat": "postfix", "postconf": "postfix", "postfix": "postfix", "postmap": "postfix",
    "postqueue": "postfix", "postsuper": "postfix", "restorecon": "policycoreutils", "rm": "coreutils",
    "rpm": "rpm", "rsyslogd": "rsyslog", "sh": "bash", "sha256sum": "coreutils", "sort": "coreutils",
    "spamassassin": "spamassassin", "ss": "iproute", "ssh-keygen": "openssh", "sshd": "openssh-server",
    "sudo": "sudo", "sudoedit": "sudo", "systemctl": "systemd", "tail": "coreutils", "tr": "coreutils",
    "umask": "bash", "umount": "util-linux", "uniq": "coreutils", "useradd": "shadow-utils",
    "clevis": "clevis-luks", "cryptsetup": "cryptsetup", "fapolicyd-cli": "fapolicyd",
    "lsblk": "util-linux", "systemd-tty-ask-password-agent": "systemd", "usbguard": "usbguard",
    "usermod": "shadow-utils", "wc": "coreutils", "cd": "bash",
}  # fmt: skip
"""Program -> the RHEL 8.3 or EPEL 8 package that brings it."""

HARMLESS = {"grep", "sort", "uniq", "tail", "less", "df", "passwd"}
"""What anybody with a shell may run, and the blocks of roles use after a pipe or by itself."""

NOT_OURS = {
    "/etc/audit/rules.d", "/etc/opendkim/keys", "/etc/passwd", "/etc/shadow", "/etc/group", "/etc/ssh",
    "/etc/firewalld", "/etc/resolv.conf", "/etc/pki/tls", "/etc/pki/tls/private", "/etc/pki/tls/certs",
    "/etc/mail/spamassassin", "/etc/amavisd", "/etc/opendkim", "/etc/postfix", "/etc",
    "/etc/fapolicyd/fapolicyd.trust",
}  # fmt: skip
"""Files and folders of packages, or folders that hold ours."""

MADE_LATER = {
    "/etc/audit/rules.d/35-forja-privilegiados.rules",  # audit/apply.sh, from what it finds
    "/etc/opendkim/registro-dns.txt",  # dkim-registro
    "/etc/opendkim/keys/forja.private",
    "/etc/opendkim/keys/SELECTOR.private",
    "/etc/pki/tls/certs/forja-postfix.pem",  # 50-certificado, or the site
    "/etc/pki/tls/private/forja-postfix.key",
    "/etc/pki/tls/private/forja-postfix.key.nueva",
    "/etc/ssh/ssh_host_ed25519_key",
    "/etc/ssh/ssh_host_ed25519_key.pub",
    "/etc/ssh/ssh_host_ecdsa_key",
    "/etc/postfix/relay_recipients",  # by the guide itself
    "/etc/postfix/tls_policy",
    "/etc/tmpfiles.d/desbloqueo.conf",
}
"""What the first boot, the site or the guide's own steps bring."""

OFFERED = {"master_service_disable", "relay_recipient_maps", "smtp_tls_policy_maps"}
"""Parameters that the guide tells to set, and the image leaves alone."""


def overlays() -> list[dict[str, Any]]:
    return [tomllib.loads(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*/overlay.toml")]


@cache
def controls() -> dict[str, str]:
    """Return id -> status of every control of every overlay."""
    return {
        control["id"]: control.get("status", "implemented")
        for path in FOLDER.glob("*/controls.toml")
        for control in tomllib.loads(path.read_text(encoding="utf-8"))["control"]
    }


@cache
def server() -> Plan:
    """Return a server of the profile `clasificado`, with what a site may switch on."""
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder, "site.toml")
        wish = '\n[disk_encryption]\ndata_volumes = "tpm"\n'
        site.write_text(EXAMPLE.read_text(encoding="utf-8") + wish, encoding="utf-8")
        return make_plan("clasificado", site, "rhel-8.3", closed=True)


@cache
def installed() -> dict[str, Any]:
    """Return path -> member of every file and folder on a server of the profile `clasificado`."""
    return {member.path: member for member in collect_members(server())}


@cache
def declared() -> set[str]:
    """Return every path that some overlay declares, those included that come from a site."""
    return {
        entry["path"]
        for overlay in overlays()
        for kind in ("files", "dirs")
        for entry in overlay.get(kind, [])
    }


def program(name: str) -> str:
    """Return the text of a program in /usr/libexec/forja."""
    content = installed()[f"/usr/libexec/forja/{name}"].content
    assert content is not None
    return str(content.decode())


def blocks(*labels: str) -> Iterator[tuple[str, str, str]]:
    """Give (page, label, line) of every line in the blocks with one of the labels."""
    for page in PAGES:
        for label, body in re.findall(r"(?ms)^ *```(\w+)\n(.*?)^ *```$", page.read_text(encoding="utf-8")):
            if label in labels:
                for line in filter(None, map(str.strip, body.splitlines())):
                    yield page.name, label, line


def inline() -> Iterator[tuple[str, str]]:
    """Give (page, text) of everything in backticks."""
    for page in PAGES:
        text = re.sub(r"(?ms)^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"))
        for found in re.findall(r"`([^`]+)`", text):
            yield page.name, " ".join(found.split())


def commands(line: str) -> Iterator[list[str]]:
    """Give the simple commands of a shell line, those inside `sh -c` as well."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words: list[str] = []
    tokens = list(lexer)
    while tokens:
        token = tokens.pop(0)
        if set(token) <= set("<>"):
            tokens.pop(0)
        elif set(token) <= set("|&;"):
            yield words
            words = []
        else:
            words.append(token)
    if words:
        yield words
    for first, second, script in zip(words, words[1:], words[2:], strict=False):
        if (first, second) == ("sh", "-c"):
            yield from commands(script)


def unwrapped(words: list[str]) -> list[str]:
    """Return the command that sudo runs, or the command itself."""
    if words[0] != "sudo":
        return words
    words = words[1:]
    while words and words[0].startswith("-"):
        words = words[2:] if words[0] == "-u" else words[1:]
    return words


@cache
def permitted(group: str) -> tuple[list[str], ...]:
    """Return the commands that sudo gives to a group, in words; a lone word takes any argument."""
    content = installed()["/etc/sudoers.d/50-forja-roles"].content
    assert content is not None
    rules = content.decode()
    aliases = {
        name: [command.strip() for command in value.split(",")]
        for name, value in re.findall(r"(?m)^Cmnd_Alias\s+(\w+)\s*=\s*(.*)$", rules)
    }
    granted = re.search(rf"(?m)^%{group}\s+ALL=\(root\)\s+(.*)$", rules)
    assert granted is not None
    return tuple(command.split() for name in granted[1].split(",") for command in aliases[name.strip()])


def may(group: str, words: list[str]) -> bool:
    for rule in permitted(group):
        if rule[-1] == '""':
            if words == rule[:-1]:
                return True
        elif words[: len(rule)] == [word.replace("[0-9]" * 8, "AAAAMMDD") for word in rule] and len(rule) in (
            1,
            len(words),
        ):
            return True
    return False


def test_there_is_a_page_for_each_matter_and_the_index_names_it() -> None:
    index = (GUIDE / "index.md").read_text(encoding="utf-8")
    for page in PAGES:
        assert page.name == "index.md" or f"({page.name})" in index, page.name
    assert len(PAGES) > 10


def test_every_control_that_is_named_exists() -> None:
    for page in PAGES:
        for found in re.findall(r"\b(?:CCN681|RHEL)-[\w.]+-\d+\b", page.read_text(encoding="utf-8")):
            assert found in controls(), f"{page.name}: {found}"


def test_every_manual_control_is_in_the_table_and_no_other() -> None:
    page = (GUIDE / "controles-manuales.md").read_text(encoding="utf-8")
    rows = [
        line.strip("|").split(" | ")
        for line in page.splitlines()
        if line.startswith(("| CCN681-", "| RHEL-"))
    ]
    listed = [row[0].strip() for row in rows]
    assert listed == sorted(set(listed))
    assert set(listed) == {name for name, status in controls().items() if status == "manual"}
    for row in rows:
        assert len(row) == 4, row
        assert all(cell.strip() for cell in row), row


def test_every_path_of_forja_that_is_named_exists() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in re.findall(r"(?<!\w)/usr/(?:local|lib/forja|libexec/forja)(?:/[\w.@-]+)*", text):
            assert found in declared(), f"{page.name}: {found}"


def test_every_file_of_etc_that_is_named_is_known() -> None:
    known = declared() | NOT_OURS | MADE_LATER
    folders = {path.rsplit("/", 1)[0] for path in known}
    for page in PAGES:
        for found in re.findall(r"(?<![\w/])/etc(?:/[\w.@-]+)*", page.read_text(encoding="utf-8")):
            path = found.rstrip(".")
            assert path in known or path in folders, f"{page.name}: {path}"


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_run_what_its_blocks_say(role: str) -> None:
    seen = 0
    for page, _, line in blocks(role):
        for words in commands(line):
            if words[0] == "sudo":
                assert may(ROLES[role], words[1:]), f"{page}: {line}"
                seen += 1
            elif words[0] == "sudoedit":
                assert may(ROLES[role], words), f"{page}: {line}"
                seen += 1
            else:
                assert words[0] in HARMLESS, f"{page}: {line}"
    assert seen >= 5


def test_what_a_role_may_not_is_seen() -> None:
    assert not may("correo-auditor", ["/usr/libexec/forja/cola", "ver", "ID"])
    assert not may("correo-auditor", ["/usr/sbin/aureport", "-if", "x"])
    assert not may("correo-admin", ["/usr/libexec/forja/registro", "acceso"])
    assert not may("correo-admin", ["/usr/libexec/forja/registro", "acceso", "AAAAMMDD"])
    assert not may("correo-auditor", ["/usr/libexec/forja/cuarentena", "lista"])
    assert not may("correo-admin", ["sudoedit", "/etc/postfix/main.cf"])
    assert list(commands("sudo sh -c 'cd / && tar c x | gzip > y' | cat")) == [
        ["sudo", "sh", "-c", "cd / && tar c x | gzip > y"], ["cat"],
    ]  # fmt: skip


@cache
def closure() -> frozenset[str]:
    """Return a server's packages: @core and the overlays', with what they need, as the kit knows it."""
    needs = {row["name"]: row["requires"].split() for row in read_rows() if row["arch"] != "i686"}
    needs |= {rpm.name: list(rpm.requires) for rpm in EPEL}
    plan = server()
    waiting = [
        name
        for name in (CORE_MANDATORY + CORE_DEFAULT).split()
        if not any(fnmatch.fnmatch(name, pattern) for pattern in plan.excludes)
    ]
    waiting += [re.sub(r"-\d[^-]*-[^-]*$", "", name) for name in plan.packages]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += needs.get(name, [])
    return frozenset(found)


def test_every_program_is_on_the_server() -> None:
    assert "tar" not in closure()
    seen = set()
    quoted = [text for _, text in inline() if text.startswith(("sudo ", "systemctl ", "getent ", "df "))]
    for line in [line for _, _, line in blocks("sistema", *ROLES)] + quoted:
        for words in commands(line):
            name = unwrapped(words)[:1]
            if not name or name[0].startswith("/usr/libexec/forja/") or name == ["-l"]:
                continue
            name[0] = name[0].rsplit("/", 1)[-1]
            assert name[0] in PROGRAMS, line
            assert PROGRAMS[name[0]] in closure(), f"{line}: {PROGRAMS[name[0]]} is not installed"
            seen.add(name[0])
    assert len(seen) > 40
    assert seen <= set(PROGRAMS)


def test_orders_of_our_programs_exist() -> None:
    lines = [line for _, _, line in blocks("sistema", *ROLES)] + [text for _, text in inline()]
    seen = set()
    for line in lines:
        for name, order in re.findall(r"/usr/libexec/forja/([\w-]+)(?: (-{0,2}\w+))?", line):
            text = program(name)
            if name in ("cola", "cuarentena", "registro"):
                assert order, line
                assert re.search(rf"(?m)^ +{order}\b|  {order} ", text), line
            elif name == "semilla":
                assert not order or f"    {order})" in text, line
            elif name == "firmas":
                assert f'"{order} ' in text, line
            seen.add((name, order))
    for name in ("cola", "cuarentena"):
        shown = re.findall(r"(?m)^  (\w+)(?: [A-Z]+)?  ", program(name))
        assert {order for of, order in seen if of == name} == set(shown)


def test_every_unit_exists() -> None:
    plan = make_plan("clasificado", None, "rhel-8.3")
    units = {name.removesuffix(".service") for name in plan.services}
    units |= {
        path.rsplit("/", 1)[-1].removesuffix(".service") for path in installed() if "/systemd/system/" in path
    }
    for page, _, line in blocks("sistema"):
        for words in map(unwrapped, commands(line)):
            if words[:1] == ["systemctl"] and words[1] in ("start", "stop", "restart", "reload", "is-active"):
                assert set(words[2:]) <= units, f"{page}: {line}"


def test_every_setting_is_as_in_main_cf() -> None:
    rows = (FOLDER / "postfix" / "parameters-3.3.1.tsv").read_text(encoding="utf-8").splitlines()[1:]
    defaults = dict(row.split("\t")[:2] for row in rows)
    content = installed()["/etc/postfix/main.cf"].content
    assert content is not None
    main = dict(re.findall(r"(?m)^(\w+) = (.*)$", content.decode()))
    seen = 0
    for page, text in inline():
        found = re.fullmatch(r"([a-z0-9_]+) = (.+)", text)
        if found and found[1] in defaults:
            assert main.get(found[1], defaults[found[1]]) == found[2], f"{page}: {text}"
            seen += 1
    assert seen >= 5
    for page, _, line in blocks("sistema"):
        for name in re.findall(r"postconf (?:-e|-X) '?(\w+)", line):
            assert name in OFFERED, f"{page}: {line}"
            assert name in defaults, f"{page}: {line}"
            assert name not in main, f"{page}: {line}"


def test_terms_of_the_profile_are_its_own() -> None:
    plan = make_plan("clasificado", None, "rhel-8.3")
    text = " ".join(" ".join(page.read_text(encoding="utf-8").split()) for page in PAGES)
    values = plan.profile.values
    assert f"`log_days` del perfil ({values.log_days} días en `clasificado`)" in text
    assert f"`password_max_days` del perfil ({values.password_max_days} en `clasificado`)" in text
    assert values.signatures_days == 7
    assert "`signatures_days` del perfil (siete días en `clasificado`)" in text
    sizes = {str(mount.path): mount.size_mib for mount in plan.profile.mounts}
    assert f"El volumen ({sizes['/var/spool/amavisd/quarantine'] // 1024} GiB".lower() in text.lower()
    assert f"`/var/tmp` tiene {sizes['/var/tmp'] // 1024} GiB" in text


def test_real_dvd_names_what_epel_brings() -> None:
    page = (REPOSITORY / "docs" / "how-to" / "real-dvd.md").read_text(encoding="utf-8")
    plan = make_plan("clasificado", None, "rhel-8.3")
    for rpm in EPEL:
        assert f"`{rpm.name}`" in page, rpm.name
    asked = {rpm.name for rpm in EPEL} & set(plan.packages)
    command = re.search(r"(?m)^ +dnf download --resolve .*\\\n(.*)$", page)
    assert command is not None
    assert set(command[1].split()) == asked

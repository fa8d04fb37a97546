"""The overlays spf, dkim, roles, gnupg, updates and logs, rendered; and programs of theirs, run."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from builder.ask.overlay import FOLDER
from builder.ask.plan import NEEDED, Plan, make_plan
from builder.ask.profile import FOLDER as PROFILES
from builder.ask.profile import profile_names
from builder.ask.site import EXAMPLE
from builder.make.overlay import Member, collect_members
from builder.tools.errors import BadInput

KEY = "key.pem"


def plan_with(tmp_path: Path, more: str, *changes: tuple[str, str], platform: str = "rhel-8.3") -> Plan:
    text = EXAMPLE.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "site.toml").write_text(f"{text}\n{more}", encoding="utf-8")
    return make_plan("clasificado", tmp_path / "site.toml", platform)


def files(plan: Plan) -> dict[str, Member]:
    return {member.path: member for member in collect_members(plan)}


def text(members: dict[str, Member], path: str) -> str:
    content = members[path].content
    assert content is not None
    return content.decode()


def settings(content: str, separator: str | None = None) -> dict[str, str]:
    lines = [line for line in content.splitlines() if line.strip() and not line.startswith("#")]
    pairs = [line.split(separator, 1) for line in lines]
    return {name.strip(): value.strip() for name, value in pairs}


@pytest.fixture(scope="module", params=profile_names())
def rhel(request: pytest.FixtureRequest) -> dict[str, Member]:
    return files(make_plan(request.param, None, "rhel-8.3"))


# --- SPF and DKIM ---------------------------------------------------------------------------------

POLICYD_2_0_2 = set(
    re.findall(
        r"\w+",
        """
    debugLevel HELO_reject Mail_From_reject PermError_reject TempError_Defer Mail_From_pass_restriction
    HELO_pass_restriction Prospective Whitelist skip_addresses HELO_Whitelist Domain_Whitelist
    Domain_Whitelist_PTR No_Mail Reject_Not_Pass_Domains Per_User TestOnly SPF_Enhanced_Status_Codes
    Header_Type Hide_Receiver Authserv_Id Lookup_Time Whitelist_Lookup_Time Void_Limit Reason_Message
    """,
    )
)
"""Settings of pypolicyd-spf 2.0.2 (EPEL 8 of 2021); 2.9.3 knows them all."""


def test_policyd_spf_knows_every_setting(rhel: dict[str, Member]) -> None:
    content = text(rhel, "/etc/python-policyd-spf/policyd-spf.conf")
    found = settings(content, "=")
    assert set(found) <= POLICYD_2_0_2
    assert not any("=" in value for value in found.values()), "it passes over a line with two ="
    assert found["skip_addresses"].endswith(",10.20.40.0/24")
    assert " " not in found["skip_addresses"]
    assert (found["HELO_reject"], found["Mail_From_reject"], found["TestOnly"]) == ("Fail", "Fail", "1")
    main = dict(
        line.split(" = ", 1) for line in text(rhel, "/etc/postfix/main.cf").splitlines() if " = " in line
    )
    assert 2 * int(found["Lookup_Time"]) < int(main["smtpd_policy_service_timeout"].rstrip("s"))


def test_each_domain_of_ours_is_signed_for_once(tmp_path: Path) -> None:
    plan = plan_with(
        tmp_path,
        '[dkim]\nselector = "r2026"\n',
        ('relay_domains = ["ejemplo.es"]', 'relay_domains = ["ejemplo.es", "ejemplo.org"]'),
    )
    members = files(plan)
    keys = settings(text(members, "/etc/opendkim/KeyTable"))
    signing = settings(text(members, "/etc/opendkim/SigningTable"))
    assert keys == {
        f"r2026._domainkey.{domain}": f"{domain}:r2026:/etc/opendkim/keys/forja.private"
        for domain in ("ejemplo.es", "ejemplo.org")
    }
    assert signing == {
        "*@ejemplo.es": "r2026._domainkey.ejemplo.es",
        "*@ejemplo.org": "r2026._domainkey.ejemplo.org",
        "*@relay.ejemplo.es": "r2026._domainkey.ejemplo.es",
    }
    assert "10.20.40.0/24" in text(members, "/etc/opendkim/TrustedHosts").splitlines()
    assert "/etc/opendkim/keys/forja.private" not in members


def test_a_key_that_is_brought_is_opendkims_alone(tmp_path: Path) -> None:
    (tmp_path / KEY).write_text("clave", encoding="utf-8")
    members = files(plan_with(tmp_path, f'[dkim]\nkey = "{KEY}"\n'))
    key = members["/etc/opendkim/keys/forja.private"]
    assert (key.mode, key.owner, key.content) == (0o600, "opendkim:opendkim", b"clave")


def test_opendkim_signs_what_it_counts_twice(rhel: dict[str, Member]) -> None:
    found = settings(text(rhel, "/etc/opendkim.conf"))
    signed = found["SignHeaders"].split(",")
    assert set(found["OversignHeaders"].split(",")) <= set(signed)
    assert {"From", "To", "Subject", "Date", "Message-ID"} <= set(signed)
    assert not {"Received", "Return-Path", "Authentication-Results", "Received-SPF"} & set(signed)
    assert found["Socket"] == "inet:8891@127.0.0.1"


def run_record(tmp_path: Path, bits: int) -> subprocess.CompletedProcess[str]:
    """Run `dkim-registro` on a key of some bits, its folder moved to a temporary one."""
    script = (FOLDER / "dkim/root/usr/libexec/forja/dkim-registro").read_text(encoding="utf-8")
    assert "folder=/etc/opendkim\n" in script
    moved = tmp_path / "dkim-registro"
    moved.write_text(script.replace("folder=/etc/opendkim\n", f"folder={tmp_path}\n"), encoding="utf-8")
    key = tmp_path / KEY
    subprocess.run(["openssl", "genrsa", "-out", key, str(bits)], check=True, capture_output=True)
    (tmp_path / "KeyTable").write_text(
        f"# nota\nr._domainkey.ejemplo.es ejemplo.es:r:{key}\nr._domainkey.ejemplo.org ejemplo.org:r:{key}\n"
    )
    return subprocess.run(["sh", moved], capture_output=True, text=True, check=False)


def test_the_record_is_of_the_key(tmp_path: Path) -> None:
    done = run_record(tmp_path, 2048)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (tmp_path / "registro-dns.txt").read_text(encoding="utf-8")
    public = subprocess.run(
        f"openssl rsa -in {tmp_path / KEY} -pubout -outform DER 2>/dev/null | base64 -w 0",
        shell=True,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    records = re.findall(r"^r\._domainkey\.(ejemplo\.\w+)\. IN TXT \(([^)]*)\)", done.stdout, re.MULTILINE)
    assert [domain for domain, _ in records] == ["ejemplo.es", "ejemplo.org"]
    for _, strings in records:
        parts = re.findall(r'"([^"]*)"', strings)
        assert max(map(len, parts)) <= 255
        assert "".join(parts) == f"v=DKIM1; h=sha256; k=rsa; s=email; p={public}"


def test_a_short_key_is_refused(tmp_path: Path) -> None:
    done = run_record(tmp_path, 1024)
    assert done.returncode != 0
    assert "1024 bits" in done.stderr
    assert not (tmp_path / "registro-dns.txt").exists()


# --- Roles ----------------------------------------------------------------------------------------


def test_sudo_rules_are_whole_commands(rhel: dict[str, Member]) -> None:
    rules = rhel["/etc/sudoers.d/50-forja-roles"]
    content = "\n".join(
        line for line in text(rhel, "/etc/sudoers.d/50-forja-roles").splitlines() if not line.startswith("#")
    )
    assert (rules.mode, rules.owner) == (0o440, "root:root")
    # Eight digits are eight digits: a bracket matches no blank.
    plain = content.replace("Defaults!", "Defaults ").replace("[0-9]" * 8, "DAY")
    assert not re.search(r"[*?\[\]!]", plain)
    assert "NOPASSWD" not in content
    assert "main.cf" not in content
    assert "master.cf" not in content
    edited = re.findall(r"sudoedit (\S+?)(?:,|$)", content, re.MULTILINE)
    assert edited
    assert "Defaults!FORJA_TABLAS env_delete" in content
    written = {path for path in rhel if path.startswith("/etc/")}
    assert set(edited) <= written


def test_people_are_in_the_groups_of_their_roles(rhel: dict[str, Member]) -> None:
    assert text(rhel, "/usr/lib/forja/roles.tsv") == "operador\tcorreo-admin\nauditora\tcorreo-auditor\n"


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("cola", []),
        ("cola", ["borrar"]),
        ("cola", ["borrar", "ALL"]),
        ("cola", ["borrar", "all"]),
        ("cola", ["borrar", ""]),
        ("cola", ["borrar", "-"]),
        ("cola", ["ver", "../../etc/shadow"]),
        ("cola", ["ver", "A B"]),
        ("cola", ["ver", "A\nB"]),
        ("cola", ["ver", "A", "B"]),
        ("cola", ["lista", "A"]),
        ("cola", ["lista;id"]),
        ("cuarentena", []),
        ("cuarentena", ["liberar"]),
        ("cuarentena", ["ver", "../../etc/shadow"]),
        ("cuarentena", ["ver", "banned-a/../x"]),
        ("cuarentena", ["ver", "banned-"]),
        ("cuarentena", ["ver", "otro-abc"]),
        ("cuarentena", ["liberar", "spam-a", "b@c.es"]),
        ("cuarentena", ["liberar", "spam-a\nb"]),
        ("cuarentena", ["lista", "spam-a"]),
        ("registro", []),
        ("registro", ["/etc/shadow"]),
        ("registro", ["correo", "../../etc/shadow"]),
        ("registro", ["correo", ""]),
        ("registro", ["correo", "1", "2"]),
        ("registro", ["correo", "1\n2"]),
        ("registro", ["diario", "1"]),
        ("registro", ["-f", "/etc/shadow"]),
    ],
)
def test_programs_of_the_roles_take_nothing_else(program: str, words: list[str]) -> None:
    [path] = FOLDER.glob(f"*/root/usr/libexec/forja/{program}")
    done = subprocess.run(["sh", path, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 64
    assert done.stderr.startswith("uso: ")
    assert done.stdout == ""


# --- GnuPG, updates, logs -------------------------------------------------------------------------


def test_no_key_server_and_no_network_in_key_rings(rhel: dict[str, Member]) -> None:
    gpg = text(rhel, "/etc/skel/.gnupg/gpg.conf").splitlines()
    assert {"disable-dirmngr", "no-auto-key-locate", "no-auto-key-retrieve"} <= set(gpg)
    assert not any(line.startswith("keyserver ") for line in gpg)
    assert {"disable-http", "disable-ldap"} <= set(text(rhel, "/etc/skel/.gnupg/dirmngr.conf").splitlines())
    assert rhel["/etc/skel/.gnupg"].mode == 0o700


def test_without_repositories_dnf_has_none(rhel: dict[str, Member]) -> None:
    assert "[" not in text(rhel, "/etc/forja/repositorios.d/organizacion.repo")
    dnf = settings(text(rhel, "/etc/dnf/dnf.conf").replace("[main]", "# main"), "=")
    assert (dnf["gpgcheck"], dnf["localpkg_gpgcheck"]) == ("1", "1")
    assert dnf["reposdir"] == "/etc/forja/repositorios.d"


LOGS = '[logs]\nserver = "10.20.53.99"\nca = "ca.pem"\n'


def test_logs_go_to_the_collector_of_the_site_by_tls(tmp_path: Path, rhel: dict[str, Member]) -> None:
    path = "/etc/rsyslog.d/80-forja-reenvio.conf"
    assert "omfwd" not in text(rhel, path)
    (tmp_path / "ca.pem").write_text("ca", encoding="utf-8")
    members = files(plan_with(tmp_path, LOGS + 'name = "registros.ejemplo.es"\nport = 7000\n'))
    content = text(members, path)
    for setting in (
        'target="10.20.53.99"',
        'port="7000"',
        'StreamDriverMode="1"',
        'StreamDriverAuthMode="x509/name"',
        'StreamDriverPermittedPeers="registros.ejemplo.es"',
    ):
        assert setting in content
    assert "CertFile=" not in content
    assert members["/etc/pki/tls/certs/forja-recolector-ca.pem"].content == b"ca"


# --- What a site asks for -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('[logs]\nserver = "10.20.53.99"\n', "logs: server needs ca"),
        (LOGS + 'key = "k.pem"\n', "logs: certificate and key must be given together"),
        ('[dkim]\nselector = "a b"\n', "dkim.selector"),
        (
            '[[updates.repositories]]\nid = "a"\nbaseurl = "https://a.es/r"\n',
            "updates: repositories need keys",
        ),
        (
            '[updates]\nkeys = "k"\n[[updates.repositories]]\nid = "a"\nbaseurl = "http://a.es/r"\n',
            "updates.repositories.0.baseurl",
        ),
        (
            '[updates]\nkeys = "k"\n[[updates.repositories]]\nid = "a]"\nbaseurl = "file:///r"\n',
            "updates.repositories.0.id",
        ),
    ],
)
def test_a_wrong_wish_is_refused_by_its_key(tmp_path: Path, more: str, said: str) -> None:
    with pytest.raises(BadInput, match=re.escape(said)):
        plan_with(tmp_path, more)


def test_an_account_is_one_persons(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="the account 'administrador' is there twice"):
        plan_with(tmp_path, "", ('user = "operador"', 'user = "administrador"'))
    with pytest.raises(BadInput, match=r"roles\.0\.user: is a system account"):
        plan_with(tmp_path, "", ('user = "operador"', 'user = "correo-admin"'))


def test_a_wish_without_its_overlay_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(PROFILES, tmp_path / "profiles")
    path = tmp_path / "profiles/ens-basica.toml"
    profile = path.read_text(encoding="utf-8")
    for name in NEEDED.values():
        profile = profile.replace(f', "{name}"', "")
    path.write_text(profile, encoding="utf-8")
    monkeypatch.setattr("builder.ask.profile.FOLDER", tmp_path / "profiles")
    with pytest.raises(BadInput, match="the site has roles, for which clasificado lacks the overlay 'roles'"):
        make_plan("clasificado", None, "rhel-8.3")

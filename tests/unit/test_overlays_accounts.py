"""The overlays accounts and sshd, rendered: PAM's stacks in order, nothing that RHEL 8.3 lacks."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from rendered import lines, text

from builder.ask.plan import Plan, make_plan
from builder.make.overlay import Member
from builder.tools.process import find_program

ROOT = Path(__file__).parents[2]
FORJA = "/etc/authselect/custom/forja"
STACKS = (f"{FORJA}/system-auth", f"{FORJA}/password-auth")

MODULES_1_3_1 = set(
    re.findall(
        r"\w+",
        """
pam_access pam_debug pam_deny pam_env pam_faildelay pam_faillock pam_keyinit pam_lastlog pam_limits pam_permit
pam_pwhistory pam_pwquality pam_rootok pam_succeed_if pam_systemd pam_umask pam_unix pam_wheel pam_xauth
""",
    )
)
"""Modules of pam 1.3.1, libpwquality and systemd 239 in a minimal RHEL 8.3 (pam_lastlog is in its pam)."""

PWQUALITY_1_4_0 = set(
    re.findall(
        r"\w+",
        """
difok minlen dcredit ucredit lcredit ocredit minclass maxrepeat maxsequence maxclassrepeat gecoscheck
dictcheck usercheck enforcing badwords dictpath
""",
    )
)
FAILLOCK_1_3_1 = set(
    re.findall(
        r"\w+",
        """
dir audit silent no_log_info local_users_only deny fail_interval unlock_time even_deny_root root_unlock_time
admin_group
""",
    )
)

SSHD_8_0 = set(
    re.findall(
        r"\w+",
        """
acceptenv addressfamily allowagentforwarding allowgroups allowstreamlocalforwarding allowtcpforwarding
allowusers authenticationmethods authorizedkeyscommand authorizedkeyscommanduser authorizedkeysfile
authorizedprincipalscommand authorizedprincipalscommanduser authorizedprincipalsfile banner
casignaturealgorithms challengeresponseauthentication chrootdirectory ciphers clientalivecountmax
clientaliveinterval compression denygroups denyusers disableforwarding exposeauthinfo fingerprinthash
forcecommand gatewayports gssapiauthentication gssapicleanupcredentials gssapistrictacceptorcheck
hostbasedacceptedkeytypes hostbasedauthentication hostbasedusesnamefrompacketonly hostcertificate hostkey
hostkeyagent hostkeyalgorithms ignorerhosts ignoreuserknownhosts ipqos kbdinteractiveauthentication
kerberosauthentication kerberosgetafstoken kerberosorlocalpasswd kerberosticketcleanup kexalgorithms
listenaddress logingracetime loglevel macs match maxauthtries maxsessions maxstartups passwordauthentication
permitemptypasswords permitlisten permitopen permitrootlogin permittty permittunnel permituserenvironment
permituserrc pidfile port printlastlog printmotd pubkeyacceptedkeytypes pubkeyauthentication rekeylimit
revokedkeys rdomain setenv streamlocalbindmask streamlocalbindunlink strictmodes subsystem syslogfacility
tcpkeepalive trustedusercakeys usedns usepam versionaddendum x11displayoffset x11forwarding x11uselocalhost
xauthlocation
""",
    )
)
"""Keywords of sshd_config(5) in OpenSSH 8.0; it has no Include (8.2)."""

KEX_8_0 = {
    *(f"ecdh-sha2-nistp{bits}" for bits in (256, 384, 521)),
    *("curve25519-sha256", "curve25519-sha256@libssh.org"),
}


@dataclass(frozen=True)
class Line:
    """A line of a PAM stack: what it is about, what follows from its answer, the module, its arguments."""

    kind: str
    control: str
    module: str
    arguments: tuple[str, ...]


def read_stack(content: str) -> list[Line]:
    """Return the lines of a stack, as pam.d(5) has them."""
    found = []
    for said in content.splitlines():
        if not said.strip() or said.startswith("#"):
            continue
        match = re.fullmatch(
            r"-?(auth|account|password|session)\s+(\[[^]]+\]|\w+)\s+([\w.-]+)((?:\s+\S+)*)", said.rstrip()
        )
        assert match, said
        found.append(Line(match[1], match[2], match[3].removesuffix(".so"), tuple(match[4].split())))
    return found


def settings(content: str) -> dict[str, str]:
    lines = (line for line in content.splitlines() if line.strip() and not line.startswith("#"))
    return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}


# --- PAM -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", STACKS)
def test_stack_is_in_order(path: str, plan: Plan, tree: dict[str, Member]) -> None:
    stack = read_stack(text(tree, plan, path))
    auth, account, password = (
        [line for line in stack if line.kind == kind] for kind in ("auth", "account", "password")
    )
    assert [(line.module, line.control) for line in auth] == [
        ("pam_env", "required"),
        ("pam_faildelay", "required"),
        ("pam_faillock", "required"),
        ("pam_unix", "sufficient"),
        ("pam_faillock", "required"),
        ("pam_deny", "required"),
    ]
    assert [line.arguments[0] for line in auth if line.module == "pam_faillock"] == ["preauth", "authfail"]
    assert [(line.module, line.control) for line in password] == [
        ("pam_pwquality", "requisite"),
        ("pam_pwhistory", "requisite"),
        ("pam_unix", "sufficient"),
        ("pam_deny", "required"),
    ]
    assert "use_authtok" in password[1].arguments
    assert "use_authtok" in password[2].arguments
    assert f"remember={plan.profile.values.password_history}" in password[1].arguments
    # Each jump passes over one line: the module that it is about.
    jumps = [
        account[at + 1].module
        for at, line in enumerate(account)
        if line.control.count("=1") and at < len(account)
    ]
    assert jumps == ["pam_access", "pam_faillock"]
    assert account[-1].module == "pam_unix"


@pytest.mark.parametrize("path", [*STACKS, f"{FORJA}/postlogin", "/etc/pam.d/su"])
def test_modules_are_in_rhel_and_take_no_empty_password(
    path: str, plan: Plan, tree: dict[str, Member]
) -> None:
    stack = read_stack(text(tree, plan, path))
    included = {"system-auth", "postlogin"}
    assert {line.module for line in stack} - included <= MODULES_1_3_1
    arguments = [argument for line in stack for argument in line.arguments]
    assert not [argument for argument in arguments if argument.startswith(("nullok", "rounds="))]


def test_both_stacks_are_the_same(plan: Plan, tree: dict[str, Member]) -> None:
    system, password = (read_stack(text(tree, plan, path)) for path in STACKS)
    assert system == password


def test_profile_has_what_authselect_1_2_1_reads_and_no_template_words(
    plan: Plan, tree: dict[str, Member]
) -> None:
    names = ("README", "nsswitch.conf", "password-auth", "postlogin", "system-auth")
    for name in names:
        content = text(tree, plan, f"{FORJA}/{name}")
        assert content.strip()
        assert "{" not in content, "authselect would take it for a condition"


def test_su_asks_for_wheel_before_the_password(plan: Plan, tree: dict[str, Member]) -> None:
    auth = [line for line in read_stack(text(tree, plan, "/etc/pam.d/su")) if line.kind == "auth"]
    names = [line.module for line in auth]
    assert names.index("pam_rootok") < names.index("pam_wheel") < names.index("system-auth")
    wheel = auth[names.index("pam_wheel")]
    assert (wheel.control, wheel.arguments) == ("required", ("use_uid",))


def test_select_pam_makes_debians_files_pass_on(tmp_path: Path) -> None:
    command = make_plan("clasificado", None, "laboratorio").platform.tools.select_pam
    script = command.replace("/etc/pam.d", str(tmp_path))
    subprocess.run(["/bin/sh", "-eu"], input=script, text=True, check=True)
    found = {path.name: read_stack(path.read_text()) for path in tmp_path.iterdir()}
    assert set(found) == {
        *(f"common-{kind}" for kind in ("auth", "account", "password", "session")),
        "common-session-noninteractive",
    }
    for name, (line,) in found.items():
        assert (line.kind, line.control, line.module) == (name.split("-")[1], "substack", "system-auth")


def test_authselect_selects_the_profile_that_is_there() -> None:
    plan = make_plan("clasificado", None, "rhel-8.3")
    words = plan.platform.tools.select_pam.split()
    assert words[:3] == ["authselect", "select", FORJA.removeprefix("/etc/authselect/")]
    assert set(words[3:]) <= {"--force", "--nobackup", "--quiet", "--backup"}


def test_settings_are_those_that_rhel_8_3_knows(plan: Plan, tree: dict[str, Member]) -> None:
    values = plan.profile.values
    quality = settings(text(tree, plan, "/etc/security/pwquality.conf"))
    assert set(quality) <= PWQUALITY_1_4_0, "libpwquality 1.4.0 has the rest on the line of PAM only"
    assert quality["minlen"] == str(values.password_min_length)
    assert {quality[name] for name in ("dcredit", "ucredit", "lcredit", "ocredit")} == {"-1"}
    lock = settings(text(tree, plan, "/etc/security/faillock.conf"))
    assert set(lock) <= FAILLOCK_1_3_1
    assert lock["dir"] == "/var/log/faillock"
    assert (lock["deny"], lock["unlock_time"]) == (str(values.lockout_attempts), str(values.lockout_seconds))
    assert tree["/var/log/faillock"].mode == 0o755


# --- SSH, sudo, sessions, accounts ---------------------------------------------------------------


def test_sshd_config_is_openssh_8_0(plan: Plan, tree: dict[str, Member]) -> None:
    said = [line.split(None, 1) for line in lines(text(tree, plan, "/etc/ssh/sshd_config"))]
    names = [name.lower() for name, _ in said]
    assert set(names) <= SSHD_8_0
    assert [name for name in set(names) - {"hostkey"} if names.count(name) > 1] == []
    values = dict(said)
    assert set(values["KexAlgorithms"].split(",")) <= KEX_8_0
    assert values["AllowUsers"].split() == [plan.site.admin.user, "operador", "auditora"]
    assert {value for name, value in said if name == "HostKey"} == {
        "/etc/ssh/ssh_host_ed25519_key",
        "/etc/ssh/ssh_host_ecdsa_key",
    }


def test_crypto_policy_does_not_override_sshd_config(plan: Plan, tree: dict[str, Member]) -> None:
    assert "CRYPTO_POLICY=" in lines(text(tree, plan, "/etc/sysconfig/sshd"))


def test_sudoers_asks_for_a_password_and_reads_drop_ins_last(plan: Plan, tree: dict[str, Member]) -> None:
    content = text(tree, plan, "/etc/sudoers")
    assert "NOPASSWD" not in content
    assert "!authenticate" not in content
    assert content.splitlines()[-1] == "#includedir /etc/sudoers.d", "sudo 1.8.29 knows no @includedir"
    assert tree["/etc/sudoers"].mode == 0o440


@pytest.mark.skipif(find_program("visudo") is None, reason="sudo is not installed here")
def test_sudoers_is_well_formed(plan: Plan, tree: dict[str, Member], tmp_path: Path) -> None:
    path = tmp_path / "sudoers"
    path.write_text(text(tree, plan, "/etc/sudoers").replace("#includedir", "# includedir"))
    done = subprocess.run(
        [str(find_program("visudo")), "-c", "-f", path], text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_tmout_is_set_as_scanners_read_it(plan: Plan, tree: dict[str, Member]) -> None:
    profile = text(tree, plan, "/etc/profile.d/forja.sh")
    assert re.search(rf"^\s*declare -xr TMOUT={plan.profile.values.idle_seconds}$", profile, re.MULTILINE)


def test_needless_accounts_are_none_that_something_here_runs_as(plan: Plan) -> None:
    owners = {
        name
        for overlay in plan.overlays
        for entry in (*overlay.files, *overlay.dirs)
        for name in entry.owner.split(":")
    }
    needless = set(plan.platform.needless_accounts)
    assert needless
    assert not needless & (owners | {"root", "bin", "daemon", "mail", "nobody", "lp"})


@pytest.mark.parametrize("name", ["accounts", "sshd"])
def test_hooks_stop_at_the_first_error(name: str) -> None:
    script = (ROOT / "overlays" / name / "apply.sh").read_text(encoding="utf-8")
    assert script.startswith("#!/bin/sh\n")
    assert "\nset -eu\n" in script


# --- Controls ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["accounts", "sshd"])
def test_every_control_has_an_implementation_and_a_test(name: str, plan: Plan) -> None:
    tests = (ROOT / "tests/image").rglob("*.py")
    named = set(
        re.findall(r'"((?:CCN681|RHEL)-[\w.-]+)"', "".join(path.read_text("utf-8") for path in tests))
    )
    overlay = next(overlay for overlay in plan.overlays if overlay.name == name)
    used = {control for entry in (*overlay.files, *overlay.dirs) for control in entry.controls}
    wanted = {control.id: control for control in overlay.controls if control.status == "implemented"}
    assert set(wanted) - named == set()
    assert [name for name, control in wanted.items() if name not in used and not control.where] == []
    places = [path for control in wanted.values() for path in control.where]
    assert [path for path in places if not (ROOT / path).exists()] == []

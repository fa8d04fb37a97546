"""Accounts as they are in force: who there is, how a password must be, what follows wrong ones, su, sudo.

One account is made for the trial, tried in one go and taken away again: what PAM answers is seen there.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from facts import ask, by_control, new_password, unlike

OVERLOOKED = "zz-forja-verificacion"
"""The verification's own file under /etc/sudoers.d, in the throwaway copy only."""

TRIED = "prueba-cuenta"
RECORDS = "/var/log/faillock"
MANAGER = "busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager"
TAKEN = "code 0"


@pytest.fixture(scope="module")
def facts(plan: Any, host: Any) -> dict[str, str]:
    admin = plan.site.admin.user
    rule = f"/etc/sudoers.d/{OVERLOOKED}"
    needless = " ".join(plan.platform.needless_accounts)
    return ask(
        host,
        {
            "sudo": f"sudo -l -U {admin}",
            "sudoers": "visudo -c; grep -rHE 'NOPASSWD|!authenticate' /etc/sudoers /etc/sudoers.d"
            f" | grep -v {OVERLOOKED}",
            # Where the verification's own rule is empty; for nobody else.
            "sudo_password": f"empty=$(mktemp); chmod 0440 $empty; unshare --mount sh -c '[ ! -e {rule} ] ||"
            f' mount --bind $0 {rule}; su {admin} -c "sudo -k -n true"; echo code $?\' $empty; rm $empty',
            "sudo_log": "stat -c '%a %U:%G %s' /var/log/sudo.log; grep -c COMMAND= /var/log/sudo.log",
            "wheel": "getent group wheel",
            "session": f"su -l {admin} -s /bin/bash -c"
            " 'umask; readonly -p; ulimit -Hc; ulimit -Sc; ulimit -Hu'",
            "logindefs": "grep -E '^[A-Z_]+[[:space:]]' /etc/login.defs",
            "umasks": "grep -HnE '^[[:space:]]*umask[[:space:]]'"
            " /etc/profile /etc/bashrc /etc/csh.cshrc /etc/profile.d/*",
            "root": "passwd -S root",
            "shadow": 'awk -F: \'{print $1, ($2 == "" ? "EMPTY" : $2 ~ /^[!*]/ ? "locked" :'
            ' $2 ~ /^\\$6\\$/ ? "sha512" : "other")}\' /etc/shadow',
            "inactive": "useradd -D | grep INACTIVE; awk -F: '$2 ~ /^\\$/ {print $1, $7}' /etc/shadow",
            "passwd": "cut -d: -f1,3,7 /etc/passwd",
            "needless": f"getent passwd {needless}; getent group {needless}; true",
            "stack": "cat /etc/pam.d/system-auth /etc/pam.d/password-auth",
            "faillock": f"cat /etc/security/faillock.conf; stat -c '%a %U:%G' {RECORDS}",
            "limits": "grep -rhvE '^[[:space:]]*(#|$)' /etc/security/limits.d",
            "authselect": "authselect current --raw; authselect check; readlink -f /etc/pam.d/system-auth"
            " /etc/pam.d/password-auth /etc/pam.d/postlogin /etc/nsswitch.conf",
            "power": f"for a in PowerOff Reboot Suspend; do for u in nobody {admin}; do"
            f" echo $a $u $(runuser -u $u -- {MANAGER} Can$a); done; done; echo $({MANAGER} CanPowerOff)",
            "modes": "stat -c '%n %a %U:%G' /etc/passwd /etc/group /etc/shadow /etc/gshadow"
            " /etc/security/opasswd /etc/crontab /etc/cron.d /etc/cron.hourly /etc/cron.daily"
            " /etc/cron.weekly /etc/cron.monthly /etc/cron.allow /etc/at.allow",
            "allowed": "ls /etc/cron.deny /etc/at.deny 2>&1; cat /etc/cron.allow /etc/at.allow",
        },
    )


@pytest.fixture(scope="module")
def trial(plan: Any, host: Any, acting: None) -> dict[str, str]:
    """What PAM says to one account: new passwords, su, a console, and wrong passwords until it is locked."""
    first, second = new_password(), new_password()
    short = new_password()[: plan.profile.values.password_min_length - 1]
    as_user = f"runuser -u {TRIED} --"

    def change(new: str, old: str = second) -> str:
        given = " ".join(f"'{word}'" for word in (old, *[new] * 5))
        return f"printf '%s\\n' {given} | {as_user} passwd; echo code $?"

    def become(password: str) -> str:
        return f"echo '{password}' | {as_user} su {TRIED} -c 'echo became'; echo code $?"

    # Of a unit's own, as getty is: a session's identity can't be changed (loginuid_immutable).
    unit = "systemd-run --quiet --collect --wait --pipe"
    console = f"echo exit | {unit} timeout 120 script -qec 'login -f {TRIED}' /dev/null; echo code $?"
    refused = {
        "short": change(short),
        "one_class": change("bdgkmprtvxcfhjlnqswzbd"),
        "dictionary": change("Constantinople1!"),
        "own_name": change(f"{TRIED.capitalize()}-2468"),
        "again": change(first),
        "su_nobody": become(second),
        "console_nobody": console,
    }
    # At once, for PAM waits two seconds and more after each refusal. Wrong passwords by su: sudo asks on, and
    # counts that too.
    wrong = {f"wrong_{count}": become("mala") for count in range(plan.profile.values.lockout_attempts)}
    refuse = "\n".join(
        f"({command}) > /run/{TRIED}.{name} 2>&1 &" for name, command in (refused | wrong).items()
    )
    return ask(
        host,
        {
            "made": f"useradd -m {TRIED}; echo '{TRIED}:{first}' | chpasswd; chage -m 0 -M 99 {TRIED}",
            "good": change(second, old=first),
            "refuse": f"{refuse}\nwait",
            **{name: f"cat /run/{TRIED}.{name}" for name in refused},
            "wheel": f"usermod -a -G wheel {TRIED}",
            "locked": become(second),
            "records": f"ls -l {RECORDS}/{TRIED}; faillock --dir {RECORDS} --user {TRIED}",
            "reset": f"faillock --dir {RECORDS} --user {TRIED} --reset",
            "unlocked": become(second),
            "console_wheel": console,
            "sudo": f"echo '{second}' | {as_user} sudo -k -S -p '' id -u; echo code $?",
            "gone": f"pkill -u {TRIED}; userdel -r {TRIED}; rm -f {RECORDS}/{TRIED} /run/{TRIED}.*",
        },
    )


def people(plan: Any, *roles: str) -> list[str]:
    """Return the accounts of the site's people: the administrator, and those of the roles (of all)."""
    others = [person.user for person in plan.site.roles if not roles or person.role in roles]
    return [plan.site.admin.user, *others]


def settings(text: str) -> dict[str, str]:
    """Return the settings of a file of lines like `name = value`."""
    pairs = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
    return {name.strip(): value.strip() for name, sign, value in pairs if sign}


# --- sudo -----------------------------------------------------------------------------------------


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
            "RHEL-SUDO-06": "passwd_tries=3",
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


@pytest.mark.control("RHEL-SUDO-07")
def test_sudo_asks_for_its_users_password(facts: dict[str, str], trial: dict[str, str], seen: Any) -> None:
    text = facts["sudo"].split("User ")[0]
    seen(f"{' '.join(text.split())}; with the user's own password: {trial['sudo']}")
    assert not re.search(r"(?<!!)\b(target|root|runas)pw\b", text)
    assert trial["sudo"].splitlines()[-2:] == ["0", "code 0"]


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


# --- Accounts -------------------------------------------------------------------------------------


@pytest.mark.control("RHEL-ACCOUNT-01", "RHEL-ACCOUNT-03", "RHEL-ACCOUNT-07", "RHEL-ACCOUNT-13")
def test_defaults_for_new_accounts(plan: Any, facts: dict[str, str], seen: Any) -> None:
    found = dict(line.split(maxsplit=1) for line in facts["logindefs"].splitlines())
    values = plan.profile.values
    expected = {
        "PASS_MAX_DAYS": str(values.password_max_days),
        "PASS_MIN_DAYS": str(values.password_min_days),
        "PASS_MIN_LEN": str(values.password_min_length),
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
    allowed = {"nologin", "false"}
    loose = [
        name
        for name, uid, shell in accounts
        if 0 < int(uid) < 1000 and shell.rpartition("/")[2] not in allowed
    ]
    assert not loose


@pytest.mark.control("RHEL-SYSCTL-07")
def test_a_session_dumps_no_core(facts: dict[str, str], seen: Any) -> None:
    seen(facts["session"].splitlines()[-3:-1])
    assert facts["session"].splitlines()[-3:-1] == ["0", "0"]


# --- Passwords, as PAM takes them -----------------------------------------------------------------


@pytest.mark.parametrize(
    "refusals",
    by_control(
        {
            "RHEL-ACCOUNT-13": {"short": "is shorter than"},
            "RHEL-ACCOUNT-14": {"one_class": "contains less than 1"},
            "RHEL-ACCOUNT-15": {"dictionary": "dictionary check", "own_name": "contains the user name"},
        }
    ),
)
def test_bad_passwords_are_refused(refusals: dict[str, str], trial: dict[str, str], seen: Any) -> None:
    seen({name: trial[name] for name in [*refusals, "good"]})
    assert TAKEN in trial["good"], "no password is taken at all"
    assert [name for name, why in refusals.items() if why not in trial[name] or TAKEN in trial[name]] == []


@pytest.mark.control("RHEL-ACCOUNT-24")
def test_a_new_password_is_asked_for_three_times(trial: dict[str, str], seen: Any) -> None:
    seen(trial["short"])
    assert trial["short"].count("BAD PASSWORD") == 3


@pytest.mark.control("RHEL-ACCOUNT-16")
def test_earlier_passwords_are_refused(
    plan: Any, facts: dict[str, str], trial: dict[str, str], seen: Any
) -> None:
    remembered = re.findall(r"^password\s.*pam_pwhistory\.so.*remember=(\d+)", facts["stack"], re.MULTILINE)
    seen(f"remember={remembered}; the one before: {trial['again']}")
    assert remembered == [str(plan.profile.values.password_history)] * 2
    assert "already used" in trial["again"]
    assert TAKEN not in trial["again"]


@pytest.mark.control("RHEL-ACCOUNT-07")
def test_no_module_takes_an_empty_password(facts: dict[str, str], seen: Any) -> None:
    lines = [line for line in facts["stack"].splitlines() if "pam_unix.so" in line]
    seen(lines)
    assert len(lines) == 8
    assert not [line for line in lines if "nullok" in line]
    assert all("sha512" in line and "rounds" not in line for line in lines if line.startswith("password"))


# --- Locking --------------------------------------------------------------------------------------


@pytest.mark.control("RHEL-ACCOUNT-09")
def test_wrong_passwords_lock_the_account(
    plan: Any, facts: dict[str, str], trial: dict[str, str], seen: Any
) -> None:
    found = settings(facts["faillock"])
    seen({"deny": found.get("deny")} | {name: trial[name] for name in ("locked", "unlocked")})
    assert found["deny"] == str(plan.profile.values.lockout_attempts)
    assert "became" not in trial["locked"], "the right password is still taken"
    assert "became" in trial["unlocked"], "an administrator can't unlock it"


@pytest.mark.control("RHEL-ACCOUNT-10")
def test_the_lock_lasts(plan: Any, facts: dict[str, str], seen: Any) -> None:
    found = settings(facts["faillock"])
    lines = [line for line in facts["stack"].splitlines() if "pam_faillock.so" in line]
    seen(f"unlock_time = {found.get('unlock_time')}; {lines}")
    assert found["unlock_time"] == str(plan.profile.values.lockout_seconds)
    assert found["fail_interval"] == "900"
    assert lines
    assert not [line for line in lines if "unlock_time" in line or "deny=" in line or "conf=" in line]


@pytest.mark.control("RHEL-ACCOUNT-11")
def test_failures_are_kept_on_the_disk(facts: dict[str, str], trial: dict[str, str], seen: Any) -> None:
    seen(trial["records"])
    assert facts["faillock"].splitlines()[-1] == "755 root:root"
    assert settings(facts["faillock"])["dir"] == RECORDS
    assert trial["records"].startswith("-rw-")
    assert len(re.findall(r"^\d{4}-\d\d-\d\d .* V$", trial["records"], re.MULTILINE)) > 1


@pytest.mark.control("RHEL-ACCOUNT-23")
def test_a_key_forgets_no_failures(facts: dict[str, str], seen: Any) -> None:
    lines = [" ".join(line.split()) for line in facts["stack"].splitlines() if line.startswith("account")]
    seen(lines)
    where = re.compile(
        r"account \[success=ignore default=1\] pam_succeed_if\.so service in ([\w:-]+) quiet$", re.MULTILINE
    )
    before = [where.fullmatch(lines[i - 1]) for i, line in enumerate(lines) if "pam_faillock.so" in line]
    assert len(before) == 2
    for match in before:
        assert match, "failures are forgotten by every service"
        assert set(match[1].split(":")) <= {"login", "remote", "su", "su-l", "sudo", "sudo-i", "polkit-1"}


# --- What an account may do -----------------------------------------------------------------------


@pytest.mark.control("RHEL-ACCOUNT-12")
@pytest.mark.needs("authselect")
def test_pam_is_authselects_profile(facts: dict[str, str], seen: Any) -> None:
    seen(facts["authselect"])
    lines = facts["authselect"].splitlines()
    assert lines[0].strip() == "custom/forja"
    assert "valid" in lines[1]
    assert lines[-4:] == [
        f"/etc/authselect/{name}" for name in ("system-auth", "password-auth", "postlogin", "nsswitch.conf")
    ]


@pytest.mark.control("RHEL-ACCOUNT-17")
def test_su_is_for_wheel(trial: dict[str, str], seen: Any) -> None:
    seen(f"outside wheel: {trial['su_nobody']}; inside: {trial['unlocked']}")
    assert "became" not in trial["su_nobody"]
    assert "Permission denied" in trial["su_nobody"], "refused for another reason"
    assert "became" in trial["unlocked"]


@pytest.mark.control("RHEL-ACCOUNT-22")
def test_console_is_for_people_with_a_role(trial: dict[str, str], seen: Any) -> None:
    seen(f"without a role: {trial['console_nobody']}; in wheel: {trial['console_wheel']}")
    assert "code 0" not in trial["console_nobody"]
    assert "code 0" in trial["console_wheel"]


@pytest.mark.control("RHEL-ACCOUNT-18")
def test_a_lapsed_account_is_shut(plan: Any, facts: dict[str, str], seen: Any) -> None:
    default, *accounts = facts["inactive"].splitlines()
    seen(facts["inactive"])
    assert default == "INACTIVE=30"
    assert dict(line.split(" ", 1) for line in accounts) == dict.fromkeys(people(plan), "30")


@pytest.mark.control("RHEL-ACCOUNT-19")
def test_needless_accounts_are_gone(plan: Any, facts: dict[str, str], seen: Any) -> None:
    seen(f"of {' '.join(plan.platform.needless_accounts)}: {facts['needless'] or 'none'}")
    assert plan.platform.needless_accounts
    assert facts["needless"] == ""


@pytest.mark.control("RHEL-ACCOUNT-20")
def test_sessions_and_processes_are_limited(facts: dict[str, str], seen: Any) -> None:
    limits = [line.split() for line in facts["limits"].splitlines()]
    processes = facts["session"].splitlines()[-1]
    seen(f"{facts['limits']}; processes of a session: {processes}")
    assert ["*", "hard", "maxlogins", "10"] in limits
    assert processes == "1024"


@pytest.mark.control("RHEL-ACCOUNT-21")
def test_only_root_powers_off(facts: dict[str, str], seen: Any) -> None:
    *others, root = facts["power"].splitlines()
    seen(facts["power"])
    assert root == 's "yes"', "logind does not answer"
    assert [
        line.split(" ", 2)[2] for line in others if line.split(" ", 2)[2] not in ('s "no"', 's "na"')
    ] == []


# --- Files ----------------------------------------------------------------------------------------


@pytest.mark.control("RHEL-FILE-01", "RHEL-ACCOUNT-16")
def test_modes_of_account_files(facts: dict[str, str], seen: Any) -> None:
    found = modes(facts)
    seen(facts["modes"])
    for name in ("/etc/passwd", "/etc/group"):
        assert found[name] == ["644", "root:root"]
    for name in ("/etc/shadow", "/etc/gshadow", "/etc/security/opasswd"):
        mode, owner = found[name]
        assert owner in ("root:root", "root:shadow")
        assert int(mode, 8) & ~(0o640 if owner == "root:shadow" else 0o600) == 0


@pytest.mark.control("RHEL-FILE-02", "RHEL-FILE-05")
def test_cron_and_at_are_for_root(facts: dict[str, str], seen: Any) -> None:
    found = modes(facts)
    seen(f"{facts['modes']}\n{facts['allowed']}")
    for name in ("/etc/crontab", "/etc/cron.allow", "/etc/at.allow"):
        assert found[name] == ["600", "root:root"]
    for name in ("d", "hourly", "daily", "weekly", "monthly"):
        assert found[f"/etc/cron.{name}"] == ["700", "root:root"]
    assert facts["allowed"].count("No such file") == 2, "cron.deny or at.deny exists"
    assert facts["allowed"].splitlines()[-2:] == ["root", "root"]


def modes(facts: dict[str, str]) -> dict[str, list[str]]:
    """Return mode and owner of each file."""
    return {line.split()[0]: line.split()[1:] for line in facts["modes"].splitlines() if line.count(" ") == 2}

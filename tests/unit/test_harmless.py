"""What a server in use may be asked: commands that act are found, however they are hidden."""

from __future__ import annotations

import sys

import pytest

from builder.ask.reading import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "tests" / "image"))
from harmless import RULES, vouched, why_it_acts

LOOK = [
    "cat /etc/passwd | grep -c root 2> /dev/null; stat -c '%a %U:%G' \"/a b\"",
    "systemctl is-active postfix amavisd; true",
    "systemctl show -p MainPID --value opendkim",
    "for i in $(seq 3); do case $(systemctl is-active x) in active | failed) break ;; esac; sleep 1; done",
    "find / -xdev -type f -perm /6000 -exec stat -c '%a %n' {} +",
    "awk -F: '$3 > 999 {print $1, ($2 == \"\" ? \"EMPTY\" : \"x\")}' /etc/shadow",
    "su -l admin -s /bin/bash -c 'umask; readonly -p; ulimit -Hc'",
    "runuser -u nobody -- sh -c 'test -w /run/x && echo yes || echo no'",
    "show() { cat \"$1\"; }; show /etc/motd",
    "echo /etc/motd | xargs -r stat -c %a",
    "sed -n -E 's/.*Cipher( is|    :) ([A-Z]+)$/\\2/p' /tmp/x",
    "postconf -n 2>/dev/null; postqueue -p; postmap -q a hash:/etc/aliases",
    "rpm -q --qf '%{NAME}\\n' postfix; dpkg-query --show postfix",
    "busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager CanReboot",
    "ip -o addr; nft -j list ruleset; auditctl -l; sysctl -n kernel.kptr_restrict",
    "timeout 5 cat /proc/self/status; kill -0 1; sudo -l -U admin; visudo -c; sshd -T",
    "for u in a b; do systemctl is-enabled $u.service; systemctl is-$u x; done; . /etc/os-release",
    "awk '{print $5, $6}' /proc/$(pgrep -x clamd)/mountinfo; date -d \"$(cat /x)\" +%s",
    "runuser -u clamscan -g clamscan -G amavis -- ls $folder > /dev/null 2>&1; chronyc -h 127.0.0.1 tracking",
    "[ -e /a ] && [[ -d /b ]]; x=$(( 1 + 2 )); echo hola >&2",
    "cat <<E\n$(id -u)\nE",
]  # fmt: skip
ACT = [
    "rm /x",
    "echo x > /etc/motd",
    "echo x >> /etc/motd",
    "cat /a &> /b",
    "echo x >| /b",
    "cat /a > $file",
    "a=$(rm /x); echo $a",
    "cat `rm /x`",
    "cat <<E\n$(rm /x)\nE",
    "cat <(rm /x)",
    "cat /a | tee /b",
    "cat /a > >(cat)",
    "true && systemctl stop postfix",
    "systemctl --now is-enabled x; systemctl restart postfix",
    "systemctl $x postfix",
    "systemctl st$x postfix",
    'awk "$x" /y',
    ". /x",
    "systemctl -H other is-active x",
    "if true; then useradd x; fi",
    "for i in 1; do logger x; done",
    "case x in x) userdel x ;; esac",
    "(cd /tmp; touch x)",
    "{ mkdir /x; }",
    "! mv a b",
    "f() { rm $1; }; f x",
    "cat() { rm $1; }; cat x",
    "find / -delete",
    "find / -exec rm {} +",
    "find / -fprint /x",
    "echo x | xargs -n 1 rm",
    "xargs -I X sh -c 'rm X'",
    "awk '{print $1 > \"/x\"}' /y",
    "awk 'BEGIN {system(\"rm x\")}'",
    "awk '{print | \"sh\"}' /y",
    "awk -f /x",
    "sed -i s/a/b/ /x",
    "sed -n 's/a/b/w /x' /y",
    "sed '1e rm x' /y",
    "sort -o /x /y",
    "uniq /x /y",
    "sh -c 'rm x'",
    'sh -c "$x"',
    "sh /x",
    "su admin -c 'rm x'",
    "runuser -u nobody -- rm x",
    "env A=b rm x",
    "env LD_PRELOAD=/x cat /y",
    "PATH=/x:$PATH; cat /y",
    "LD_PRELOAD=/x cat /y",
    "timeout 5 rm x",
    "nice -n 5 rm x",
    "eval rm x",
    "exec rm x",
    "$x /y",
    "$(echo rm) x",
    "r''m x",
    "\\rm x",
    "command rm x",
    "/usr/bin/rm x",
    "./cat x",
    "postconf -e a=b",
    "postconf a=b",
    "postfix reload",
    "postsuper -d ALL",
    "postmap /etc/postfix/x",
    "sendmail a@b < /x",
    "printf 'QUIT' | nc 127.0.0.1 25",
    "openssl genrsa -out /x",
    "openssl x509 -in /x -out /y",
    "openssl s_client -connect 127.0.0.1:25",
    "sysctl -w a=b",
    "sysctl a=b",
    "auditctl -w /x -p w",
    "kill 1",
    "passwd -l x",
    "chage -M 5 x",
    "faillock --user x --reset",
    "firewall-cmd --add-port=25/tcp",
    "nft flush ruleset",
    "ip addr add 10.0.0.1/24 dev eth0",
    "nmcli connection modify eth0 x y",
    "journalctl --vacuum-size=1M",
    "rpm -e postfix",
    "rpm --import /x",
    "modprobe usb_storage",
    "mount -o remount,rw /",
    "date -s 12:00",
    "hostname x",
    "restorecon -v /x",
    "logrotate /etc/logrotate.conf",
    "clamdscan /x",
    "visudo",
    "sudo -n true",
    "/usr/libexec/forja/firmas instalar /x",
    "/usr/libexec/forja/cola borra X",
    "a program that nobody knows",
    "if true; then",
]  # fmt: skip


@pytest.mark.parametrize("script", LOOK)
def test_a_look_is_taken_for_one(script: str) -> None:
    assert why_it_acts(script) == ""


@pytest.mark.parametrize("script", ACT)
def test_what_acts_is_found(script: str) -> None:
    assert why_it_acts(script)
    assert why_it_acts(f"export LC_ALL=C\nprintf x\n(\n{script}\n) 2>&1\n")


def test_a_script_that_somebody_has_read_is_believed_to_the_letter() -> None:
    script = vouched("python3 - <<'END'\nprint(1)\nEND\n")
    assert why_it_acts(f"cat /a\n{script}") == ""
    assert why_it_acts(script.replace("1", "2"))


def test_nothing_that_runs_others_is_taken_as_it_is() -> None:
    anything = {name for name, rule in RULES.items() if rule.__name__ == "anyhow"}
    assert not anything & {
        *("sh", "bash", "dash", "env", "eval", "exec", "xargs", "find", "awk", "sed", "perl", "python3"),
        *("su", "sudo", "runuser", "timeout", "nice", "nohup", "setsid", "chroot", "nsenter", "ssh", "vi"),
        *("tee", "dd", "cp", "mv", "ln", "rm", "touch", "install", "mkdir", "mktemp", "logger", "script"),
    }

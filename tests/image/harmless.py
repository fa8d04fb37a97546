"""Which shell commands only look: what is asked of a server in use has to be all of this kind.

A command is taken for one that acts unless everything in it is known to change nothing: each program is on
the list below, with options that only read, and nothing is redirected into a file. The shell's own grammar
finds the programs, wherever they stand. Looking leaves traces all the same: records of the audit and of sudo.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence

import tree_sitter_bash
from tree_sitter import Language, Node, Parser

Words = Sequence[str]
"""Arguments; UNKNOWN stands in them for what is only known when the command runs."""
Rule = Callable[[Words], bool]

_BASH = Language(tree_sitter_bash.language())
_vouched: list[str] = []
UNKNOWN = "\0"
_LOADERS = re.compile(r"(LD_\w+|ENV|BASH_ENV|IFS|PYTHON\w*|PERL\w*)$")
_PATH = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"


def vouched(script: str) -> str:
    """Return a script unchanged, and take it for one that only looks: somebody has read it.

    It is for programs in other languages, which the shell's grammar can't tell of.
    """
    _vouched.append(script)
    return script


@functools.cache
def why_it_acts(script: str) -> str:
    """Return the piece of a script that may change something; empty if all of it only looks."""
    for text in _vouched:
        script = script.replace(text, ":\n")
    root = Parser(_BASH).parse(script.encode()).root_node
    if root.has_error:
        return script
    nodes = list(_walk(root))
    own = {_text(name) for node in nodes if node.type == "function_definition" and (name := node.child(0))}
    return next((_text(node) for node in nodes if not _looks(node, own)), "")


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _walk(child)


def _looks(node: Node, own: set[str]) -> bool:
    if node.type == "command":
        name = node.child_by_field_name("name")
        words = [_literal(child) for child in node.children_by_field_name("argument")]
        program = _literal(name) if name else ""
        return program in own or only_looks(program, words)
    if node.type == "file_redirect":
        return _redirects_nothing(node)
    if node.type == "variable_assignment":
        name, _, _ = (text := _text(node)).partition("=")
        return text == _PATH if name == "PATH" else not _LOADERS.match(name)
    if node.type == "process_substitution":
        return not _text(node).startswith(">")
    return True


def _redirects_nothing(node: Node) -> bool:
    destination = node.child_by_field_name("destination")
    to = _text(destination) if destination else "-"
    operators = {child.type for child in node.children if not child.is_named}
    return (
        operators <= {"<", "<&"}
        or to in ("/dev/null", "/dev/stdout", "/dev/stderr", "-")
        or (operators == {">&"} and to.isdigit())
    )


def _text(node: Node) -> str:
    return (node.text or b"").decode()


def _literal(node: Node) -> str:
    """Return what a word comes to."""
    text = _text(node)
    if node.type == "raw_string":
        return text[1:-1]
    if node.type == "word":
        return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)
    if node.type == "number":
        return text
    if node.type == "string":
        return (
            UNKNOWN
            if any(child.type not in ('"', "string_content") for child in node.children)
            else text[1:-1]
        )
    if node.type in ("concatenation", "command_name"):
        return "".join(_literal(child) for child in node.children)
    return UNKNOWN


def only_looks(program: str, words: Words) -> bool:
    """Say whether a program with these arguments is known to change nothing."""
    rule = RULES.get(program.removeprefix("/usr/sbin/").removeprefix("/usr/bin/"))
    return rule is not None and rule(words)


# --- Kinds of rules -------------------------------------------------------------------------------


def anyhow(_: Words) -> bool:
    """It only reads, whatever it is told."""
    return True


def without(*patterns: str) -> Rule:
    """All arguments are known, and none is like one of these."""
    unwanted = re.compile("|".join(f"(?:{pattern})" for pattern in patterns))
    return lambda words: not any(UNKNOWN in word or unwanted.match(word) for word in words)


def lacks(*patterns: str) -> Rule:
    """No argument is like one of these; what is only known when it runs is the name of something."""
    unwanted = re.compile("|".join(f"(?:{pattern})" for pattern in patterns))
    return lambda words: not any(unwanted.match(word) for word in words)


def only(*patterns: str) -> Rule:
    """Every argument is like one of these."""
    wanted = re.compile("|".join(f"(?:{pattern})" for pattern in patterns))
    return lambda words: all(wanted.fullmatch(word) for word in words)


def first(*names: str) -> Rule:
    """The first argument is one of these; the others are what it is about."""
    return lambda words: bool(words) and words[0] in names


def starts(*beginnings: str) -> Rule:
    """The first argument begins with one of these."""
    return lambda words: bool(words) and words[0].startswith(beginnings)


def verb(*names: str) -> Rule:
    """The first argument that is no option is one of these."""
    return lambda words: next((word for word in words if not word.startswith("-")), "") in names


def has(*names: str) -> Rule:
    """One of these is among the arguments."""
    return lambda words: bool(set(names) & set(words))


def both(*rules: Rule) -> Rule:
    """All of the rules hold."""
    return lambda words: all(rule(words) for rule in rules)


def either(*rules: Rule) -> Rule:
    """One of the rules holds."""
    return lambda words: any(rule(words) for rule in rules)


def before(options: str, *, then: int = 0) -> Rule:
    """It runs the program that comes after its options (those that take a value are given) and more words."""

    def rule(words: Words) -> bool:
        rest = list(words)
        while rest and rest[0].startswith("-"):
            option = rest.pop(0)
            if option == "--":
                break
            if rest and re.fullmatch(options, option):
                rest.pop(0)
        rest = rest[then:]
        while rest and re.match(r"\w+=", rest[0]):
            if _LOADERS.match(rest[0].partition("=")[0]) or rest[0].startswith("PATH="):
                return False
            rest.pop(0)
        return bool(rest) and only_looks(rest[0], rest[1:])

    return rule


def script_after(option: str) -> Rule:
    """It runs the script that comes after an option, and nothing else."""

    def rule(words: Words) -> bool:
        at = list(words).index(option) + 1 if option in words else 0
        script = words[at] if 0 < at < len(words) else UNKNOWN
        return UNKNOWN not in script and why_it_acts(script) == ""

    return rule


def find(words: Words) -> bool:
    """Its own actions write nothing, and what it runs only looks."""
    for at, word in enumerate(words):
        if word in ("-exec", "-execdir"):
            if not only_looks("".join(words[at + 1 : at + 2]), words[at + 2 :]):
                return False
        elif re.match(r"-(delete|ok|okdir|fprint\w*|fls)$", word):
            return False
    return True


def awk(words: Words) -> bool:
    """No program of it writes to a file or runs a command."""
    writes = re.compile(r"system *\(|\| *\"|\| *getline|\| *&|printf?\b[^;}\n]*>|@")
    known = [word for word in words if not re.match(rf"/proc/[^{{]*{UNKNOWN}", word)]
    return without("-f", "-i", "-E", "--")(known) and not any(writes.search(word) for word in words)


def sed(words: Words) -> bool:
    """It edits no file in place, and none of its commands writes to one or runs a program."""
    writes = re.compile(r"(^|[;{}/|,#$!\dgpIM\n])\s*[wWe](\s|$)")
    return without("-[a-zA-Z]*[if]", "--[ifs]")(words) and not any(writes.search(word) for word in words)


CHANGES_UNITS_NOT = (
    *("is-enabled", "is-active", "is-failed", "is-system-running", "show", "status", "cat", "get-default"),
    *("list-units", "list-unit-files", "list-timers", "list-sockets", "list-dependencies", "list-jobs"),
    *("show-environment", f"is-{UNKNOWN}"),
)
READERS = """
: [ aureport ausearch base64 basename break cat cd cksum cmp column comm continue cut df diff dirname
dpkg-query du echo egrep exit false fgrep file findmnt fold free getcap getenforce getent getfacl getopts
getsebool grep groups head id join jq last lastlog locale ls lsattr lsblk lscpu lsinitramfs lsinitrd
lslogins lsmod lspci lsusb lvs mailq matchpathcon modinfo mountpoint nl nproc objdump od paste pgrep pidof
postcat printf ps pvs read readelf readlink realpath return rev sasldblistusers2 seq sestatus sha256sum
sha512sum shift sleep ss stat strings tac tail test tr true type umask uname uptime vgs wait wc who
xfs_info zcat zgrep
"""
"""They only read, whatever they are told."""

RULES: dict[str, Rule] = {
    **dict.fromkeys(READERS.split(), anyhow),
    ".": only("/etc/os-release"),
    "aide": has("--config-check"),
    "auditctl": only("-s", "-l"),
    "augenrules": only("--check"),
    "authselect": first("current", "check", "list", "show"),
    "awk": awk,
    "bash": script_after("-c"),
    "blkid": has("-p"),
    "busctl": either(
        first("list", "tree", "introspect", "get-property"),
        lambda words: words[:1] == ["call"] and len(words) == 5 and words[4].startswith("Can"),
    ),
    "capsh": only("--print", "--decode=.*"),
    "chage": has("-l"),
    "chronyc": lambda words: words[-1:] in (["sources"], ["sourcestats"], ["tracking"], ["activity"]),
    "command": has("-v"),
    "crontab": has("-l"),
    "cryptsetup": verb("luksDump", "status", "isLuks"),
    "date": lacks("-[a-zA-Z]*s", "--s", r"\d"),
    "dmsetup": verb("ls", "table", "info", "status"),
    "dpkg": has("-l", "-s", "-V", "--verify", "--audit"),
    "env": before("-u|-C"),
    "faillock": without("--r"),
    "fapolicyd-cli": only("--list", "--dump-db", "--check-config", "-l", "-D"),
    "find": find,
    "fips-mode-setup": only("--check"),
    "firewall-cmd": only("--state", "--(list|get|query|info)-.*", "--permanent", "--zone=.*"),
    "grub2-editenv": lambda words: words[-1:] == ["list"],
    "hostname": only("-[fsdiI]"),
    "hostnamectl": either(only(), first("status")),
    "ip": both(
        without("add$", "del", "set$", "change", "replace", "flush", "exec", "append", "-b", "netns"),
        either(has("show", "list", "get"), lambda words: 0 < len(words) < 4),
    ),
    "journalctl": without(
        "--vacuum", "--rotate", "--flush", "--sync", "--relin", "--update", "--setup", "-f"
    ),
    "kill": first("-0"),
    "localectl": either(only(), first("status")),
    "loginctl": verb("list-sessions", "show-session", "session-status", "list-users", "show-user"),
    "logrotate": first("-d"),
    "modprobe": has("-n", "--dry-run", "-c", "--showconfig"),
    "mount": only(),
    "nft": both(without("-f", "-i"), verb("list")),
    "nice": before("-n"),
    "nmcli": both(
        without("add", "del", "mod", "up", "down", "edit", "reload", "set", "on", "off", "connect", "disc"),
        has("show", "status"),
    ),
    "opendkim": has("-n"),
    "openssl": both(
        first("x509", "rsa", "ec", "pkey", "crl", "ciphers", "version", "dgst", "verify", "asn1parse", "md5"),
        without("-out$", "-writerand", "-keyout"),
    ),
    "passwd": first("-S"),
    "postconf": without(".*=", "-[a-zA-Z]*[eX#]"),
    "postfix": only("status"),
    "postalias": has("-q"),
    "postmap": both(has("-q", "-s"), without("-[a-pr-zA-Z]*[di]$")),
    "postqueue": only("-p", "-j"),
    "restorecon": starts("-n"),
    "rpm": starts("-q", "-V", "-K", "-E", "--query", "--verify", "--checksig", "--eval"),
    "runuser": before("-[ugG]|--user"),
    "sed": sed,
    "semanage": has("-l", "--list"),
    "semodule": only("-l.*", "--list.*"),
    "sh": script_after("-c"),
    "sort": without("-[a-zA-Z]*o", "--out"),
    "ssh-keygen": starts("-l"),
    "sshd": first("-T", "-t"),
    "su": script_after("-c"),
    "sudo": first("-l", "-V"),
    "swapon": only("--show.*", "-s", "--noheadings", "--raw", "--bytes"),
    "sysctl": without("-w", "--write", "-p", "--load", "--system", ".*="),
    "systemctl": both(lacks("--now", "-[HM]", "--root", "--host", "--machine"), verb(*CHANGES_UNITS_NOT)),
    "systemd-analyze": verb(
        "verify", "security", "cat-config", "time", "blame", "critical-chain", "syscall-filter"
    ),
    "timedatectl": either(only(), first("status", "show")),
    "timeout": before("-s|-k", then=1),
    "ulimit": only("-[HS]?[a-z]", "-[HS]"),
    "uniq": only("-.*"),
    "update-crypto-policies": only("--show", "--is-applied"),
    "usbguard": first("list-devices", "list-rules", "get-parameter"),
    "useradd": only("-D"),
    "visudo": has("-c"),
    "xargs": before("-n|-d|-I|-P|-L|-s|-a"),
    # Ours: docs/operador says of each what it does.
    "/usr/libexec/forja/cola": first("lista", "json"),
    "/usr/libexec/forja/firmas": first("estado"),
    "/usr/libexec/forja/integridad": first("estado"),
    "/usr/libexec/forja/registro": anyhow,
}

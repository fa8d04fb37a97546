"""--apply and --undo: the overlay by the steps that the installation takes, or everything as it was."""

import os
import signal
import time
from typing import Callable, Dict, List, Set, Tuple

from . import changes
from .contents import Contents, Refused
from .journal import Generation, Journal
from .system import ABSENT, State, System

Say = Callable[..., None]
FIRST_BOOT = "/usr/libexec/forja/primer-arranque"
FIRST_BOOT_UNIT = "forja-primer-arranque.service"
TO_DO = "FORJA PENDIENTE: "
"""How a hook begins a line about what it leaves to the operator."""
FOR_HOOKS = {"FORJA_RUNNING": "1", "SYSTEMD_OFFLINE": "1"}
"""The files come to a server that is in use; units are only enabled, as on a disk."""


class Failed(Exception):
    """It began and failed; everything is as it was before."""


def ready(contents: Contents, system: System) -> None:
    """Check all that must be so before anything is changed.

    Raises:
        Refused: it is not.
    """
    if os.geteuid() != 0:
        raise Refused("not-root")
    changes.check_identity(contents, system)
    missing, _ = changes.missing_packages(contents, system)
    if missing:
        raise Refused("packages", command=install_command(contents, missing))
    accounts = changes.missing_accounts(contents, system)
    if accounts:
        raise Refused("accounts", accounts=", ".join(accounts))


def install_command(contents: Contents, packages: List[str]) -> str:
    """Return the command that installs packages."""
    return "{} {}".format(contents.manifest["install_packages"], " ".join(packages))


def apply(contents: Contents, system: System, journal: Journal, say: Say) -> bool:
    """Put the overlay on the server; return whether anything had to be done.

    Raises:
        Refused: an --apply before was cut off.
        Failed: a step failed; what it had changed was taken back.
    """
    there = journal.generations()
    for old in there:
        if old.phase == "copying":
            old.forget()  # it had changed nothing
        elif old.phase == "ready":
            raise Refused("cut-off")
    there = journal.generations()
    known = bool(there) and there[-1].state["archive"] == contents.id
    todo = changes.find_changes(contents, system)
    if known and not todo and not changes.disabled_units(contents, system):
        return False
    paths = [entry.path for entry in contents.entries]
    saved = contents.manifest["saved"]
    generation = journal.new()
    say("saving", folder=generation.path)
    try:
        facts = dict(changes.facts_of(contents), archive=contents.id, units=units_before(contents, system))
        generation.start(dict(facts, when=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())), paths, saved)
        to_do = run_steps(contents, system, generation, todo, say)
        changed = generation.finish(paths, saved)
    except BaseException as error:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        say("taking-back")
        if generation.phase != "copying":
            generation.restore(saved)
        generation.forget()
        if system.running:
            system.run(["systemctl", "daemon-reload"])
        if isinstance(error, OSError):
            raise Failed(str(error))
        raise
    report(contents, system, changed, to_do, say)
    return True


def run_steps(
    contents: Contents, system: System, generation: Generation, todo: List[changes.Change], say: Say
) -> List[str]:
    """Place files, run the hooks, give owners and modes again; return what is left to the operator.

    Raises:
        Failed: a hook failed, or an owner does not exist.
    """
    for change in todo:
        entry = change.entry
        for folder in changes.parents(entry.path, system):
            generation.note("mkdir " + folder)
            system.put(folder, State("dir", 0o755, 0, 0, 0, {}, ""), None)
        # An account that a hook makes: nobody's until then.
        wanted = change.wanted or State(
            "file" if entry.sha256 else "dir", 0o700, 0, 0, 0, change.now.xattrs, entry.sha256 or ""
        )
        generation.note("put " + entry.path)
        system.put(entry.path, wanted, contents.read(entry) if entry.sha256 else None)
    to_do = []
    # As arguments, not files: fapolicyd lets no shell read a script that nobody trusts yet.
    steps = [
        (hook["name"], contents.hook(hook["name"]).decode("utf-8")) for hook in contents.manifest["hooks"]
    ]
    if any(entry.path == FIRST_BOOT for entry in contents.entries):  # as its unit runs it
        steps.append((os.path.basename(FIRST_BOOT), "umask 0077; exec /bin/sh " + FIRST_BOOT))
    for name, command in steps:
        say("hook", name=name)
        generation.note("run " + name)
        code, said = system.run(["/bin/sh", "-c", command, name], **FOR_HOOKS)
        if code:
            reason = " / ".join(said.splitlines()[-3:]) or "exit code {}".format(code)
            raise Failed("{}: {}".format(name, reason))
        to_do += [line[len(TO_DO) :] for line in said.splitlines() if line.startswith(TO_DO)]
    for change in changes.find_changes(contents, system):
        if change.wanted is None:
            raise Failed("{}: {}".format(change.entry.path, change.entry.owner))
        generation.note("dress " + change.entry.path)
        system.put(change.entry.path, change.wanted._replace(content=change.now.content), None)
    if system.selinux and system.has("restorecon"):
        declared = {entry.path for entry in contents.entries}
        others = generation.compare(declared, contents.manifest["saved"])
        for path in sorted(set(others) - declared):
            if others[path][1].kind != "absent":
                system.run(["restorecon", path])
    return to_do


def report(
    contents: Contents,
    system: System,
    changed: Dict[str, Tuple[State, State]],
    to_do: List[str],
    say: Say,
) -> None:
    """Tell what was changed, by hooks too, and what the operator has to do."""
    for path in sorted(changed):
        say("line", text=changes.describe_state(path, *changed[path]))
    say("applied", count=len(changed))
    _, unwanted = changes.missing_packages(contents, system)
    for package in unwanted:
        say("unwanted", package=package)
    for line in to_do:
        say("to-do", text=line)


def units_before(contents: Contents, system: System) -> List[str]:
    """Return which of the overlay's units are to run when it is taken back: those that do, or are enabled."""
    if not system.running:
        return []
    off = changes.disabled_units(contents, system)
    units = contents.manifest["services"]
    return [unit for unit in units if unit not in off or is_active(system, unit)]


def is_active(system: System, unit: str) -> bool:
    """Say whether a unit runs."""
    return system.run(["systemctl", "is-active", unit])[0] == 0


def units_to_stop(system: System, generation: Generation) -> List[str]:
    """Return what runs by a unit that will be gone, or did not run before."""
    if not system.running:
        return []
    before, after = generation.states("before.json"), generation.states("after.json")
    made = [
        os.path.basename(path)
        for path, state in sorted(after.items())
        if os.path.dirname(path) == "/etc/systemd/system" and state.kind == "file"
        if before.get(path, ABSENT).kind == "absent"
    ]
    state = generation.state
    ours = [unit for unit in state.get("services", []) if unit not in state.get("units", [])]
    return [unit for unit in sorted({*made, *ours}) if "@." not in unit and is_active(system, unit)]


def undo(
    system: System, journal: Journal, keep: Set[str], force: bool, restart: bool, say: Say
) -> Tuple[Generation, List[str]]:
    """Take the last --apply back; return it, and the units that are still to be stopped.

    Args:
        system: the server.
        journal: what can be taken back.
        keep: paths that stay as they are now.
        force: what was changed since comes back too.
        restart: stop now, while their units are there, what did not run before.
        say: tells what happens.

    Raises:
        Refused: there is none, or somebody has changed files since and `force` does not stand for it.
    """
    there = journal.generations()
    if not there:
        raise Refused("nothing-to-undo")
    last = there[-1]
    conflicts = [path for path in last.conflicts() if path not in keep]
    if conflicts and not force:
        raise Refused("changed-since", paths=", ".join(conflicts))
    say("undoing", folder=last.path, when=last.state.get("when", "?"))
    stop = units_to_stop(system, last)
    if stop and restart:
        say("running", command="systemctl stop " + " ".join(stop))
        system.run(["systemctl", "stop"] + stop)
        stop = []
    left = last.restore(last.state.get("saved", []), keep)
    for path in left:
        say("left", path=path)
    last.forget()
    say("undone-but" if left or keep else "undone")
    if there[:-1]:
        say("older", count=len(there) - 1)
    return last, stop


def refresh(system: System, units: List[str], stop: List[str], restart: bool, say: Say) -> bool:
    """Have systemd read the units anew; restart what runs, or list it. Return whether all went well."""
    if not system.running:
        return True
    system.run(["systemctl", "daemon-reload"])
    commands = [["systemctl", "stop", unit] for unit in stop]
    commands += [
        ["systemctl", "restart", "systemd-sysctl", "systemd-journald"],
        ["systemd-tmpfiles", "--create"],
    ]
    for unit in units:
        if unit == FIRST_BOOT_UNIT:
            continue
        if unit == "auditd.service":  # its unit refuses to be stopped
            commands += [["systemctl", "start", unit], ["augenrules", "--load"]]
            commands.append(["systemctl", "kill", "--signal=HUP", unit])
        else:
            commands.append(["systemctl", "restart", unit])
    good = True
    for argv in commands:
        if not restart:
            say("restart-by-hand", command=" ".join(argv))
            continue
        say("running", command=" ".join(argv))
        code, said = system.run(argv)
        if code and argv[0] == "augenrules":  # rules that are locked (-e 2) are until the next boot
            say("audit-later")
        elif code:
            good = False
            say("command-failed", command=" ".join(argv), said=said[-300:])
    return good

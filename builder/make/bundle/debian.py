"""The Debian packages of the list, with all that they need on a Debian 12 that has nothing of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from builder.tools.apt import acquire_settings, debian_sources
from builder.tools.console import say
from builder.tools.errors import StageFailed
from builder.tools.files import MIB, sha256, write_text
from builder.tools.process import require_program, run

SUITE = "bookworm"
LIST = "builder/host/system-packages.tsv"
SECONDS = 3600
SETTINGS = (
    'Dir::Etc::trusted "/etc/apt/trusted.gpg";',
    'Dir::Etc::trustedparts "/etc/apt/trusted.gpg.d";',
    'APT::Architecture "amd64";',
    'APT::Architectures { "amd64"; };',
    'APT::Install-Recommends "false";',
    'APT::Sandbox::User "root";',  # the folder may be one that _apt can't enter
    'Acquire::Languages "none";',
    'Acquire::Retries "3";',
)


def fetch_debian(repository: Path, needs: Sequence[str], cache: Path, *, log: Path) -> dict[str, Path]:
    """Return path below the folder of packages -> file: every ``.deb``, and the `Packages` that lists them.

    Solved by apt against a system where nothing is installed: what a host has or lacks does not matter.
    `Packages` has the words of Debian's own signed index, and each file is held against the SHA-256 there.

    Args:
        repository: where the list of system packages is.
        needs: the words of its first column.
        cache: keeps the packages.
        log: where apt's output goes.

    Raises:
        HostUnready: this is no Debian host.
        StageFailed: apt could not reach its mirror or solve the set, or a package is damaged.
    """
    require_program("apt-get", purpose="fetches Debian's packages", package="apt, on a Debian host")
    root = cache / "apt"
    env = {"APT_CONFIG": str(_write_settings(root))}
    say("asking the mirror for its lists")
    run(["apt-get", "-q", "update"], doing="read the lists of packages", log=log, env=env, timeout=SECONDS)
    wanted = read_list(repository / LIST, needs)
    install = ["apt-get", "-q", "-y", "install", *wanted]
    solved = run([*install, "--simulate"], doing="solve the packages", env=env, timeout=SECONDS).stdout
    packages = sorted(set(re.findall(r"(?m)^Inst (\S+) \((\S+) ", solved)))
    run([*install, "--download-only"], doing="fetch the packages", log=log, env=env, timeout=SECONDS)
    argv = ["apt-cache", "show", *(f"{name}={version}" for name, version in packages)]
    stanzas = run(argv, doing="read what the packages are", env=env, timeout=SECONDS).stdout
    files, index = {}, []
    for stanza in sorted(filter(None, stanzas.split("\n\n"))):
        fields = dict(re.findall(r"(?m)^([\w-]+): (.*)$", stanza))
        name = Path(fields["Filename"]).name
        files[name] = _cached(root, fields)
        index.append(re.sub(r"(?m)^Filename: .*$", f"Filename: ./{name}", stanza.strip()) + "\n")
    if len(files) != len(packages):
        raise StageFailed(f"apt knows {len(files)} of the {len(packages)} packages that it chose")
    _prune(root, files)
    say(f"{len(files)} packages, {sum(path.stat().st_size for path in files.values()) / MIB:.0f} MiB")
    return {**files, "Packages": write_text(root / "Packages", "\n".join(index))}


def read_list(path: Path, needs: Sequence[str]) -> list[str]:
    """Return the Debian packages of the list of system packages for some needs, sorted."""
    rows = [
        line.split("\t")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    return sorted({row[2] for row in rows if row[0] in needs} - {"-"})


def _write_settings(root: Path) -> Path:
    """Lay out a system that has nothing installed and this host's mirrors; return apt's settings for it."""
    for folder in ("etc/apt", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/lib/dpkg"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for folder in ("apt.conf.d", "preferences.d", "sources.list.d", "auth.conf.d"):
        (root / "etc/apt" / folder).mkdir(exist_ok=True)
    write_text(root / "etc/apt/sources.list", "".join(f"{line}\n" for line in debian_sources(SUITE)))
    write_text(root / "var/lib/dpkg/status", "")
    status = f'Dir::State::status "{root}/var/lib/dpkg/status";'
    lines = [f'Dir "{root}";', status, *SETTINGS, *(f"{setting};" for setting in acquire_settings())]
    return write_text(root / "apt.conf", "".join(f"{line}\n" for line in lines))


def _cached(root: Path, fields: Mapping[str, str]) -> Path:
    """Return the file of a package, held against Debian's SHA-256."""
    version = fields["Version"].replace(":", "%3a")
    path = root / "var/cache/apt/archives" / f"{fields['Package']}_{version}_{fields['Architecture']}.deb"
    if not path.is_file() or sha256(path) != fields["SHA256"]:
        path.unlink(missing_ok=True)
        raise StageFailed(
            f"{path.name} is not what Debian's index says", hint="run it again: it is fetched anew"
        )
    return path


def _prune(root: Path, files: Mapping[str, Path]) -> None:
    kept = set(files.values())
    for path in (root / "var/cache/apt/archives").glob("*.deb"):
        if path not in kept:
            path.unlink()

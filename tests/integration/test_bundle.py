"""The bundle for a host without a network: made, cut, damaged, and used on a bare Debian 12 that has none."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.tools.apt import debian_sources, proxy_options
from builder.tools.host import memory_mib
from builder.tools.process import find_program
from tests.media.keys import Key, make_key, short_home

from .conftest import CACHE, REPOSITORY, Run

LEFT_OUT = (".git", ".bundle", ".cache", ".venv", "build", "__pycache__", ".*_cache", "*.egg-info")
GIT = {
    **dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), "Forja"),
    **dict.fromkeys(("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), "forja@ejemplo.es"),
    **dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), "2026-01-01T00:00:00Z"),
    **dict.fromkeys(("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"), "/dev/null"),
}
SECONDS = 1500
MEMORY = Path("/dev/shm")
BARE = ("make", "git", "ca-certificates")
"""All that a Debian has on which somebody means to make images."""
ENTER = """
mount --rbind /dev "$1/dev"; mount -t proc proc "$1/proc"; mount -t tmpfs tmpfs "$1/tmp"
mount --bind "$2" "$1/media"; mount -o remount,bind,ro "$1/media"
exec chroot "$1" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=en_US.UTF-8 sh -ec "$3"
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This code as the two commits of a clone, whatever it lies in here."""
    folder = tmp_path_factory.mktemp("clone") / "forja"
    shutil.copytree(REPOSITORY, folder, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=Todo")
    git(folder, "commit", "--quiet", "--message=Nada", "--allow-empty")
    return folder


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    return make_key(tmp_path_factory.mktemp("key"), "Seguridad")


@pytest.fixture(scope="module")
def bundle(clone: Path, key: Key, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a bundle in parts, by the command that a person types."""
    output = tmp_path_factory.mktemp("salida")
    done = make(clone, key, f"OUTPUT={output}", "SPLIT=150M")
    assert done.code == 0, done.stderr
    folder = Path(done.stdout.splitlines()[-1])
    assert folder.parent == output
    assert len(list(folder.glob("*.tar.*"))) > 1
    yield folder
    shutil.rmtree(output)


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Path]:
    """A folder for half a gigabyte, given back at once."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", folder, *words], env={**os.environ, **GIT}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def make(clone: Path, key: Key, *words: str) -> Run:
    """Run `make bundle` for an image of the laboratory, with the caches of these tests."""
    with short_home(key.home) as home:
        env = {**os.environ, **GIT, "PYTHONPATH": str(clone), "GNUPGHOME": str(home)}
        forja = home / "forja"
        forja.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m builder.cli \"$@\" --cache '{CACHE}'\n")
        forja.chmod(0o755)
        argv = ["make", "--no-print-directory", "-C", clone, "bundle", "SETUP=true", f"FORJA={forja}", *words]
        if not any(word.startswith(("KEY=", "UNSIGNED=")) for word in words):
            argv.append(f"KEY={key.fingerprint}")
        if not any(word.startswith("NEEDS=") for word in words):
            argv.append("NEEDS=image lab")
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=SECONDS)
    return Run(done.returncode, done.stdout, done.stderr)


def open_bundle(folder: Path, *words: str | Path, lang: str = "en_US.UTF-8") -> Run:
    argv = ["sh", folder / "abrir.sh", *words]
    env = {"PATH": os.environ["PATH"], "LANG": lang}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=SECONDS)
    return Run(done.returncode, done.stdout, done.stderr)


def linked(bundle: Path, folder: Path) -> Path:
    """Return a bundle of its own, in which a file can be replaced (not written into)."""
    shutil.copytree(bundle, folder, copy_function=os.link)
    return folder


# --- Making it ------------------------------------------------------------------------------------


def test_the_same_commit_gives_the_same_bytes_whole_or_in_parts(
    clone: Path, bundle: Path, key: Key, space: Path
) -> None:
    done = make(clone, key, f"OUTPUT={space}")
    assert done.code == 0, done.stderr
    again = Path(done.stdout.splitlines()[-1])
    joined, whole = hashlib.sha256(), hashlib.sha256((again / f"{again.name}.tar").read_bytes())
    parts = sorted(bundle.glob("*.tar.*"))
    assert [path.stat().st_size for path in parts[:-1]] == [150 * 2**20] * (len(parts) - 1)
    for path in parts:
        joined.update(path.read_bytes())
    assert joined.hexdigest() == whole.hexdigest()


def test_what_no_commit_has_is_refused_or_said(clone: Path, key: Key, space: Path) -> None:
    readme, notes = clone / "README.md", clone / "mis notas.txt"
    text = readme.read_text()
    readme.write_text(f"{text}\n")
    try:
        done = make(clone, key, f"OUTPUT={space}")
    finally:
        readme.write_text(text)
    assert "1 file(s) have changes that no commit has: README.md" in done.stderr
    assert "exit code 2" in done.stderr
    notes.write_text("no es de nadie más\n")
    try:
        done = make(clone, key, f"OUTPUT={space}", "UNSIGNED=1", "KEY=", "NEEDS=image")
    finally:
        notes.unlink()
    assert done.code == 0, done.stderr
    assert "1 file(s) that git does not track stay out of the bundle" in done.stderr
    assert "NOBODY HAS SIGNED this bundle" in done.stderr
    folder = Path(done.stdout.splitlines()[-1])
    assert folder.name.endswith("-unsigned")
    opened = space / "abierto"
    assert open_bundle(folder, "--key", key.fingerprint, opened).code == 2
    run = open_bundle(folder, "--unsigned", opened, lang="es_ES.UTF-8")
    assert run.code == 0, run.stderr
    assert "NADIE LO HA FIRMADO" in run.stderr
    assert not (opened / notes.name).exists()
    assert not (opened / ".bundle/lab").exists()
    history = space / "historia"
    git(space, "clone", "--quiet", str(opened / ".bundle/forja.bundle"), str(history))
    assert git(history, "log", "--format=%s").splitlines() == ["Nada", "Todo"]
    tracked = git(history, "ls-files", "-z").rstrip("\0").split("\0")
    for name in tracked:
        path = opened / name
        assert path.is_symlink() or path.read_bytes() == (history / name).read_bytes(), name
        assert path.is_symlink() or os.access(path, os.X_OK) == os.access(history / name, os.X_OK), name
    listed = (opened / ".bundle/contents.tsv").read_text().splitlines()[1:]
    assert len(listed) == sum(path.is_file() for path in (opened / ".bundle").rglob("*")) - 1
    for line in listed:
        digest, size, name = line.split("\t")
        content = (opened / name).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (digest, int(size)), name


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["KEY="], "needs the fingerprint of the key that signs it"),
        (["KEY=1234"], "'1234' is not the fingerprint of a key"),
        (["KEY=" + "0" * 40], "GnuPG has no secret key " + "0" * 40),
        (["SPLIT=4400"], "'4400' is not the size of a part"),
        (["SPLIT=0M"], "'0M' is not the size of a part"),
    ],
)
def test_what_can_not_be_is_refused_at_once(clone: Path, key: Key, words: list[str], said: str) -> None:
    done = make(clone, key, *words)
    assert said in done.stderr
    assert "exit code 2" in done.stderr
    assert "==>" not in done.stderr


# --- Its arrival ----------------------------------------------------------------------------------


def test_a_damaged_and_a_missing_part_are_named(bundle: Path, key: Key, space: Path) -> None:
    folder = linked(bundle, space / "traído")
    first, second, *_ = sorted(folder.glob("*.tar.*"))
    content = bytearray(first.read_bytes())
    content[len(content) // 2] ^= 1
    first.unlink()
    first.write_bytes(content)
    second.unlink()
    opened = space / "abierto"
    run = open_bundle(folder, "--key", key.fingerprint, opened)
    assert run.code == 2
    assert f"DAMAGED  {first.name}" in run.stderr
    assert f"MISSING  {second.name}" in run.stderr
    assert f"error: to be brought again: {first.name} {second.name}" in run.stderr
    assert run.stderr.count("good     ") == len(list(bundle.iterdir())) - 4
    spanish = open_bundle(folder, "--key", key.fingerprint, opened, lang="es_ES.UTF-8")
    assert f"DAÑADO   {first.name}" in spanish.stderr
    assert not opened.exists()


def test_who_signs_is_seen(bundle: Path, key: Key, space: Path) -> None:
    spaced = " ".join(re.findall("....", key.fingerprint.lower()))
    assert open_bundle(bundle, "--key", spaced, "--check").code == 0
    other = make_key(space / "otra", "Otra")
    wrong = open_bundle(bundle, "--key", other.fingerprint, space / "abierto")
    assert wrong.code == 2
    assert f"the signature is not by the key {other.fingerprint}" in wrong.stderr

    # Somebody's own key beside the archive does not help; nor do sums that were changed, nor none.
    forged = linked(bundle, space / "falso")
    sums = (forged / "SHA256SUMS").read_text()
    for name in ("SHA256SUMS", "SHA256SUMS.asc", "clave.gpg"):
        (forged / name).unlink()
    with short_home(other.home) as home:
        gpg = ["gpg", "--homedir", home, "--batch", "--quiet"]
        subprocess.run([*gpg, "--export", "--output", forged / "clave.gpg"], check=True)
        digest = hashlib.sha256((forged / "clave.gpg").read_bytes()).hexdigest()
        sums = re.sub(r"(?m)^\w+(?=  clave.gpg$)", digest, sums)
        (forged / "SHA256SUMS").write_text(sums)
        sign = ["--armor", "--output", forged / "SHA256SUMS.asc", "--detach-sign", forged / "SHA256SUMS"]
        subprocess.run([*gpg, *sign], check=True)
    assert open_bundle(forged, "--key", other.fingerprint, "--check").code == 0
    run = open_bundle(forged, "--key", key.fingerprint, space / "abierto")
    assert run.code == 2
    assert "the signature is not by the key" in run.stderr
    (forged / "SHA256SUMS").write_text(sums.replace("a", "b"))
    assert "SHA256SUMS has changed" in open_bundle(forged, "--key", other.fingerprint).stderr
    (forged / "SHA256SUMS.asc").unlink()
    assert "SHA256SUMS.asc is missing" in open_bundle(forged, "--key", other.fingerprint).stderr
    assert open_bundle(bundle, "--unsigned", space / "abierto").code == 2
    assert open_bundle(bundle).code == 2
    assert not (space / "abierto").exists()


# --- Its use --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Host:
    """A bare Debian 12 without a network: each command runs in a namespace with no interface up."""

    root: Path
    bundle: Path

    def run(self, command: str) -> Run:
        argv = [*namespaces(), "sh", "-ec", ENTER, "sh", self.root, self.bundle, command]
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, timeout=SECONDS, stdin=subprocess.DEVNULL
        )
        return Run(done.returncode, done.stdout, done.stderr)


def namespaces() -> list[str]:
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user", "--map-auto"]
    return ["unshare", *user, "--mount", "--net", "--pid", "--fork", "--kill-child"]


@pytest.fixture(scope="module")
def bare() -> Path:
    """The archive of a bare Debian 12, made once and cached."""
    if find_program("mmdebstrap") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("mmdebstrap is not on this host")
    path = CACHE / f"bare-{hashlib.sha256(' '.join(BARE).encode()).hexdigest()[:16]}.tar"
    if not path.exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="bare-", dir=CACHE) as folder:
            sources, partial = Path(folder, "sources.list"), Path(folder, "bare.tar")
            sources.write_text("".join(f"{line}\n" for line in debian_sources("bookworm")))
            argv = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(BARE)}"]
            argv += [*proxy_options(), '--customize-hook=rm -rf "$1"/var/lib/apt/lists/*']
            subprocess.run([*argv, "bookworm", partial, sources], check=True, timeout=SECONDS)
            partial.rename(path)
    return path


def roomy_place() -> Path:
    """Return where a Debian of 3 GiB goes: into memory, where there is much of it."""
    if os.geteuid() == 0 and MEMORY.is_dir() and memory_mib() > 12 * 1024:
        status = os.statvfs(MEMORY)
        if status.f_bavail * status.f_frsize > 6 * 2**30 and not status.f_flag & os.ST_NOEXEC:
            return MEMORY
    return CACHE


@pytest.fixture
def host(bare: Path, bundle: Path) -> Iterator[Host]:
    with tempfile.TemporaryDirectory(prefix="host-", dir=roomy_place()) as folder:
        root = Path(folder) / "root"
        root.mkdir()
        unpack = ["tar", "-C", root, "-xf", bare, "--exclude=./dev/*"]
        subprocess.run([*namespaces(), *unpack], check=True, timeout=SECONDS)
        # dpkg need not wait for the disk here.
        unsafe = root / "etc/dpkg/dpkg.cfg.d/unsafe"
        subprocess.run([*namespaces(), "sh", "-c", f"echo force-unsafe-io >'{unsafe}'"], check=True)
        yield Host(root, bundle)
        subprocess.run([*namespaces(), "rm", "-rf", root], check=True)


def test_a_medium_on_a_debian_without_a_network(host: Host, key: Key) -> None:
    """From the parts on a DVD to the medium that installs, and not one packet, not even to itself."""
    done = host.run(f"""
        sh /media/abrir.sh --key {key.fingerprint} '/srv/a forja'
        cd '/srv/a forja'
        builder/host/set-up.sh image lab
        if grep -E 'Retrying|resolving|debian.org|pypi.org' .cache/set-up.log; then exit 9; fi
        builder/host/set-up.sh image lab
        .venv/bin/forja medium clasificado
        cat /proc/net/dev
    """)
    assert done.code == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "installing the system packages that are missing, from /srv/a forja/.bundle" in done.stderr
    assert "set-up: nothing to do: packages (image lab) and .venv are in place" in done.stderr
    assert "==> Making the laboratory" not in done.stderr
    medium = "srv/a forja/build/clasificado-laboratorio/clasificado-laboratorio.iso"
    assert f"/{medium}" in done.stdout.splitlines()
    assert (host.root / medium).stat().st_size > 200 * 2**20
    interfaces = [line.split() for line in done.stdout.splitlines() if re.match(r" *\w+: ", line)]
    assert [line[0] for line in interfaces] == ["lo:"]
    assert set(interfaces[0][1:]) == {"0"}
    assert (host.root / "srv/a forja/.bundle/contents.tsv").is_file()

    # What a host without a network can't have is said at once, and where to get it.
    said = host.run("""
        cd '/srv/a forja'
        dpkg --purge --force-depends xorriso >/dev/null
        rm .bundle/debian/xorriso_*.deb
        ! FORJA_BUNDLE=/srv builder/host/set-up.sh image
        builder/host/set-up.sh image
    """)
    assert said.code == 4
    assert "FORJA_BUNDLE=/srv holds no bundle" in said.stderr
    assert "apt-get could not install: xorriso" in said.stderr

"""The archive and the program in it, run on small servers in folders, by every Python that there is."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.ask.overlay import FOLDER
from builder.ask.plan import Plan, make_plan
from builder.cli import main
from builder.make.archive import PROGRAM, write_archive
from builder.make.archive.program import apply, journal
from builder.make.archive.program.contents import Contents
from builder.make.archive.program.journal import Journal
from builder.make.archive.program.system import SELINUX, System, read_xattrs
from builder.make.archive.program.words import TEXTS
from builder.make.overlay import collect_members
from tests.media.keys import make_key, short_home

PEM = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0bw==\n-----END PRIVATE KEY-----\n"
MODULES_3_6 = {
    *(
        "argparse",
        "base64",
        "contextlib",
        "difflib",
        "errno",
        "fcntl",
        "fnmatch",
        "glob",
        "hashlib",
        "json",
        "os",
    ),
    *("re", "shlex", "shutil", "signal", "stat", "subprocess", "sys", "syslog", "time", "typing", "zipfile"),
}
PYTHONS = sorted(
    {
        Path(found).resolve()
        for minor in range(6, 15)
        for found in (
            shutil.which(f"python3.{minor}"),
            *Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python3.{minor}"),
            "/usr/libexec/platform-python",
        )
        if found and ".pyenv/shims" not in str(found) and Path(found).exists()
    }
)
OLDEST = min(PYTHONS, key=lambda path: int(path.name.rpartition(".")[2]), default=Path(sys.executable))
SEES = pytest.mark.skipif(os.geteuid() != 0, reason="owners are root's to give")


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan("clasificado", None, "rhel-8.3")


@pytest.fixture(scope="module")
def archive(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archive(plan, tmp_path_factory.mktemp("archive") / "x.unsigned.pyz", key=None)[0]


# --- The maker --------------------------------------------------------------------------------------------


def test_it_holds_what_the_overlay_archive_holds(plan: Plan, archive: Path) -> None:
    contents = Contents(str(archive))
    expected = {member.path: member for member in collect_members(plan) if "/apply.d/" not in member.path}
    assert {entry.path for entry in contents.entries} == set(expected)
    for entry in contents.entries:
        member = expected[entry.path]
        assert (entry.mode, entry.owner) == (member.mode, member.owner)
        assert member.content is None or contents.read(entry) == member.content
    hooks = [hook["name"] for hook in contents.manifest["hooks"]]
    assert hooks == [f"{n:02d}-{item.name}.sh" for n, item in enumerate(plan.overlays) if item.hook]
    assert all(hook["title"] for hook in contents.manifest["hooks"])
    assert "postfix-3.3.1-12.el8_3.1" in contents.manifest["packages"]
    assert plan.site.admin.password_hash not in json.dumps(contents.manifest)


def test_the_same_plan_gives_the_same_bytes(plan: Plan, archive: Path, tmp_path: Path) -> None:
    again = write_archive(plan, tmp_path / "x.unsigned.pyz", key=None)
    assert again[0].read_bytes() == archive.read_bytes()
    assert again[0].stat().st_mode & 0o777 == 0o600
    sums = again[1].read_text()
    assert sums == f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  x.unsigned.pyz\n"


def test_it_is_signed(plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = make_key(tmp_path / "home", "Seguridad")
    path = tmp_path / "x.pyz"
    with short_home(key.home) as home:
        argv = ["overlay", "clasificado", "--archive", "--output", str(path), "--gpg-home", str(home)]
        assert main([*argv, "--key", key.fingerprint.lower()]) == 0
        assert capsys.readouterr().out.split() == [str(path), f"{path}.asc", f"{path}.sha256"]
        check = ["gpg", "--homedir", str(home), "--verify", f"{path}.asc", str(path)]
        done = subprocess.run(check, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert key.fingerprint in done.stderr
        path.write_bytes(path.read_bytes() + b"x")
        assert subprocess.run(check, capture_output=True, check=False).returncode != 0
        assert Contents(str(path)).manifest["key"] == key.fingerprint
        assert main([*argv, "--key", "0" * 40]) == 5
    assert not Path(f"{path}.asc").exists(), "a signature of another archive"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--archive"], "--key"),
        (["--archive", "--key", "1234"], "fingerprint"),
        (["--archive", "--unsigned", "--output", "x.pyz"], "unsigned"),
        (["--unsigned"], "--archive"),
    ],
)
def test_what_is_asked_wrongly(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["overlay", "clasificado", *words]) == 2
    assert said in capsys.readouterr().err


# --- RHEL 8.3's Python ------------------------------------------------------------------------------------


def test_the_program_is_python_3_6() -> None:
    for source in PROGRAM.glob("*.py"):
        tree = ast.parse(source.read_text(encoding="utf-8"), feature_version=(3, 6))
        for node in ast.walk(tree):
            assert not isinstance(node, ast.NamedExpr), source
            names = []
            if isinstance(node, ast.Import):
                names = [item.name for item in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [str(node.module)]
                assert node.module != "__future__", source
            assert set(names) <= MODULES_3_6, source
            if isinstance(node, ast.Call):
                words = {word.arg for word in node.keywords} - ({"text"} if is_own(node) else set())
                assert not words & {"capture_output", "text", "dirs_exist_ok", "missing_ok"}, source
            if isinstance(node, ast.Attribute):
                assert node.attr not in ("removeprefix", "removesuffix", "unlink_missing"), source


def is_own(call: ast.Call) -> bool:
    """Say whether it calls `say`, which takes a text."""
    return isinstance(call.func, ast.Name) and call.func.id == "say"


@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: path.name)
def test_it_runs_by_every_python(python: Path, archive: Path) -> None:
    for words in (["--verify"], ["--list"], ["--show", "/etc/ssh/sshd_config"], ["--help"]):
        argv = [python, archive, *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env={"LC_ALL": "C"})
        assert done.returncode == 0, done.stderr
        assert done.stdout


def test_every_text_is_used_and_there() -> None:
    source = "".join(
        path.read_text(encoding="utf-8") for path in PROGRAM.glob("*.py") if path.stem != "words"
    )
    for word in TEXTS:
        known = word.startswith(("help-", "kind-"))
        assert known or f'"{word}"' in source, word


# --- A small server ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Small:
    """A server in a folder; its archive is made of three files."""

    root: Path
    archive: Path

    def write(self, path: str, text: str, mode: int = 0o644) -> Path:
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)
        return target

    def text(self, path: str) -> str:
        return (self.root / path.lstrip("/")).read_text()

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [OLDEST, self.archive, "--root", self.root, *words]
        return subprocess.run(argv, capture_output=True, text=True, check=False)

    def look(self) -> dict[str, object]:
        found: dict[str, object] = {}
        for path in sorted(self.root.rglob("*")):
            info = path.lstat()
            what: object = (
                path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else ""
            )
            xattrs = read_xattrs(str(path))
            found[str(path)] = (info.st_mode, info.st_uid, info.st_gid, what, xattrs)
        return found


def remake(archive: Path, target: Path, files: dict[str, tuple[str, str]], **facts: object) -> Path:
    """Write an archive with the program of another one, and files of its own: path -> mode, content."""
    with zipfile.ZipFile(archive) as old:
        manifest = json.loads(old.read("manifest.json"))
        program = {name: old.read(name) for name in manifest["program"]}
    manifest |= {"entries": [], "hooks": [], "packages": [], "excludes": [], "accounts": [], "services": []}
    manifest |= {"saved": ["/etc"], "list_packages": "echo bash-0:4.4-1.el8.x86_64"} | facts
    with zipfile.ZipFile(target, "w") as new:
        for name, content in program.items():
            new.writestr(name, content)
        for path, (mode, text) in files.items():
            new.writestr(f"root{path}", text)
            digest = hashlib.sha256(text.encode()).hexdigest()
            entry = {"path": path, "mode": mode, "owner": "root:root", "type": "etc_t", "sha256": digest}
            manifest["entries"].append(entry | {"secret": path.endswith(".key")})
        new.writestr("manifest.json", json.dumps(manifest))
    return target


def add_program(root: Path, name: str) -> None:
    """Put a program of this host's into a root, with the libraries that it is linked with."""
    source = shutil.which(name)
    assert source
    linked = subprocess.run(["ldd", source], capture_output=True, text=True, check=True).stdout
    for path in (source, *(word for word in linked.split() if word.startswith("/"))):
        target = root / ("usr/bin/" + name if path == source else path.lstrip("/"))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(path).resolve(), target)
    (root / "bin").mkdir(exist_ok=True)
    if not (root / "bin" / name).exists():
        (root / "bin" / name).symlink_to(f"/usr/bin/{name}")


FILES = {
    "/etc/one": ("0640", "new one\n"),
    "/etc/deep/er/two": ("0644", "new two\n"),
    "/etc/secret.key": ("0600", PEM),
}


@pytest.fixture
def small(archive: Path, tmp_path: Path) -> Small:
    root = tmp_path / "server"
    made = Small(root, remake(archive, tmp_path / "small.pyz", FILES))
    made.write("/etc/os-release", 'ID="rhel"\nVERSION_ID="8.3"\nPRETTY_NAME="Red Hat Enterprise Linux 8.3"\n')
    made.write("/etc/passwd", "root:x:0:0::/root:/bin/sh\n")
    made.write("/etc/group", "root:x:0:\n")
    made.write("/etc/one", "old one\n", 0o604)
    made.write("/etc/secret.key", PEM.replace("c2V", "b2x"), 0o644)
    (root / "var/lib").mkdir(parents=True)
    for name in ("sh", "chmod", "rm", "ln", "mkdir"):
        add_program(root, name)
    return made


@SEES
def test_check_shows_and_touches_nothing(small: Small) -> None:
    before = small.look()
    done = small.run("--check", "--lang", "en")
    assert done.returncode == 3, done.stderr
    assert "~ /etc/one (content, 0604 -> 0640)\n    --- /etc/one\n    +++ /etc/one\n" in done.stdout
    assert "    -old one\n    +new one\n" in done.stdout
    assert "+ /etc/deep/er/two (file, 0644 root:root)\n    --- /dev/null\n" in done.stdout
    assert "secret content, not shown" in done.stdout
    assert "PRIVATE" not in done.stdout
    assert "b2x" not in done.stdout
    assert small.look() == before


@SEES
def test_apply_twice_and_back(small: Small) -> None:
    os.setxattr(small.root / "etc/one", "user.own", b"kept")
    os.utime(small.root / "etc/one", ns=(10**18, 10**18))
    before = small.look()
    done = small.run("--apply")
    assert done.returncode == 0, done.stdout + done.stderr
    assert small.text("/etc/one") == "new one\n"
    assert (small.root / "etc/secret.key").stat().st_mode & 0o777 == 0o600
    assert small.text("/etc/deep/er/two") == "new two\n"
    applied = small.look()
    assert "nada que cambiar" in small.run("--apply").stdout
    assert small.look() == applied
    assert small.run("--undo").returncode == 0
    assert small.look() == before
    assert (small.root / "etc/one").stat().st_mtime_ns == 10**18
    assert small.run("--undo").returncode == 2


@SEES
def test_a_link_in_the_way_is_kept_and_comes_back(small: Small) -> None:
    elsewhere = small.write("/srv/theirs", "theirs\n")
    (small.root / "etc/one").unlink()
    (small.root / "etc/one").symlink_to("/srv/theirs")
    (small.root / "etc/deep").symlink_to("/srv")
    before = small.look()
    assert small.run("--apply").returncode == 0
    assert elsewhere.read_text() == "theirs\n"
    assert small.text("/srv/er/two") == "new two\n", "links of folders are the server's, inside its root"
    assert small.run("--undo").returncode == 0
    assert small.look() == before


@SEES
def test_selinux_types_are_given_and_come_back(small: Small) -> None:
    small.write("/etc/selinux/targeted/contexts/files/file_contexts", "")
    context = b"unconfined_u:object_r:user_home_t:s0\0"
    try:
        os.setxattr(small.root / "etc/one", SELINUX, context)
    except OSError:
        pytest.skip("no attributes security.* here")
    before = small.look()
    assert "user_home_t -> etc_t" in small.run("--check").stdout
    assert small.run("--apply").returncode == 0
    assert os.getxattr(small.root / "etc/one", SELINUX) == b"system_u:object_r:etc_t:s0\0"
    assert os.getxattr(small.root / "etc/deep/er/two", SELINUX) == b"system_u:object_r:etc_t:s0\0"
    assert "nada que cambiar" in small.run("--apply").stdout
    assert small.run("--undo").returncode == 0
    assert small.look() == before


@SEES
@pytest.mark.parametrize(
    ("release", "code"),
    [
        ('ID="rhel"\nVERSION_ID="8.3"', 3),
        ('ID="rhel"\nVERSION_ID="8.4"', 2),
        ('ID="almalinux"\nVERSION_ID="8.3"', 3),
        ('ID="ol"\nVERSION_ID="8.3"', 3),
        ('NAME="CentOS Linux"\nID="centos"\nVERSION_ID="8"', 3),
        ('NAME="CentOS Stream"\nID="centos"\nVERSION_ID="8"', 2),
        ('ID="fedora"\nVERSION_ID="8.3"', 2),
        ("", 2),
    ],
)
def test_other_systems_are_refused(small: Small, release: str, code: int) -> None:
    small.write("/etc/os-release", release + "\n")
    small.write("/etc/centos-release", "CentOS Linux release 8.3.2011\n")
    assert small.run("--check").returncode == code
    if "CentOS Linux" in release:
        small.write("/etc/centos-release", "CentOS Linux release 8.4.2105\n")
        assert small.run("--check").returncode == 2


@SEES
def test_missing_packages_and_accounts(small: Small, archive: Path, tmp_path: Path) -> None:
    asked: dict[str, object] = {"packages": ["bash", "postfix-3.3.1-12.el8_3.1"], "excludes": ["send*", "@x"]}
    said = "printf 'postfix-2:3.3.1-12.el8.x86_64\\nsendmail-0:8-1.el8.x86_64\\nbash-0:4-1.el8.x86_64\\n'"
    who = [{"user": "ana", "group": "wheel"}]
    made = remake(archive, tmp_path / "p.pyz", FILES, list_packages=said, **asked)
    before = small.look()
    done = Small(small.root, made).run("--apply")
    assert (done.returncode, done.stderr) == (
        2,
        "error: faltan paquetes; primero: dnf install postfix-3.3.1-12.el8_3.1\n",
    )
    assert "sendmail" in Small(small.root, made).run("--check").stdout
    made = remake(archive, tmp_path / "a.pyz", FILES, accounts=who)
    done = Small(small.root, made).run("--apply")
    assert (done.returncode, "ana" in done.stderr) == (2, True)
    assert small.look() == before
    small.write("/etc/passwd", "root:x:0:0::/root:/bin/sh\nana:x:1:1::/:/bin/sh\n")
    assert "ana (wheel)" in Small(small.root, made).run("--apply").stderr


def with_hook(archive: Path, target: Path, text: str) -> Path:
    hook = {"name": "00-x.sh", "title": "x", "sha256": hashlib.sha256(text.encode()).hexdigest()}
    made = remake(archive, target, FILES, hooks=[hook])
    with zipfile.ZipFile(made, "a") as more:
        more.writestr("hooks/00-x.sh", text)
    return made


HOOK = """
[ "$FORJA_RUNNING" = 1 ] || exit 9
echo changed > /etc/group; chmod 0600 /etc/passwd; rm /etc/os-release; mkdir /etc/made; echo x > /etc/made/x
ln -s /etc/made /etc/made/link
echo 'FORJA PENDIENTE: mirar algo'
"""


@SEES
def test_what_hooks_change_comes_back(small: Small, archive: Path, tmp_path: Path) -> None:
    server = Small(small.root, with_hook(archive, tmp_path / "h.pyz", HOOK))
    before = server.look()
    done = server.run("--apply")
    assert done.returncode == 5, "the hook has taken the groups away: no owner can be given"
    assert server.look() == before
    server = Small(
        small.root, with_hook(archive, tmp_path / "g.pyz", HOOK.replace("echo changed > /etc/group;", ""))
    )
    done = server.run("--apply")
    assert done.returncode == 0, done.stderr
    assert "pendiente: mirar algo" in done.stdout
    assert {"  ~ /etc/passwd", "  - /etc/os-release", "  + /etc/made/link"} <= set(done.stdout.splitlines())
    assert server.run("--undo").returncode == 0
    assert server.look() == before


@SEES
def test_a_hook_that_fails_is_told_and_taken_back(small: Small, archive: Path, tmp_path: Path) -> None:
    server = Small(small.root, with_hook(archive, tmp_path / "h.pyz", HOOK + "echo no puede ser; exit 1\n"))
    before = server.look()
    done = server.run("--apply")
    assert done.returncode == 5
    assert "no puede ser" in done.stderr
    assert server.look() == before


@SEES
def test_a_cut_at_every_change_is_taken_back(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program is ended before each of its changes in turn, as by a power cut."""

    class Cut(BaseException):
        pass

    before = small.look()
    contents, system = Contents(str(small.archive)), System(str(small.root))
    put, say = System.put, lambda *_a, **_k: None
    for number in range(1, 20):
        count = 0

        def cut(self: System, *what: object, number: int = number) -> None:
            nonlocal count
            count += 1
            if count == number:
                raise Cut
            put(self, *what)  # type: ignore[arg-type]

        with monkeypatch.context() as patch:
            patch.setattr(System, "put", cut)
            patch.setattr("signal.signal", lambda *_: None)
            patch.setattr(journal.Generation, "restore", lambda *_: (_ for _ in ()).throw(Cut))
            try:
                with Journal(system) as at_work:
                    apply.apply(contents, system, at_work, say)
                break
            except Cut:
                pass
        assert small.run("--apply").returncode == 2
        assert small.run("--undo").returncode == 0
        assert small.look() == before
    assert number > 4


@SEES
def test_an_undo_that_is_cut_off_is_ended_by_the_next(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    before = small.look()
    put = System.put
    assert small.run("--apply").returncode == 0
    for number in range(3):
        done: list[str] = []

        def cut(self: System, path: str, *what: object, number: int = number, done: list[str] = done) -> None:
            if len(done) == number:
                raise KeyboardInterrupt
            done.append(path)
            put(self, path, *what)  # type: ignore[arg-type]

        system = System(str(small.root))
        with monkeypatch.context() as patch, Journal(system) as at_work:
            patch.setattr(System, "put", cut)
            with pytest.raises(KeyboardInterrupt):
                apply.undo(system, at_work, set(), False, False, lambda *_a, **_k: None)
    assert small.look() != before
    assert small.run("--undo").returncode == 0
    assert small.look() == before


@SEES
def test_a_change_since_is_not_lost(small: Small) -> None:
    assert small.run("--apply").returncode == 0
    small.write("/etc/one", "a person's\n")
    done = small.run("--undo")
    assert done.returncode == 2
    assert "/etc/one" in done.stderr
    assert small.run("--undo", "--keep", "/etc/one").returncode == 0
    assert small.text("/etc/one") == "a person's\n"
    assert not (small.root / "etc/deep").exists()
    small.write("/etc/one", "old one\n", 0o604)
    assert small.run("--apply").returncode == 0
    small.write("/etc/one", "a person's\n")
    assert small.run("--undo", "--force").returncode == 0
    assert small.text("/etc/one") == "old one\n"


@SEES
def test_an_archive_that_was_changed_is_refused(small: Small, tmp_path: Path) -> None:
    before = small.look()
    bad = tmp_path / "bad.pyz"
    for change in ("content", "more", "less"):
        with zipfile.ZipFile(small.archive) as old, zipfile.ZipFile(bad, "w") as new:
            for name in old.namelist():
                text = old.read(name)
                if name == "root/etc/one" and change == "less":
                    continue
                new.writestr(name, b"other" if name == "root/etc/one" and change == "content" else text)
            if change == "more":
                new.writestr("root/etc/more", b"more")
        for verb in ("--verify", "--check", "--apply"):
            assert Small(small.root, bad).run(verb).returncode == 2, change
    assert small.look() == before


@SEES
def test_one_at_a_time(small: Small) -> None:
    with Journal(System(str(small.root))):
        done = small.run("--apply")
    assert done.returncode == 2
    assert "en marcha" in done.stderr


# --- The hooks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", sorted(FOLDER.glob("*/apply.sh")), ids=lambda path: path.parent.name)
def test_hooks_ask_before_what_a_server_in_use_would_not_survive(hook: Path) -> None:
    """Others' units switched off, passwords that lapse, initramfs, rpm's data base, the mode FIPS."""
    words = (
        "preset-all",
        "chage ",
        "dracut ",
        "rpm --import",
        "fips-mode-setup",
        "grub2-mkconfig",
        "aide --init",
    )
    lines = hook.read_text(encoding="utf-8").splitlines()
    code = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    if any(word in code for word in words):
        assert "FORJA_RUNNING" in code

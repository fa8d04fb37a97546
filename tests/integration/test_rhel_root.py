"""An installed RHEL 8.3, for all that the laboratory can't show and that needs no running kernel.

Real dnf installs into a root file system what the plan asks for, from signed RPMs with the real names,
versions and configuration files; programs for it to run are Debian's, since the RPMs hold none. On it the
lock has to hold against newer packages, and the tests of tests/image that only RPMs can satisfy have to
pass, and to turn red for whatever is broken on purpose.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from builder.ask.plan import Plan
from builder.make.findings import Findings, Outcome, Subject, Verdict
from builder.make.overlay import collect_members
from builder.make.resolution import Resolution
from builder.make.verification import look
from builder.room import read_plan, read_resolution
from builder.tools.apt import debian_sources, proxy_options
from builder.tools.process import Argument, find_program
from tests.media.dvd import KEY_FILE
from tests.media.keys import make_key
from tests.media.rhel83 import Kit, make_dvd, read_packages, update_of
from tests.media.rpms import Rpm, build_rpms

from .conftest import CACHE, REPOSITORY, forja

LOCK = "/etc/dnf/plugins/versionlock.list"
PINNED = "2:3.3.1-12.el8_3.1"
SUITE = "bookworm"
PROGRAMS = ["bash", "coreutils", "dash", "dnf", "dnf-plugins-core", "findutils", "gawk", "grep", "rpm", "sed"]
NEEDLESS = ("./dev/*", "./usr/share/doc", "./usr/share/perl*", "./usr/lib/x86_64-linux-gnu/*perl*", "*/gconv")
NOT_ON_RHEL = ("*/dnf-plugins/local.py",)
"""A plugin that RHEL has in a package of its own, and that adds a repository."""
OF_DEBIAN = ("bash", "coreutils", "rpm")
"""Packages of the kit whose (empty) programs would hide Debian's."""
MEMORY = Path("/dev/shm")
ENTER = """
mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/installed,workdir=$1/work" "$1/root"
mount --rbind /proc "$1/root/proc"; mount --rbind /dev "$1/root/dev"; mount --bind "$3" "$1/root/media"
[ -z "$4" ] || mount --bind "$4" "$1/root/target"
shift 4
exec "$@"
"""


@dataclass(frozen=True)
class Root:
    """A root file system that commands are run in, with no network: what is installed, laid over programs."""

    folder: Path
    programs: Path
    media: Path
    """What stands at /media."""
    target: Path | str = ""
    """What stands at /target, if anything does."""
    plan: Plan | None = None
    address: str = ""
    clients: dict[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in (self.installed, self.folder / "work", self.folder / "root"):
            path.mkdir(parents=True, exist_ok=True)

    @property
    def installed(self) -> Path:
        return self.folder / "installed"

    @property
    def connection(self) -> dict[str, str]:
        return {"hostspec": str(self.folder / "root"), "connection": "chroot"}

    def inside(self, argv: Sequence[Argument]) -> list[str]:
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        places = map(str, (self.folder, self.programs, self.media, self.target))
        return ["unshare", *user, "--mount", "--net", "sh", "-ec", ENTER, "sh", *places, *map(str, argv)]

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a shell command in the root; its two outputs are one."""
        env = ["env", "-i", "PATH=/usr/sbin:/usr/bin", "HOME=/root", "LC_ALL=C"]
        argv = self.inside(["chroot", self.folder / "root", *env, "sh", "-ec", command])
        return subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300
        )

    def check(self, command: str) -> str:
        done = self.run(command)
        assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}"
        return done.stdout.strip()

    def version(self, name: str) -> str:
        return self.check(f"rpm -q --qf '%{{EPOCHNUM}}:%{{VERSION}}-%{{RELEASE}}' {name}")


def repository(name: str, path: str) -> str:
    """Return options of dnf for a repository below /media, whose signatures are checked."""
    key = f"file:///media/dvd/tree/{KEY_FILE}"
    return (
        f"--repofrompath={name},file:///media/{path} --setopt={name}.gpgcheck=1 --setopt={name}.gpgkey={key}"
    )


# --- Making the root ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def work() -> Iterator[Path]:
    """A folder beside the kit: media are made of links to its files."""
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rhel-root-", dir=CACHE) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """A folder in memory, where there is one: rpm waits for the disk after each package."""
    with tempfile.TemporaryDirectory(prefix="rhel-root-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def programs(work: Path) -> Path:
    """The programs, in a folder; fetched once, in a minute."""
    if find_program("mmdebstrap") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("mmdebstrap is not on this host")
    digest = hashlib.sha256(" ".join((SUITE, *PROGRAMS, *NEEDLESS)).encode()).hexdigest()
    folder = CACHE / f"userland-{digest[:16]}"
    if not folder.exists():
        sources, archive, partial = work / "sources.list", work / "userland.tar", work / "userland"
        sources.write_text("".join(f"{line}\n" for line in debian_sources(SUITE)))
        argv = ["mmdebstrap", "--quiet", "--variant=extract", f"--include={','.join(PROGRAMS)}"]
        subprocess.run([*argv, *proxy_options(), SUITE, archive, sources], check=True)
        for name in ("bin", "lib", "lib64", "sbin"):
            (partial / "usr" / name).mkdir(parents=True)
            (partial / name).symlink_to(f"usr/{name}")
        left_out = [f"--exclude={pattern}" for pattern in (*NEEDLESS, *NOT_ON_RHEL)]
        how = ["--no-same-owner", "--keep-directory-symlink"]
        subprocess.run(["tar", "-C", partial, "-xf", archive, *how, *left_out], check=True)
        for name in ("dev", "etc/rpm", "media", "proc", "target"):
            (partial / name).mkdir(exist_ok=True)
        # Debian's rpm has its database elsewhere.
        (partial / "etc/rpm/macros").write_text("%_dbpath /var/lib/rpm\n")
        partial.rename(folder)
    return folder


@pytest.fixture(scope="module")
def media(kit: Kit, work: Path) -> Path:
    """The DVD (dvd), the updates, what is newer than them (newer), and what nobody should install (odd)."""
    folder = work / "media"
    packages = read_packages()
    for rpms in packages.values():
        for number, rpm in enumerate(rpms):
            if rpm.name in OF_DEBIAN:
                files = {path: text for path, text in rpm.files.items() if not path.startswith("/usr/bin/")}
                rpms[number] = dataclasses.replace(rpm, files=files)
    every = [rpm for rpms in packages.values() for rpm in rpms]
    made = {rpm.nevra: kit.rpms / rpm.filename for rpm in every}
    made |= build_rpms([rpm for rpm in every if rpm.name in OF_DEBIAN], folder / "rpms", key=kit.key)
    make_dvd(folder / "dvd", packages, made, key=kit.key)
    shutil.copytree(kit.erratum, folder / "updates")
    build_rpms(newer_rpms(), folder / "newer", key=kit.key)
    subprocess.run(["createrepo_c", "--quiet", folder / "newer"], check=True)
    tzdata = update_of("tzdata", "2021a", "1.el8")
    build_rpms([tzdata], folder / "odd/unsigned", key=None)
    build_rpms([tzdata], folder / "odd/foreign", key=make_key(work / "foreign", "Otra clave"))
    epochless = update_of("postfix", "3.3.1", "12.el8_3.1", epoch=0)
    build_rpms([epochless], folder / "odd/epoch", key=kit.key)
    return folder


def newer_rpms() -> list[Rpm]:
    """Return what a repository of 8.4 would offer: three newer Postfix, and newer others."""
    redhat = update_of("redhat-release", "8.4", "0.6.el8")
    changed = {
        path: text.replace("8.3", "8.4") for path, text in redhat.files.items() if isinstance(text, str)
    }
    return [
        update_of("postfix", "3.5.8", "1.el8"),
        update_of("postfix", "3.3.1", "13.el8"),
        update_of("postfix", "3.3.1", "12.el8_3.2"),
        *(update_of(name, version, release) for name, (version, release) in NEWER.items()),
        dataclasses.replace(redhat, files={**redhat.files, **changed}),
    ]


NEWER = {
    "chrony": ("3.5", "2.el8"),
    "openssl": ("1.1.1g", "15.el8_3"),
    "openssl-libs": ("1.1.1g", "15.el8_3"),
    "sudo": ("1.8.29", "7.el8"),
    "tzdata": ("2021e", "1.el8"),
}
WITH_NEWER = repository("nuevo", "newer")


@pytest.fixture(scope="module")
def resolved(media: Path, rhel_site: Path, work: Path) -> tuple[Plan, Resolution]:
    """Plan and packages, as `forja resolve` writes them."""
    words = ["--iso", media / "dvd/dvd.iso", "--updates", media / "updates", "--site", rhel_site]
    run = forja("resolve", "clasificado", *words, "--build", work / "build", "--cache", work / "cache")
    assert run.code == 0, run.stderr
    room = work / "build/clasificado-rhel-8.3"
    return read_plan(room / "plan.json"), read_resolution(room / "packages.json")


@pytest.fixture(scope="module")
def pristine(programs: Path, media: Path, resolved: tuple[Plan, Resolution], memory: Path) -> Root:
    """The root as installed: what the kickstart asks for, by dnf itself, and then the overlay's lock."""
    plan, _ = resolved
    root = Root(memory / "pristine", programs, media, plan=plan)
    outside = Root(memory / "outside", programs, media, target=root.installed)
    places = {"BaseOS": "dvd/tree/BaseOS", "AppStream": "dvd/tree/AppStream", "actualizaciones": "updates"}
    how = f"--installroot=/target --releasever=8 --setopt=module_platform_id={plan.platform.module_platform}"
    repositories = " ".join(repository(name, path) for name, path in places.items())
    left_out = " ".join(f"--exclude='{name}'" for name in plan.exclusion if name[0] != "@")
    asked = " ".join(plan.selection)
    outside.check(f"dnf -y {how} --setopt=install_weak_deps=False {repositories} {left_out} install {asked}")
    lock = next(member for member in collect_members(plan) if member.path == LOCK)
    assert lock.content
    (root.installed / LOCK.lstrip("/")).write_bytes(lock.content)
    return root


@pytest.fixture
def root(pristine: Root, memory: Path) -> Iterator[Root]:
    """A copy of the root to be changed."""
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        copy = dataclasses.replace(pristine, folder=Path(folder))
        shutil.copytree(pristine.installed, copy.installed, symlinks=True, dirs_exist_ok=True)
        yield copy


# --- The lock -------------------------------------------------------------------------------------


def newer_versions() -> dict[str, str]:
    return {name: f"{version}-{release}" for name, (version, release) in NEWER.items()}


def versions(root: Root) -> dict[str, str]:
    return {name: root.version(name).partition(":")[2] for name in NEWER}


def test_a_newer_postfix_is_refused_and_all_else_updates(root: Root) -> None:
    assert root.version("postfix") == PINNED
    before = versions(root)
    assert not set(before.items()) & set(newer_versions().items())
    root.check(f"dnf -y {WITH_NEWER} upgrade")
    assert versions(root) == newer_versions()
    assert root.version("postfix") == PINNED
    for words in (
        f"{repository('erratum', 'updates')} upgrade --security",  # the guide's own command, in 5.1
        "upgrade postfix",
        "upgrade --best postfix",
        "distro-sync",
        "install postfix-3.5.8",
        "install postfix-3.3.1-13.el8",
        "install postfix-2:3.3.1-12.el8_3.2",
    ):
        said = root.run(f"dnf -y {WITH_NEWER} {words}")
        assert root.version("postfix") == PINNED, words
        assert words.startswith("install") == (said.returncode != 0), said.stdout


def test_without_the_lock_it_would_not_be_refused(root: Root) -> None:
    root.check(f"sed -i /^postfix/d {LOCK}; dnf -y {WITH_NEWER} upgrade")
    assert root.version("postfix") == "2:3.5.8-1.el8"
    assert versions(root) == newer_versions()


# --- What the tests of the image see of it --------------------------------------------------------


def look_at(root: Root, resolution: Resolution, folder: Path) -> Findings:
    """Return what tests/image/test_packages.py sees."""
    seen = look(root, resolution, folder, xml=None, log=folder / "log", files=["test_packages.py"])
    subject = Subject(image="", sha256="", size=0, firmware="", began="", seconds=0, builder_version="")
    return Findings(subject=subject, findings=seen)


def red_controls(found: Findings) -> set[str]:
    return {name for item in found.findings if item.outcome is Outcome.FAILED for name in item.controls}


def test_an_installed_rhel_holds(pristine: Root, resolved: tuple[Plan, Resolution], tmp_path: Path) -> None:
    plan, resolution = resolved
    assert not plan.platform.not_shown
    began = datetime.now(UTC).replace(microsecond=0)
    found = look_at(pristine, resolution, tmp_path)
    assert [(item.test, item.reason) for item in found.findings if item.outcome is not Outcome.PASSED] == []
    controls = [control for control in plan.controls if found.of(control.id)]
    assert {control.id for control in controls} >= {case.control for case in BREAKS}
    assert all(found.verdict(control) is Verdict.HOLDS for control in controls)
    assert all(item.seen for item in found.findings)
    moments = [datetime.fromisoformat(item.when) for item in found.findings]
    assert began <= min(moments) <= max(moments) <= datetime.now(UTC), "when each test ran"


@dataclass(frozen=True)
class Break:
    """Something broken on purpose, and the controls that must turn red: those and no others."""

    what: str
    control: str
    how: str
    also: tuple[str, ...] = ()


INSTALLED = ("RHEL-PACKAGE-04",)
FOREIGN = "[ajeno]\\nname=x\\nbaseurl=http://ajeno.example/\\nenabled={}\\ngpgcheck={}\\n"
REPO = f"printf '{FOREIGN}' > /etc/yum.repos.d/ajeno.repo"
BREAKS = (
    Break("no lock", "CCN681-4-01", f"sed -i /^postfix/d {LOCK}"),
    Break(
        "the lock's plugin off",
        "CCN681-4-01",
        "sed -i s/^enabled.*/enabled=0/ /etc/dnf/plugins/versionlock.conf",
    ),
    Break("all plugins off", "CCN681-4-01", "echo plugins=0 >> /etc/dnf/dnf.conf"),
    Break(
        "Postfix without its epoch",
        "CCN681-4-01",
        "rpm -e --nodeps postfix; rpm -i --nodeps /media/odd/epoch/*.rpm",
        INSTALLED,
    ),
    Break(
        "a newer Postfix",
        "CCN681-4-01",
        f"sed -i.bak /^postfix/d {LOCK}; dnf -y {WITH_NEWER} upgrade postfix; mv {LOCK}.bak {LOCK}",
        (*INSTALLED, "CCN681-5-02", "RHEL-PACKAGE-03"),
    ),
    Break("a package too many", "RHEL-PACKAGE-04", "rpm -i --nodeps /media/updates/podman-*.rpm"),
    Break("a package too few", "RHEL-PACKAGE-04", "rpm -e --nodeps tzdata"),
    Break(
        "a package of another version",
        "RHEL-PACKAGE-04",
        "rpm -U --oldpackage /media/dvd/tree/BaseOS/Packages/tzdata-*.rpm",
    ),
    Break(
        "an excluded package",
        "CCN681-5-02",
        "rpm -i --nodeps /media/dvd/tree/BaseOS/Packages/kexec-tools-*.rpm",
        (*INSTALLED, "RHEL-PACKAGE-03", "RHEL-SERVICE-02"),
    ),
    Break(
        "a declared package away", "CCN681-5-02", "rpm -e --nodeps chrony", (*INSTALLED, "RHEL-PACKAGE-03")
    ),
    Break(
        "an unsigned package",
        "RHEL-PACKAGE-05",
        "dnf -y --nogpgcheck reinstall /media/odd/unsigned/*.rpm",
    ),
    Break("a foreign signature", "RHEL-PACKAGE-05", "rpm -U --force --nosignature /media/odd/foreign/*.rpm"),
    Break("another program", "RHEL-PACKAGE-06", "echo > /usr/sbin/postfix"),
    Break("a missing library", "RHEL-PACKAGE-06", "rm /usr/libexec/postfix/smtpd"),
    Break("gpgcheck off", "RHEL-PACKAGE-07", "sed -i s/^gpgcheck.*/gpgcheck=0/ /etc/dnf/dnf.conf"),
    Break("gpgcheck off for one repository", "RHEL-PACKAGE-07", REPO.format(0, 0)),
    Break("a foreign repository", "RHEL-PACKAGE-08", REPO.format(1, 1)),
    Break("SELinux permissive", "RHEL-SELINUX-01", "sed -i s/=enforcing/=permissive/ /etc/selinux/config"),
    Break("another SELinux policy", "RHEL-SELINUX-01", "sed -i s/=targeted/=minimum/ /etc/selinux/config"),
    Break("another release", "CCN681-4-02", "rpm -U /media/newer/redhat-release-*.rpm", INSTALLED),
)


@pytest.mark.parametrize("case", BREAKS, ids=lambda case: case.what)
def test_a_break_turns_its_controls_red(
    case: Break, root: Root, resolved: tuple[Plan, Resolution], tmp_path: Path
) -> None:
    root.check(case.how)
    found = look_at(root, resolved[1], tmp_path)
    assert red_controls(found) == {case.control, *case.also}


# --- The build host: what a bundle brings to one without a network -----------------------------------


def test_set_up_takes_rpms_from_a_bundle_alone(programs: Path, memory: Path, kit: Kit) -> None:
    brought, root = memory / "brought", Root(memory / "host", programs, memory / "brought")
    shutil.copytree(REPOSITORY / "builder/host", brought / "builder/host")
    (brought / "requirements.lock").touch()
    (brought / ".bundle/wheels").mkdir(parents=True)
    rows = (brought / "builder/host/system-packages.tsv").read_text().splitlines()
    names = {row.split("\t")[3] for row in rows if row.startswith("image\t")} - {"-"}
    shutil.copy2(shutil.which("flock") or "", root.installed / "flock")
    trusted = root.installed / "etc/pki/rpm-gpg"
    trusted.mkdir(parents=True)
    shutil.copyfile(kit.key.public, trusted / "RPM-GPG-KEY-prueba")
    set_up = "PATH=$PATH:/; /media/builder/host/set-up.sh image"

    said = root.run(set_up)
    assert said.returncode == 4
    assert "a bundle holds no RPMs of RHEL: " in said.stdout
    assert root.run("rpm -q xorriso").returncode != 0

    rpms = brought / ".bundle/rhel"
    build_rpms([Rpm(name, "1", "1.el8") for name in sorted(names)], rpms, key=kit.key)
    subprocess.run(["createrepo_c", "--quiet", rpms], check=True)
    said = root.run(set_up)
    # That is all that stands for RHEL here: the packages are empty, and no Python of 8.8 is among them.
    assert "no Python from 3.11 to 3.13" in said.stdout, said.stdout
    installed = root.check("rpm -qa --qf '%{NAME}\\n'").split()
    assert {"xorriso", "qemu-kvm", "python3.11", "isomd5sum"} <= set(installed)

    root.check("rpm -e --nodeps xorriso")
    build_rpms([Rpm("xorriso", "1", "1.el8")], rpms, key=None)
    subprocess.run(["createrepo_c", "--quiet", rpms], check=True)
    said = root.run(f"dnf clean all; {set_up}")
    assert said.returncode == 4
    assert "dnf could not install: " in said.stdout
    assert root.run("rpm -q xorriso").returncode != 0

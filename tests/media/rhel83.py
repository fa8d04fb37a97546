"""The kit: a DVD like RHEL 8.3's with the real names and versions, and the updates that come after it.

Names, epochs, versions and releases are those of the real 8.3.0 (osbuild-composer's test manifests); the
packages' needs and the group `@core` are written from memory of RHEL 8, as far as the closure of `@core` and
our overlays goes. All else is made up, and what is on purpose otherwise than on the DVD is said beside it.
"""

from __future__ import annotations

import csv
import dataclasses
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .dvd import KEY_FILE, Repository, make_dvd_like
from .keys import Key, make_key, read_key
from .programs import run
from .repositories import (
    Advisory,
    Environment,
    Group,
    Stream,
    comps_xml,
    make_repository,
    modules_yaml,
    updateinfo_xml,
)
from .rpms import Link, Rpm, build_rpms

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
KEPT = 2
DEFAULT_STREAMS = {
    "container-tools:rhel8",
    "perl:5.26",
    "python36:3.6",
    "rsyslog:8.1911",
    "satellite-5-client:1.0",
    "virt:rhel",
}
"""The streams that are on without anybody's asking; perl:5.30 and rsyslog:8.2102, which hold newer packages,
are not. (RHEL has no module rsyslog: a stream that must not be chosen shows only by one that we use.)"""

OS_RELEASE = """\
NAME="Red Hat Enterprise Linux"
VERSION="8.3 (Ootpa)"
ID="rhel"
ID_LIKE="fedora"
VERSION_ID="8.3"
PLATFORM_ID="platform:el8"
PRETTY_NAME="Red Hat Enterprise Linux 8.3 (Ootpa)"
ANSI_COLOR="0;31"
CPE_NAME="cpe:/o:redhat:enterprise_linux:8.3:GA"
"""
RELEASE = "Red Hat Enterprise Linux release 8.3 (Ootpa)\n"
SELINUX_CONFIG = "SELINUX=enforcing\nSELINUXTYPE=targeted\n"
DNF_CONF = """\
[main]
gpgcheck=1
installonly_limit=3
clean_requirements_on_remove=True
best=True
skip_if_unavailable=False
"""
VERSIONLOCK_CONF = "[main]\nenabled = 1\nlocklist = /etc/dnf/plugins/versionlock.list\n"
PASSWD = "root:x:0:0:root:/root:/bin/bash\n"
POSTFIX_FILES: dict[str, str | Link] = {
    "/etc/pam.d/smtp.postfix": "#%PAM-1.0\n",
    "/etc/postfix/main.cf": "compatibility_level = 2\n",
    "/etc/postfix/master.cf": "smtp      inet  n       -       n       -       -       smtpd\n",
    "/etc/sasl2/smtpd.conf": "pwcheck_method: saslauthd\nmech_list: plain login\n",
    "/usr/lib/systemd/system/postfix.service": "[Unit]\nDescription=Postfix Mail Transport Agent\n",
    "/usr/libexec/postfix/smtpd": "",
    "/usr/sbin/postconf": "",
    "/usr/sbin/postfix": "",
    "/usr/sbin/sendmail.postfix": "",
    "/usr/share/postfix/main.cf.default": "",
    "/var/lib/postfix/": "",
    "/var/spool/postfix/": "",
}
FILES: dict[str, dict[str, str | Link]] = {
    "bash": {"/usr/bin/bash": "", "/usr/bin/sh": Link("bash"), "/etc/skel/.bashrc": "# .bashrc\n"},
    "coreutils": {f"/usr/bin/{name}": "" for name in ("cat", "chmod", "cp", "install", "ls", "mkdir", "rm")},
    "cyrus-sasl": {"/usr/sbin/saslauthd": "", "/usr/lib/systemd/system/saslauthd.service": "[Unit]\n"},
    "dnf": {"/usr/bin/dnf": Link("dnf-3")},
    "dnf-data": {"/etc/dnf/dnf.conf": DNF_CONF},
    "filesystem": {
        "/bin": Link("usr/bin"),
        "/lib": Link("usr/lib"),
        "/lib64": Link("usr/lib64"),
        "/sbin": Link("usr/sbin"),
        **{f"{name}/": "" for name in ("/boot", "/etc", "/root", "/run", "/tmp", "/usr/bin", "/var/log")},
    },
    "firewalld": {
        "/etc/firewalld/firewalld.conf": "DefaultZone=public\n",
        "/usr/lib/systemd/system/firewalld.service": "[Unit]\n",
    },
    "glibc": {"/usr/lib64/libc.so.6": "", "/etc/nsswitch.conf": "passwd: sss files systemd\n"},
    "openssh-server": {
        "/etc/ssh/sshd_config": "PermitRootLogin yes\n",
        "/usr/lib/systemd/system/sshd.service": "[Unit]\n",
    },
    "openssl": {"/usr/bin/openssl": ""},
    "postfix": POSTFIX_FILES,
    "python3-dnf-plugin-versionlock": {
        "/etc/dnf/plugins/versionlock.conf": VERSIONLOCK_CONF,
        "/etc/dnf/plugins/versionlock.list": "",
    },
    "redhat-release": {
        "/etc/os-release": Link("../usr/lib/os-release"),
        "/etc/redhat-release": RELEASE,
        "/etc/system-release": Link("redhat-release"),
        "/etc/yum.repos.d/": "",
        "/usr/lib/os-release": OS_RELEASE,
    },
    "rpm": {"/usr/bin/rpm": ""},
    "rsyslog": {"/etc/rsyslog.conf": "", "/usr/sbin/rsyslogd": ""},
    "selinux-policy": {"/etc/selinux/config": SELINUX_CONFIG},
    "selinux-policy-targeted": {"/etc/selinux/targeted/contexts/files/file_contexts": ""},
    "sendmail": {"/usr/sbin/sendmail.sendmail": ""},
    "setup": {"/etc/passwd": PASSWD, "/etc/group": "root:x:0:\n", "/etc/profile": ""},
    "sudo": {"/etc/sudoers": "root ALL=(ALL) ALL\n", "/usr/bin/sudo": ""},
}
MODES = {"sudo": {"/etc/sudoers": "0440"}}
PROVIDES = {
    "bash": ["/bin/bash", "/bin/sh"],
    "filesystem": ["filesystem(unmerged-sbin-symlinks)"],
    "glibc": ["libc.so.6()(64bit)", "libm.so.6()(64bit)", "rtld(GNU_HASH)"],
    "openssl-libs": ["libcrypto.so.1.1()(64bit)", "libssl.so.1.1()(64bit)"],
    "platform-python": ["python(abi) = 3.6"],
    "postfix": ["MTA", "server(smtp)", "smtpd", "smtpdaemon", "/usr/sbin/sendmail"],
    "redhat-release": ["system-release = 8.3-1.0", "system-release(releasever) = 8"],
    "sendmail": ["MTA", "server(smtp)", "smtpdaemon", "/usr/sbin/sendmail"],
}
CONFLICTS = {"sendmail": ["postfix"]}

CORE_MANDATORY = """
    audit basesystem bash coreutils cronie curl dnf e2fsprogs filesystem firewalld glibc hostname
    initscripts iproute iputils irqbalance kbd less man-db ncurses openssh-clients openssh-server parted
    passwd policycoreutils procps-ng rootfiles rpm selinux-policy-targeted setup shadow-utils
    sssd-common sssd-kcm subscription-manager sudo systemd tuned util-linux vim-minimal xfsprogs yum
"""
CORE_DEFAULT = """
    NetworkManager NetworkManager-team NetworkManager-tui authselect biosdevname crypto-policies-scripts
    dnf-plugins-core dracut-config-rescue hwdata iprutils iwl100-firmware iwl1000-firmware
    iwl105-firmware iwl135-firmware iwl2000-firmware iwl2030-firmware iwl3160-firmware iwl5000-firmware
    iwl5150-firmware iwl6000-firmware iwl6000g2a-firmware iwl6050-firmware iwl7260-firmware kernel-tools
    kexec-tools libsysfs linux-firmware lshw lsscsi microcode_ctl plymouth prefixdevname
    python3-libselinux rng-tools rsyslog sg3_utils sg3_utils-libs
"""
CORE = Group(
    "core",
    "Core",
    mandatory=CORE_MANDATORY.split(),
    default=CORE_DEFAULT.split(),
    optional=["dracut-config-generic", "usbguard"],
)
STANDARD = Group(
    "standard", "Standard", mandatory=["attr", "chrony", "sos"], default=["bash-completion", "tar", "tmux"]
)
GUEST_AGENTS = Group("guest-agents", "Guest Agents", default=["hyperv-daemons", "qemu-guest-agent"])
MAIL_SERVER = Group("mail-server", "Mail Server", mandatory=["postfix"], optional=["sendmail"])
MINIMAL = Environment("minimal-environment", "Minimal Install", ["core"], ["guest-agents", "standard"])
SERVER = Environment("server-product-environment", "Server", ["core", "standard"], ["mail-server"])

POSTFIX_REQUIRES = ["libicui18n.so.60()(64bit)", "libicuuc.so.60()(64bit)"]
"""What makes the erratum pull libicu. Very likely the real DVD holds libicu, and its Postfix needs it too;
here it holds none, so that the updates must bring both."""
LIBICU = Rpm("libicu", "60.3", "2.el8_1", provides=POSTFIX_REQUIRES, requires=["glibc"])

EPEL = [
    Rpm(
        "amavis", "2.12.1", "1.el8", arch="noarch", requires=["clamav-filesystem", "file", "perl-interpreter"]
    ),
    Rpm("cabextract", "1.9.1", "2.el8", requires=["glibc"]),
    Rpm("clamav", "0.103.3", "1.el8", requires=["clamav-filesystem", "clamav-lib", "data(clamav)"]),
    Rpm("clamav-data", "0.103.3", "1.el8", arch="noarch", provides=["data(clamav) = full"]),
    Rpm("clamav-filesystem", "0.103.3", "1.el8", arch="noarch"),
    Rpm("clamav-lib", "0.103.3", "1.el8", requires=["glibc", "openssl-libs"]),
    Rpm("clamav-update", "0.103.3", "1.el8", provides=["data(clamav) = empty"], supplements=["clamd"]),
    Rpm("clamd", "0.103.3", "1.el8", requires=["clamav-filesystem", "clamav-lib", "data(clamav)"]),
    Rpm("libopendkim", "2.11.0", "0.17.el8", requires=["openssl-libs"]),
    Rpm("opendkim", "2.11.0", "0.17.el8", requires=["libopendkim", "glibc"]),
    Rpm("p7zip", "16.02", "20.el8", requires=["glibc"]),
    Rpm("pypolicyd-spf", "2.9.2", "7.el8", arch="noarch", requires=["python3-pyspf"]),
    Rpm("python3-pyspf", "2.0.14", "8.el8", arch="noarch", requires=["platform-python"]),
]
"""What the overlays want of EPEL 8, as far as its names and what provides what go; releases are made up."""


def read_packages() -> dict[str, list[Rpm]]:
    """Return repository (BaseOS, AppStream) -> packages of the DVD."""
    repositories: dict[str, list[Rpm]] = {"BaseOS": [], "AppStream": []}
    for row in read_rows():
        name = row["name"]
        whole = row["arch"] != "i686"
        repositories["BaseOS" if row["repo"] == "baseos" else "AppStream"].append(
            Rpm(
                name,
                row["version"],
                row["release"],
                int(row["epoch"]),
                row["arch"],
                requires=row["requires"].split(),
                recommends=row["recommends"].split(),
                provides=PROVIDES.get(name, ()) if whole else (),
                conflicts=CONFLICTS.get(name, ()),
                files=FILES.get(name, {f"/usr/share/doc/{name}/README": f"{name}\n"}) if whole else {},
                modes=MODES.get(name, {}) if whole else {},
            )
        )
    return repositories


def read_rows() -> list[dict[str, str]]:
    """Return the rows of the data file."""
    with (HERE / "rhel83-packages.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def streams() -> list[Stream]:
    """Return the module streams of AppStream."""
    members: dict[str, list[str]] = {}
    for row in read_rows():
        if row["module"]:
            nevra = f"{row['name']}-{row['epoch']}:{row['version']}-{row['release']}.{row['arch']}"
            members.setdefault(row["module"], []).append(nevra)
    return [
        Stream(name.split(":")[0], name.split(":")[1], artifacts, name in DEFAULT_STREAMS)
        for name, artifacts in members.items()
    ]


def comps() -> dict[str, str]:
    """Return repository -> its comps.xml."""
    return {
        "BaseOS": comps_xml([CORE, STANDARD, GUEST_AGENTS], [MINIMAL]),
        "AppStream": comps_xml([MAIL_SERVER], [SERVER]),
    }


def update_of(name: str, version: str, release: str, **changes: object) -> Rpm:
    """Return the DVD's package of a name in another version."""
    every = [rpm for rpms in read_packages().values() for rpm in rpms]
    rpm = next(rpm for rpm in every if rpm.name == name and rpm.arch != "i686")
    return dataclasses.replace(rpm, version=version, release=release, **changes)  # type: ignore[arg-type]


def updates() -> list[Rpm]:
    """Return what comes after the DVD: the erratum with what it needs, a Postfix too new, other updates."""
    postfix = update_of("postfix", "3.3.1", "12.el8_3.1")
    postfix = dataclasses.replace(postfix, requires=[*postfix.requires, *POSTFIX_REQUIRES])
    newer = dataclasses.replace(postfix, version="3.5.8", release="1.el8")
    return [
        postfix,
        LIBICU,
        newer,
        update_of("sudo", "1.8.29", "6.el8_3.1"),
        update_of("openssl", "1.1.1g", "12.el8_3"),
        update_of("openssl-libs", "1.1.1g", "12.el8_3"),
        update_of("tzdata", "2021a", "1.el8"),
        update_of("podman", "2.0.5", "5.1.el8_3"),  # for nothing that the image holds
    ]


def advisories() -> list[Advisory]:
    """Return advisories for the updates; ids and severities are made up, the CVEs are not."""
    postfix, icu, newer, sudo, openssl, openssl_libs, tzdata, podman = updates()
    return [
        Advisory("PRUEBA-2021:0001", "postfix bug fix update", [postfix], "bugfix", "None"),
        Advisory("PRUEBA-2020:0902", "libicu security update", [icu], cves=["CVE-2020-10531"]),
        Advisory("PRUEBA-2021:0218", "sudo security update", [sudo], cves=["CVE-2021-3156"]),
        Advisory("PRUEBA-2020:5476", "openssl update", [openssl, openssl_libs], cves=["CVE-2020-1971"]),
        Advisory("PRUEBA-2021:0003", "tzdata update", [tzdata], "enhancement", "None"),
        Advisory("PRUEBA-2021:9001", "postfix security update", [newer], cves=["CVE-2099-0001"]),
        Advisory("PRUEBA-2021:9002", "podman security update", [podman], cves=["CVE-2099-0002"]),
    ]


@dataclass(frozen=True)
class Kit:
    """What tests share; nothing of it may be changed (make variants in a folder of your own)."""

    folder: Path

    @property
    def key(self) -> Key:
        """Return the key that signs all: on the DVD it stands where Red Hat's release key does."""
        return read_key(self.folder / "key")

    @property
    def dvd(self) -> Path:
        """Return the ISO."""
        return self.folder / "dvd" / "dvd.iso"

    @property
    def tree(self) -> Path:
        """Return the tree that the ISO was made of (`dvd.copy_tree`)."""
        return self.folder / "dvd" / "tree"

    @property
    def rpms(self) -> Path:
        """Return the folder of all of the DVD's RPMs."""
        return self.folder / "rpms"

    @property
    def erratum(self) -> Path:
        """Return the folder of updates: a repository with advisories."""
        return self.folder / "updates"


def make_kit(cache: Path = REPOSITORY / ".cache") -> Kit:
    """Return the kit; it is made when the cache has none of these sources."""
    cache.mkdir(parents=True, exist_ok=True)
    kit = Kit(cache / f"media-{kit_hash()}")
    with (cache / "media.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if kit.folder.is_dir():
            os.utime(kit.folder)
            return kit
        partial = cache / "media.partial"
        shutil.rmtree(partial, ignore_errors=True)
        fill_kit(Kit(partial))
        partial.rename(kit.folder)
        found = sorted(cache.glob("media-*"), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in found[KEPT:]:
            shutil.rmtree(old)
    return kit


def fill_kit(kit: Kit) -> None:
    """Make everything that is in a kit."""
    key = make_key(kit.folder / "key", "Clave de pruebas")
    packages = read_packages()
    public = {f"/etc/pki/rpm-gpg/{KEY_FILE}": key.public.read_text()}
    for number, rpm in enumerate(packages["BaseOS"]):
        if rpm.name == "redhat-release":
            packages["BaseOS"][number] = dataclasses.replace(rpm, files={**rpm.files, **public})
    made = build_rpms([rpm for rpms in packages.values() for rpm in rpms], kit.rpms, key=key)
    make_dvd(kit.folder / "dvd", packages, made, key=key)
    build_rpms([*updates(), *EPEL], kit.erratum, key=key)
    make_repository(kit.erratum, updateinfo=updateinfo_xml(advisories()))


def make_dvd(
    folder: Path,
    packages: dict[str, list[Rpm]],
    made: dict[str, Path],
    *,
    key: Key,
    boot: Path | None = None,
    **release: str,
) -> Path:
    """Return a DVD of packages that were built; `boot` and `release` go to `make_dvd_like`."""
    texts = comps()
    repositories = {
        name: Repository(
            [made[rpm.nevra] for rpm in rpms],
            comps=texts[name],
            modules=modules_yaml(streams()) if name == "AppStream" else None,
        )
        for name, rpms in packages.items()
    }
    return make_dvd_like(folder, repositories, key=key, boot=boot, **release)  # type: ignore[arg-type]


def make_variant(
    kit: Kit, folder: Path, *, without: Iterable[str] = (), boot: Path | None = None, **release: str
) -> Path:
    """Return a DVD like the kit's that lacks packages, is of another release, or boots.

    Args:
        without: names of packages.
        boot: an ISO to take loaders, kernel and installer of.
        release: name, short, version, arch, label.
    """
    gone = set(without)
    packages = {name: [rpm for rpm in rpms if rpm.name not in gone] for name, rpms in read_packages().items()}
    made = {rpm.nevra: kit.rpms / rpm.filename for rpms in packages.values() for rpm in rpms}
    return make_dvd(folder, packages, made, key=kit.key, boot=boot, **release)


def kit_hash() -> str:
    """Return a hash of all that a kit is made by."""
    digest = hashlib.sha256()
    for path in sorted(HERE.glob("*.*")):
        if path.suffix in (".py", ".tsv"):
            digest.update(path.read_bytes())
    digest.update(run("rpmbuild", "--version").encode())
    return digest.hexdigest()[:16]

"""RPM repositories on the medium that stand for its Debian payload, so that one resolver serves RHEL and it.

Each installed Debian package has an RPM without files: its name, version and dependencies. BaseOS holds what
the group `core` comes to, AppStream the rest, and comps the environment that kickstarts name.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

from builder.lab.archive import read_tar
from builder.lab.content import Content
from builder.lab.installer.dpkg import STATUS, parse_status
from builder.lab.installer.packages import close_over, needed_whatever
from builder.lab.rootfs import BASE_PACKAGES, Rootfs
from builder.lab.rpms import build_rpms, defines
from builder.tools.process import require_program, run

ENVIRONMENT = "minimal-environment"
KEY = "RPM-GPG-KEY-laboratorio"
SIGNER = "laboratorio@forja.invalid"
TOOL_SECONDS = 900


def make_repositories(content: Content, rootfs: Rootfs, tree: Path, *, log: Path, epoch: int) -> None:
    """Write BaseOS, AppStream and the key that their packages are signed with into the medium's tree.

    Raises:
        HostUnready: rpm, gpg or createrepo_c is missing.
        StageFailed: one of them failed.
    """
    status = read_tar(rootfs.root, [str(STATUS)])[str(STATUS)].content().decode()
    installed = parse_status(status)
    core = needed_whatever(installed, BASE_PACKAGES) | set(content.packages.get(f"@^{ENVIRONMENT}", ()))
    base = close_over(installed, dict.fromkeys(core, "core"))
    with tempfile.TemporaryDirectory(prefix="forja-") as folder:
        work = Path(folder)
        built = build_rpms(installed, work, log=log, epoch=epoch)
        sign_rpms(built.values(), work, tree / KEY, log=log)
        for repository, names in (("BaseOS", base), ("AppStream", set(installed) - base)):
            packages = tree / repository / "Packages"
            packages.mkdir(parents=True)
            for name in sorted(names):
                shutil.move(built[name], packages)
        comps = work / "comps.xml"
        comps.write_bytes(comps_xml(core))
        for repository, more in (("BaseOS", ("--groupfile", comps)), ("AppStream", ())):
            dated = ("--revision", str(epoch), "--set-timestamp-to-revision")
            run(
                ["createrepo_c", "--quiet", "--no-database", *dated, *more, tree / repository],
                doing=f"make the repository {repository}",
                log=log,
                timeout=TOOL_SECONDS,
            )


def sign_rpms(files: Iterable[Path], work: Path, public: Path, *, log: Path) -> None:
    """Sign RPMs with a key made for it, of which only the public part is left, in the file `public`."""
    home = work / "gnupg"
    home.mkdir(mode=0o700)
    gpg: list[str | Path] = ["gpg", "--homedir", home, "--batch", "--quiet", "--no-tty"]
    # RSA, since RHEL 8's RPM can't read newer kinds.
    make = ["--pinentry-mode", "loopback", "--passphrase", "", "--quick-gen-key"]
    user = f"Forja laboratorio (no es RHEL) <{SIGNER}>"
    macros = {
        "__gpg": require_program("gpg", purpose="signs the laboratory's RPMs", package="gpg"),
        "_gpg_path": str(home),
        "_gpg_name": SIGNER,
        "_gpg_digest_algo": "sha256",
        "_gpg_sign_cmd_extra_args": "--batch --no-tty",
    }
    env = {"HOME": str(work)}
    try:
        run([*gpg, *make, user, "rsa3072", "sign", "never"], doing="make the laboratory's key", log=log)
        run([*gpg, "--armor", "--output", public, "--export"], doing="write the laboratory's key", log=log)
        run(
            ["rpmsign", "--addsign", *defines(macros), *files],
            doing="sign the laboratory's RPMs",
            log=log,
            env=env,
            timeout=TOOL_SECONDS,
        )
    finally:
        end = ["gpgconf", "--homedir", str(home), "--kill", "all"]
        run(end, doing="end gpg's agent", log=log, accept=range(256))


def comps_xml(core: Iterable[str]) -> bytes:
    """Return comps.xml: the group `core`, and the environment of a minimal installation of just that."""
    comps = ElementTree.Element("comps")
    group = ElementTree.SubElement(comps, "group")
    _add_texts(group, id="core", name="Core", description="LABORATORIO: no es RHEL", uservisible="false")
    packages = ElementTree.SubElement(group, "packagelist")
    for name in sorted(core):
        ElementTree.SubElement(packages, "packagereq", type="mandatory").text = name
    environment = ElementTree.SubElement(comps, "environment")
    _add_texts(environment, id=ENVIRONMENT, name="Minimal Install", description="LABORATORIO: no es RHEL")
    groups = ElementTree.SubElement(environment, "grouplist")
    _add_texts(groups, groupid="core")
    ElementTree.indent(comps)
    return bytes(ElementTree.tostring(comps, encoding="UTF-8", xml_declaration=True))


def _add_texts(parent: ElementTree.Element, **texts: str) -> None:
    for tag, text in texts.items():
        ElementTree.SubElement(parent, tag).text = text

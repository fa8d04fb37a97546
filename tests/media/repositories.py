"""Repositories by createrepo_c and modifyrepo_c, with groups, module streams and advisories."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from .programs import EPOCH, run
from .rpms import Rpm

DATE = "2020-10-01 00:00:00"
DOCTYPE = '<!DOCTYPE comps PUBLIC "-//Red Hat, Inc.//DTD Comps info//EN" "comps.dtd">\n'


@dataclass(frozen=True)
class Group:
    """A group of comps.xml."""

    id: str
    name: str
    mandatory: Sequence[str] = ()
    default: Sequence[str] = ()
    optional: Sequence[str] = ()


@dataclass(frozen=True)
class Environment:
    """An environment of comps.xml: groups that are in it, and groups that may be chosen besides."""

    id: str
    name: str
    groups: Sequence[str]
    options: Sequence[str] = ()


@dataclass(frozen=True)
class Stream:
    """A stream of a module."""

    module: str
    stream: str
    artifacts: Sequence[str]
    """`Rpm.nevra` of each package in it."""
    default: bool = False
    context: str = "c0ffee42"
    version: int = 8030020201001000000


@dataclass(frozen=True)
class Advisory:
    """An advisory of updateinfo.xml."""

    id: str
    title: str
    packages: Sequence[Rpm]
    type: str = "security"
    """security, bugfix or enhancement"""
    severity: str = "Important"
    cves: Sequence[str] = ()


def make_repository(
    folder: Path, *, comps: str | None = None, modules: str | None = None, updateinfo: str | None = None
) -> Path:
    """Make (anew) the metadata of the packages below a folder, and return the folder.

    Args:
        comps, modules, updateinfo: texts of the functions below.
    """
    shutil.rmtree(folder / "repodata", ignore_errors=True)
    argv = ["createrepo_c", "--quiet", "--revision", str(EPOCH), "--set-timestamp-to-revision"]
    with tempfile.TemporaryDirectory(prefix="repo-") as name:
        if comps is not None:
            (Path(name) / "comps.xml").write_text(comps, encoding="utf-8")
            argv += ["--groupfile", f"{name}/comps.xml"]
        run(*argv, folder)
        for kind, text in (("modules.yaml", modules), ("updateinfo.xml", updateinfo)):
            if text is not None:
                path = Path(name) / kind
                path.write_text(text, encoding="utf-8")
                run("modifyrepo_c", "--mdtype", path.stem, path, folder / "repodata")
    return folder


def comps_xml(groups: Iterable[Group], environments: Iterable[Environment] = ()) -> str:
    """Return a comps.xml."""
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n{DOCTYPE}<comps>\n'
    for group in groups:
        text += f" <group>\n  <id>{group.id}</id>\n  <name>{escape(group.name)}</name>\n"
        text += "  <description/>\n  <default>false</default>\n  <uservisible>true</uservisible>\n"
        text += "  <packagelist>\n"
        for kind in ("mandatory", "default", "optional"):
            for package in getattr(group, kind):
                text += f'   <packagereq type="{kind}">{package}</packagereq>\n'
        text += "  </packagelist>\n </group>\n"
    for environment in environments:
        text += f" <environment>\n  <id>{environment.id}</id>\n  <name>{escape(environment.name)}</name>\n"
        text += "  <description/>\n  <display_order>1</display_order>\n"
        for tag, ids in (("grouplist", environment.groups), ("optionlist", environment.options)):
            text += f"  <{tag}>\n" + "".join(f"   <groupid>{id}</groupid>\n" for id in ids) + f"  </{tag}>\n"
        text += " </environment>\n"
    return text + "</comps>\n"


def modules_yaml(streams: Iterable[Stream], *, platform: str = "el8") -> str:
    """Return a modules.yaml: one document a stream, and one a module for its default stream."""
    text = ""
    streams = list(streams)
    for stream in streams:
        text += f"""\
---
document: modulemd
version: 2
data:
  name: {stream.module}
  stream: "{stream.stream}"
  version: {stream.version}
  context: {stream.context}
  arch: x86_64
  summary: Module {stream.module} of a test medium
  description: Module {stream.module} of a test medium
  license:
    module: [MIT]
  dependencies:
  - requires:
      platform: [{platform}]
  artifacts:
    rpms:
"""
        text += "".join(f"    - {artifact}\n" for artifact in stream.artifacts) + "...\n"
    for module in dict.fromkeys(stream.module for stream in streams):
        text += f"---\ndocument: modulemd-defaults\nversion: 1\ndata:\n  module: {module}\n"
        defaults = [one.stream for one in streams if one.module == module and one.default]
        text += "".join(f'  stream: "{stream}"\n' for stream in defaults)
        text += "...\n"
    return text


def updateinfo_xml(advisories: Iterable[Advisory]) -> str:
    """Return an updateinfo.xml."""
    text = '<?xml version="1.0" encoding="UTF-8"?>\n<updates>\n'
    for one in advisories:
        text += f' <update from="pruebas@ejemplo.es" status="final" type={quoteattr(one.type)} version="1">\n'
        text += f'  <id>{one.id}</id>\n  <title>{escape(one.title)}</title>\n  <issued date="{DATE}"/>\n'
        text += f'  <updated date="{DATE}"/>\n  <severity>{one.severity}</severity>\n'
        title = escape(one.title)
        text += f"  <summary>{title}</summary>\n  <description>{title}</description>\n"
        text += "  <references>\n"
        for cve in one.cves:
            text += f'   <reference href="https://ejemplo.es/{cve}" id="{cve}" type="cve" title="{cve}"/>\n'
        text += '  </references>\n  <pkglist>\n   <collection short="pruebas">\n    <name>pruebas</name>\n'
        for rpm in one.packages:
            text += f'    <package name="{rpm.name}" version="{rpm.version}" release="{rpm.release}"'
            text += f' epoch="{rpm.epoch}" arch="{rpm.arch}" src="{rpm.name}.src.rpm">\n'
            text += f"     <filename>{rpm.filename}</filename>\n    </package>\n"
        text += "   </collection>\n  </pkglist>\n </update>\n"
    return text + "</updates>\n"

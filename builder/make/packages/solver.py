"""The package selection, solved by dnf (libdnf, libsolv) with the calls that RHEL 8.3's installer makes.

A program of its own: it is run by the system's Python (3.6 or later), where dnf lives, reads a JSON request
and writes a JSON answer: the two files that it is called with. The calls are those of Anaconda 33's payload
(`_apply_selections`, `checkSoftwareSelection`): `install_specs` with @core, the environment and the packages.

Request: repositories {id: folder with repodata}, arch, releasever, platform_id, install, exclude, about
(names whose versions are told), weak, work (a folder).
Answer: packages, problems, missing, versions {name: [[evr, repository]]}, advisories, fault.
"""

import json
import logging
import os
import sys
import time
from urllib.parse import quote

import dnf
import dnf.exceptions
import hawkey


def main():
    """Answer one request."""
    question, target = sys.argv[1:]
    with open(question, encoding="utf-8") as file:
        request = json.load(file)
    logging.disable(logging.CRITICAL)
    answer = {
        "packages": [],
        "problems": [],
        "missing": [],
        "versions": {},
        "advisories": [],
        "fault": "",
    }
    try:
        solve(request, answer)
    except (dnf.exceptions.RepoError, dnf.exceptions.CompsError) as error:
        answer["fault"] = str(error)
    with open(target, "w", encoding="utf-8") as file:
        json.dump(answer, file)


def solve(request, answer):
    """Fill in the answer."""
    clock = Clock()
    base = open_base(request)
    clock.tell("metadata")
    try:
        base.install_specs(request["install"], exclude=request["exclude"])
        base.resolve()
        clock.tell("solution")
    except dnf.exceptions.MarkingErrors as error:
        answer["missing"] = missing_of(error)
    except dnf.exceptions.DepsolveError:
        answer["problems"] = base._goal.problem_rules()
    else:
        chosen = sorted(base.transaction.install_set, key=lambda package: (package.name, package.arch))
        reasons = explain(base, chosen, request["install"])
        answer["packages"] = [describe(package, reasons[package]) for package in chosen]
        answer["advisories"] = list_advisories(base, chosen)
        clock.tell("account")
    for name in request["about"]:
        found = base.sack.query(flags=hawkey.IGNORE_EXCLUDES).filter(name=name).run()
        answer["versions"][name] = [[package.evr, package.reponame] for package in sorted(found)]


class Clock:
    """Tells, on standard error (the log), what the time went into."""

    def __init__(self):
        self.last = time.monotonic()

    def tell(self, what):
        """Print the seconds since the last call."""
        now = time.monotonic()
        print("solver: %s %.2f s" % (what, now - self.last), file=sys.stderr)
        self.last = now


def open_base(request):
    """Return dnf with the repositories of the request, and nothing of this host."""
    work = request["work"]
    conf = dnf.conf.Conf()
    conf.config_file_path = os.devnull
    conf.reposdir, conf.pluginpath, conf.varsdir = [], [], []
    conf.installroot = os.path.join(work, "root")
    for name in ("cachedir", "persistdir", "logdir", "system_cachedir"):
        setattr(conf, name, os.path.join(work, name))
        os.makedirs(getattr(conf, name), exist_ok=True)
    # What a host of another kind would set by itself.
    conf.substitutions.update(
        releasever=request["releasever"], arch=request["arch"], basearch=request["arch"]
    )
    conf.module_platform_id = request["platform_id"]
    conf.install_weak_deps = request["weak"]
    conf.best = False
    base = dnf.Base(conf)
    for name, folder in request["repositories"].items():
        # A medium does not change under its own name: the fingerprint of its metadata is the cache's.
        base.repos.add_new_repo(name, conf, baseurl=["file://" + quote(folder)], metadata_expire=-1)
    base.fill_sack(load_system_repo=False)
    base.read_comps(arch_filter=True)
    return base


def missing_of(error):
    """Return what was asked for and is nowhere, as it was asked for."""
    groups = [*error.no_match_group_specs, *error.error_group_specs]
    return (
        ["@" + name.lstrip("@") for name in groups]
        + list(error.no_match_pkg_specs)
        + list(error.error_pkg_specs)
    )


def describe(package, reason):
    """Return what the answer says of one package; the digest is the metadata's."""
    kind, digest = package.chksum
    return {
        "name": package.name,
        "epoch": package.epoch,
        "version": package.version,
        "release": package.release,
        "arch": package.arch,
        "repository": package.reponame,
        "location": package.location,
        "size": package.downloadsize,
        "checksum": [hawkey.chksum_name(kind), digest.hex()],
        "reason": reason,
    }


def explain(base, chosen, specs):
    """Return why each package is there: [kind, what], nearest cause first.

    Kinds: "asked" (a name of the request), "group" (its id), "needed" (NEVRA of a package that requires it).
    """
    reasons = {}
    names = {package.name: package for package in chosen}
    for spec in specs:
        if not spec.startswith("@"):
            for package in dnf.subject.Subject(spec).get_best_query(base.sack):
                if names.get(package.name) == package:
                    reasons.setdefault(package, ["asked", spec])
    for group in base.comps.groups_iter():
        for member in (*group.mandatory_packages, *group.default_packages, *group.conditional_packages):
            if member.name in names and group_is_asked(base, group, specs):
                reasons.setdefault(names[member.name], ["group", group.id])
    todo = list(reasons)
    while todo:
        package = todo.pop(0)
        for needed in providers(base, package, chosen):
            if needed not in reasons:
                reasons[needed] = ["needed", "%s" % package]
                todo.append(needed)
    for package in chosen:
        reasons.setdefault(package, ["needed", ""])
    return reasons


def group_is_asked(base, group, specs):
    """Say whether a group is asked for, by itself or by an environment."""
    asked = [spec[1:] for spec in specs if spec.startswith("@")]
    if group.id in asked:
        return True
    environments = [env for env in base.comps.environments if env.id in asked]
    return any(group.id == member.name for env in environments for member in env.group_ids)


def providers(base, package, chosen):
    """Return the chosen packages that meet what a package requires."""
    query = base.sack.query().filter(pkg=chosen)
    return query.filter(provides=package.requires).run() + query.filter(file=file_names(package)).run()


def file_names(package):
    """Return the required files of a package: they are provided by a file, not by a word."""
    return [str(word) for word in package.requires if str(word).startswith("/")]


def list_advisories(base, chosen):
    """Return the advisories of all repositories, each with its packages and what the set holds of them."""
    held = {package.name: package for package in chosen}
    found = {}
    # One pass over the advisories: asking each package for its own makes one pass over all of them each.
    for item in base.sack.query(flags=hawkey.IGNORE_EXCLUDES).get_advisory_pkgs(hawkey.EQ):
        advisory = item.get_advisory(base.sack)
        found.setdefault(advisory.id, advisory)
    return [
        {
            "id": advisory.id,
            "kind": KINDS.get(advisory.type, "bugfix"),
            "severity": advisory.severity or "",
            "title": advisory.title or "",
            "issued": advisory.updated.strftime("%Y-%m-%d"),
            "cves": [ref.id for ref in advisory.references if ref.type == hawkey.REFERENCE_CVE],
            "packages": [compare(base, item, held.get(item.name)) for item in advisory.packages],
        }
        for _, advisory in sorted(found.items())
    ]


KINDS = {
    hawkey.ADVISORY_SECURITY: "security",
    hawkey.ADVISORY_ENHANCEMENT: "enhancement",
    hawkey.ADVISORY_NEWPACKAGE: "newpackage",
}


def compare(base, item, held):
    """Return an advisory's package as [name, evr, arch, state] against the one in the set."""
    if held is None or held.arch not in (item.arch, "noarch"):
        state = "absent"
    else:
        state = "older" if base.sack.evr_cmp(held.evr, item.evr) < 0 else "held"
    return [item.name, item.evr, item.arch, state]


if __name__ == "__main__":
    main()

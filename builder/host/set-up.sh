#!/bin/sh
# Set up what Forja needs on this host: system packages, then a virtual environment from the lock.
#
#   builder/host/set-up.sh image|lab|test ...    what these need
#   builder/host/set-up.sh --python              print the Python that it would use, and do nothing
#
# Says what it installs and why. When nothing is missing it says so in one line, and asks for neither network nor
# privilege. In a folder that abrir.sh has unpacked, or with FORJA_BUNDLE naming its .bundle, it takes everything from
# there and asks for no network. Ends with 4 (host not ready) when it can't go on, as forja itself would.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH='' cd -- "$here/../.." && pwd)
list=$here/system-packages.tsv
log=$root/.cache/set-up.log
venv=$root/.venv
stamp=$venv/.forja-complete
bundle=${FORJA_BUNDLE:-$root/.bundle}
tab=$(printf '\t')
PATH=$PATH:/usr/sbin:/sbin
export PATH

say() { printf 'set-up: %s\n' "$*" >&2; }
stop() { say "$1"; [ -z "${2-}" ] || say "  $2"; exit 4; }

find_family() {
    if command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; then
        echo debian
    elif command -v dnf >/dev/null && command -v rpm >/dev/null; then
        echo rhel
    else
        echo other
    fi
}

# Print "package<tab>purpose" for every row of the list that is asked for and not on this host.
list_missing() {
    while IFS=$tab read -r need program debian rhel purpose; do
        case " $needs " in *" $need "*) ;; *) continue ;; esac
        case $family in debian) package=$debian ;; *) package=$rhel ;; esac
        [ "$package" != - ] || continue
        if [ "$program" != - ]; then
            is_there "$program" || printf '%s\t%s\n' "$package" "$purpose"
        else
            is_installed "$package" || printf '%s\t%s\n' "$package" "$purpose"
        fi
    done <"$list"
}

# `packer` in an sbin folder is cracklib's on RHEL: not the program that is meant.
is_there() {
    found=$(command -v "$1") || return 1
    case $(readlink -f "$found") in *cracklib*) return 1 ;; esac
}

is_installed() {
    case $family in
        debian) [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ] ;;
        *) rpm -q --quiet "$1" ;;
    esac
}

# Run a program with its output in the log, and show the end of it when it fails.
logged() {
    echo "+ $*" >>"$log"
    "$@" >>"$log" 2>&1 && return
    say "the last lines of $log:"
    tail -n 12 "$log" | sed 's/^/    /' >&2
    return 1
}

# Say how a command gets root's rights here: as it is, by sudo (which may ask on a terminal), or not at all.
find_privilege() {
    if [ "$(id -u)" -eq 0 ]; then
        as_root=
    elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
        as_root=sudo
        sudo true || return 1
    else
        return 1
    fi
}

install_packages() {
    missing=$(list_missing)
    if [ "$family" = other ]; then
        say "neither apt nor dnf is here: the packages in $list are yours to install"
        return
    fi
    [ -n "$missing" ] || return 0
    changed=yes
    say "installing the system packages that are missing${bundle:+, from $bundle}:"
    printf '%s\n' "$missing" | while IFS=$tab read -r package purpose; do
        printf '    %-20s %s\n' "$package" "$purpose" >&2
    done
    packages=$(printf '%s\n' "$missing" | cut -f 1 | sort -u | tr '\n' ' ')
    # $packages and the commands are lists of words: no package's name and no option here holds a blank.
    # shellcheck disable=SC2086
    case $family in
        debian)
            set -- env DEBIAN_FRONTEND=noninteractive
            if [ -n "$bundle" ]; then
                write_apt_settings
                set -- "$@" "APT_CONFIG=$root/.cache/bundle-apt/apt.conf"
            fi
            set -- "$@" apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3
            find_privilege || stop 'that takes root, or sudo without a password' \
                "as root: apt-get install --no-install-recommends $packages"
            logged $as_root "$@" update || stop 'apt-get update failed' 'is a mirror in reach?'
            logged $as_root "$@" install -y --no-install-recommends $packages ||
                stop "apt-get could not install: $packages" 'install them by hand, and run this again'
            ;;
        *)
            set -- dnf -y --setopt=install_weak_deps=False
            if [ -n "$bundle" ]; then
                [ -d "$bundle/rhel/repodata" ] || stop "a bundle holds no RPMs of RHEL: $packages" \
                    "install them from a mirror of yours, or bring $bundle/rhel: docs/how-to/air-gap.md"
                set -- "$@" --disablerepo='*' --repofrompath="forja-bundle,file://$(as_url "$bundle/rhel")" \
                    --setopt=forja-bundle.module_hotfixes=1 --setopt=forja-bundle.gpgcheck=1 \
                    --setopt=forja-bundle.gpgkey="$(printf 'file://%s ' /etc/pki/rpm-gpg/RPM-GPG-KEY-*)"
            fi
            find_privilege || stop 'that takes root, or sudo without a password' "as root: dnf install $packages"
            logged $as_root "$@" install $packages ||
                stop "dnf could not install: $packages" 'install them by hand, and run this again'
            ;;
    esac
}

# What apt needs to see the bundle's packages and nothing else: no mirror is asked, and the host's own lists stay.
write_apt_settings() {
    own=$root/.cache/bundle-apt
    mkdir -p "$own/lists/partial"
    # abrir.sh has held the signature of all this against a key: there is no other one to check.
    printf 'deb [trusted=yes] file:%s ./\n' "$(as_url "$bundle/debian")" >"$own/sources.list"
    {
        printf 'Dir::Etc::SourceList "%s";\n' "$own/sources.list"
        printf 'Dir::Etc::SourceParts "/dev/null";\nAPT::Sandbox::User "root";\n'
        printf 'Dir::State::Lists "%s";\n' "$own/lists"
        printf 'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n'
    } >"$own/apt.conf"
}

as_url() { printf %s "$1" | sed 's/%/%25/g; s/ /%20/g'; }

# The laboratory's DVD lies where forja looks for it.
place_dvd() {
    for iso in "$bundle"/lab/*.iso; do
        to=$root/.cache/${iso##*/}
        [ ! -e "$iso" ] || [ -e "$to" ] || ln "$iso" "$to" 2>/dev/null || { cp "$iso" "$to.part" && mv "$to.part" "$to"; }
    done
}

# The first Python from 3.11 to 3.13 that can make virtual environments, the system's own before others on PATH.
find_python() {
    for folder in /usr/bin ''; do
        for name in python3.13 python3.12 python3.11 python3; do
            python=${folder:+$folder/}$name
            "$python" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
                2>/dev/null && command -v "$python" && return
        done
    done
    return 1
}

require_python() {
    find_python || stop 'no Python from 3.11 to 3.13 with the modules venv and ensurepip is here' \
        'install python3 and python3-venv (Debian 12 and later) or python3.11 (RHEL 8.8+, 9.2+)'
}

make_environment() {
    mark=$(cat "$root/requirements.lock" "$here/build-tools.lock" "$here/set-up.sh" | sha256sum)
    if [ "$(cat "$stamp" 2>/dev/null)" = "$mark$root" ] && "$venv/bin/python" -c 'import builder, jinja2' 2>/dev/null; then
        return
    fi
    changed=yes
    python=$(require_python)
    say "making the virtual environment .venv with $("$python" -V) from requirements.lock"
    rm -rf "$venv"
    "$python" -m venv "$venv" || stop "$python could not make a virtual environment"
    set -- --no-deps --require-hashes --use-pep517 --no-build-isolation
    from='it needs PyPI, or a mirror of it (PIP_INDEX_URL, PIP_FIND_LINKS)'
    if [ -n "$bundle" ]; then
        set -- "$@" --no-index --find-links "$bundle/wheels"
        from="it takes them from $bundle/wheels"
    fi
    # pykickstart is published as source only: what builds it is pinned too, and nothing else is fetched for it.
    for lock in "$here/build-tools.lock" "$root/requirements.lock"; do
        logged "$venv/bin/python" -m pip --disable-pip-version-check --no-input install "$@" -r "$lock" ||
            stop "pip could not install $lock" "$from"
    done
    add_command
    printf '%s' "$mark$root" >"$stamp"
}

# The command runs this clone's code as it stands: a path entry, and a script that also starts from a folder whose
# name holds blanks (a #! line would not).
add_command() {
    packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    printf '%s\n' "$root" >"$packages/forja.pth"
    cat >"$venv/bin/forja" <<'END'
#!/bin/sh
'''exec' "$(dirname -- "$(readlink -f -- "$0")")/python" "$0" "$@"
' '''
import sys

from builder.cli import main

sys.exit(main())
END
    chmod 755 "$venv/bin/forja"
}

[ $# -gt 0 ] || { echo "usage: $0 --python | image|lab|test ..." >&2; exit 2; }
if [ "$*" = --python ]; then
    require_python
    exit
fi
for need in "$@"; do
    case $need in image | lab | test) ;; *) echo "$0: unknown need '$need'" >&2; exit 2 ;; esac
done
needs=$*
family=$(find_family)
case "$family $needs " in
    "rhel "*" lab "*) stop 'the laboratory DVD is made of Debian packages, by Debian only' 'give a RHEL DVD: ISO=/path/to.iso' ;;
esac
changed=no
if [ -n "${FORJA_BUNDLE-}" ] && [ ! -d "$bundle/wheels" ]; then
    stop "FORJA_BUNDLE=$bundle holds no bundle" 'give the folder .bundle of what abrir.sh has unpacked'
fi
if [ -d "$bundle/wheels" ]; then bundle=$(CDPATH='' cd -- "$bundle" && pwd); else bundle=; fi

# One set-up at a time: a second one waits, and then finds nothing to do.
mkdir -p "$root/.cache"
exec 9>"$root/.cache/set-up.lock"
flock 9
: >"$log"
install_packages
make_environment
case " $needs " in *' lab '*) [ -z "$bundle" ] || place_dvd ;; esac
[ "$changed" = yes ] || say "nothing to do: packages ($needs) and .venv are in place"

"""The server, or a folder that holds one: what lies at a path, and how it is put there, whole or not."""

import base64
import errno
import glob
import hashlib
import os
import shlex
import stat
import subprocess
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

SELINUX = "security.selinux"
POLICY = "/etc/selinux/targeted/contexts/files/file_contexts"


class State(NamedTuple):
    """What lies at a path: all of it that has to come back."""

    kind: str
    """file, dir, link, other, or absent"""
    mode: int
    uid: int
    gid: int
    mtime: int
    """nanoseconds"""
    xattrs: Dict[str, str]
    """name -> value in base64: SELinux's context, access control lists, capabilities"""
    content: str
    """SHA-256 of a file; target of a link"""

    def same(self, other: "State") -> bool:
        """Say whether nothing but the time differs."""
        return self._replace(mtime=0) == other._replace(mtime=0)


ABSENT = State("absent", 0, 0, 0, 0, {}, "")


class System:
    """A server's file system under `root` ("/" for the server itself)."""

    def __init__(self, root: str) -> None:
        self.root = os.path.realpath(root)
        self.running = self.root == "/" and os.path.isdir("/run/systemd/system")
        self.selinux = os.path.exists(self.locate(POLICY))

    def locate(self, path: str) -> str:
        """Return where a path lies, its folders' links followed inside the root, its own not."""
        done: List[str] = []
        todo = [part for part in path.split("/") if part][::-1]
        links = 0
        while todo:
            part = todo.pop()
            if part == "..":
                done[-1:] = []
                continue
            here = os.path.join(self.root, *(done + [part]))
            if todo and os.path.islink(here):
                links += 1
                if links > 40:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                target = os.readlink(here)
                if target.startswith("/"):
                    done = []
                todo += [piece for piece in target.split("/") if piece not in ("", ".")][::-1]
                continue
            done.append(part)
        return os.path.join(self.root, *done)

    def state(self, path: str) -> State:
        """Return what lies at a path."""
        place = self.locate(path)
        try:
            found = os.lstat(place)
        except (FileNotFoundError, NotADirectoryError):
            return ABSENT
        content = ""
        if stat.S_ISREG(found.st_mode):
            kind, content = "file", digest_of(place)
        elif stat.S_ISLNK(found.st_mode):
            kind, content = "link", os.readlink(place)
        else:
            kind = "dir" if stat.S_ISDIR(found.st_mode) else "other"
        return State(
            kind,
            stat.S_IMODE(found.st_mode),
            found.st_uid,
            found.st_gid,
            found.st_mtime_ns,
            read_xattrs(place),
            content,
        )

    def read(self, path: str) -> bytes:
        """Return the content of a file."""
        with open(self.locate(path), "rb") as file:
            return file.read()

    def put(self, path: str, state: State, content: Optional[bytes]) -> None:
        """Make what lies at a path be `state`: at one stroke, and on the disk when this returns."""
        place = self.locate(path)
        folder = os.path.dirname(place)
        now = self.state(path)
        if state.kind == "absent":
            if now.kind == "dir":
                os.rmdir(place)
            elif now.kind != "absent":
                os.unlink(place)
        elif state.kind == "dir":
            if now.kind not in ("dir", "absent"):
                os.unlink(place)
            if now.kind != "dir":
                os.mkdir(place, 0o700)
            dress(place, state)
        elif state.kind == now.kind and state.content == now.content and state.kind != "link":
            dress(place, state)
        else:
            if now.kind == "dir":
                os.rmdir(place)
            partial = os.path.join(folder, ".forja-{}".format(os.getpid()))
            if os.path.lexists(partial):
                os.unlink(partial)
            if state.kind == "link":
                os.symlink(state.content, partial)
            else:
                with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(content or b"")
            dress(partial, state)
            os.rename(partial, place)
        flush(folder)

    def walk(self, path: str) -> Iterator[str]:
        """Give a path and all below it: of /etc on other file systems too (/etc/postfix), else on its own."""
        yield path
        place = self.locate(path)
        if os.path.islink(place) or not os.path.isdir(place):
            return
        device = os.lstat(place).st_dev
        for name in sorted(os.listdir(place)):
            below = os.path.join(place, name)
            folder = os.path.isdir(below) and not os.path.islink(below)
            if folder and path.split("/")[1] != "etc" and os.lstat(below).st_dev != device:
                yield os.path.join(path, name)  # a mount point
            else:
                yield from self.walk(os.path.join(path, name))

    def expand(self, pattern: str) -> List[str]:
        """Return the paths that a pattern means; one without `*` whether it is there or not."""
        if "*" not in pattern:
            return [pattern]
        found = glob.glob(os.path.join(self.root, pattern.lstrip("/")))
        return sorted("/" + os.path.relpath(place, self.root) for place in found)

    def run(self, argv: List[str], **variables: str) -> Tuple[int, str]:
        """Run a program of the server's; return its exit code and what it said."""
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/root"}
        environment.update(variables)
        try:
            done = subprocess.run(
                argv,
                env=environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                preexec_fn=None if self.root == "/" else self._enter,
                check=False,
            )
        except OSError as error:
            return 127, "{}: {}".format(argv[0], error.strerror)
        return done.returncode, done.stdout.decode("utf-8", "replace").strip()

    def _enter(self) -> None:
        os.chroot(self.root)
        os.chdir("/")

    def has(self, program: str) -> bool:
        """Say whether a program is installed."""
        return any(
            os.access(self.locate("{}/{}".format(folder, program)), os.X_OK)
            for folder in ("/usr/sbin", "/usr/bin", "/sbin", "/bin")
        )

    def words(self, path: str) -> Dict[str, str]:
        """Return the variables of a file like os-release(5); empty when it is not there."""
        found = {}
        try:
            target = self.locate(path)
            if os.path.islink(target):
                target = self.locate(os.path.join(os.path.dirname(path), os.readlink(target)))
            with open(target, encoding="utf-8") as file:
                for line in file:
                    for word in shlex.split(line, comments=True):
                        name, _, value = word.partition("=")
                        found[name] = value
        except (OSError, ValueError):
            pass
        return found

    def ids(self, owner: str) -> Optional[Tuple[int, int]]:
        """Return the numbers of `user:group`, or None when one of them does not exist here."""
        user, _, group = owner.partition(":")
        uid, gid = self._number("/etc/passwd", user), self._number("/etc/group", group)
        return None if uid is None or gid is None else (uid, gid)

    def groups(self, user: str) -> Optional[List[str]]:
        """Return the groups that an account is listed in, or None when there is no such account."""
        if self._number("/etc/passwd", user) is None:
            return None
        lines = [line.split(":") for line in self.read("/etc/group").decode("utf-8").splitlines()]
        return [line[0] for line in lines if len(line) > 3 and user in line[3].split(",")]

    def _number(self, path: str, name: str) -> Optional[int]:
        for line in self.read(path).decode("utf-8", "replace").splitlines():
            fields = line.split(":")
            if fields[0] == name:
                return int(fields[2])
        return None


def digest_of(place: str) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(place, "rb") as file:
        for chunk in iter(lambda: file.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


def read_xattrs(place: str) -> Dict[str, str]:
    """Return the extended attributes of what lies at a place, not of what a link means."""
    try:
        names = os.listxattr(place, follow_symlinks=False)
    except OSError:
        return {}
    found = {}
    for name in names:
        value = os.getxattr(place, name, follow_symlinks=False)
        found[name] = base64.b64encode(value).decode("ascii")
    return found


def dress(place: str, state: State) -> None:
    """Give a file, folder or link its owner, mode, attributes and time, and see it on the disk."""
    os.chown(place, state.uid, state.gid, follow_symlinks=False)
    if state.kind != "link":
        os.chmod(place, state.mode)
    now = read_xattrs(place)
    for name in sorted(set(now) - set(state.xattrs) - {SELINUX}):  # the kernel lets nobody remove a context
        os.removexattr(place, name, follow_symlinks=False)
    for name, value in state.xattrs.items():
        if now.get(name) != value:
            os.setxattr(place, name, base64.b64decode(value), follow_symlinks=False)
    if state.mtime:
        os.utime(place, ns=(state.mtime, state.mtime), follow_symlinks=False)
    if state.kind != "link":
        flush(place)


def flush(place: str) -> None:
    """See a file or a folder on the disk."""
    number = os.open(place, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def type_of(state: State) -> str:
    """Return the SELinux type of a state; empty when it has none."""
    context = base64.b64decode(state.xattrs.get(SELINUX, "")).rstrip(b"\0").decode("ascii")
    return (context.split(":") + ["", "", ""])[2]


def with_type(state: State, selinux_type: str) -> State:
    """Return a state with another SELinux type; a context that has this type stays as it is."""
    if type_of(state) == selinux_type:
        return state
    context = "system_u:object_r:{}:s0".format(selinux_type).encode("ascii") + b"\0"
    xattrs = dict(state.xattrs)
    xattrs[SELINUX] = base64.b64encode(context).decode("ascii")
    return state._replace(xattrs=xattrs)

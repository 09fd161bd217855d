"""Where state lives: `$DEVRUN_STATE_DIR`, else `$XDG_STATE_HOME/devrun`, else `~/.local/state/devrun`.

Also the folder of control sockets, which is another place: a socket's path holds 104 bytes at most.
Folders are made 0700.  A network file system is refused, because locks are not sound there.
"""

from __future__ import annotations

import os
import stat
import sys

from devrun.errors import DevrunError, StateError, UsageError, reason_of

NETWORK_FILE_SYSTEMS = frozenset(
    {"9p", "afpfs", "afs", "ceph", "cifs", "drvfs", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"}
    | {"glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "orangefs", "smb2", "smb3", "smbfs", "webdav"}
)
LONGEST_SOCKET_PATH = 104
"""Bytes of `sun_path` on macOS and the BSDs, the final NUL included (unix(4)); Linux has 108."""

_VARIABLE = "DEVRUN_STATE_DIR"
_OTHER_FOLDER = f"`{_VARIABLE}=/path/on/a/local/disk devrun …`"


def state_folder() -> str:
    """Return the real path of the state folder, which need not exist."""
    chosen = os.environ.get(_VARIABLE)
    if chosen:
        if not os.path.isabs(chosen):
            raise UsageError(
                f"`{_VARIABLE}={chosen}` is not an absolute path", hint=f'`export {_VARIABLE}="$HOME/…"` or unset it'
            )
        path = os.path.realpath(chosen)
        _refuse_inside_worktree(path)
        return path
    base = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(base):  # the XDG base directory specification: relative values are ignored
        base = os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.realpath(os.path.join(base, "devrun"))


def prepare_folder(path: str) -> None:
    """Make the state folder when it is missing, and refuse one that cannot hold locks."""
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        found = os.stat(path)
    except OSError as error:
        raise unusable(path, reason_of(error)) from error
    if found.st_uid != os.geteuid():
        raise unusable(path, "it belongs to another user")
    kind = network_file_system(path)
    if kind is not None:
        raise StateError(
            f"state folder `{path}` is on a network file system ({kind}), locks are not sound there", hint=_OTHER_FOLDER
        )


def unusable(path: str, reason: str) -> StateError:
    """Return the error for a state folder or file that cannot be used."""
    return StateError(f"state `{path}` cannot be used: {reason.lower()}", hint=_OTHER_FOLDER)


def read_only(path: str) -> StateError:
    """Return the error for a database in a state folder that cannot be written."""
    import shlex

    folder = os.path.dirname(path)
    try:
        may_help = not os.statvfs(folder).f_flag & os.ST_RDONLY
    except OSError:
        may_help = False
    hint = f"`chmod -R u+rwX {shlex.quote(folder)}`" if may_help else _OTHER_FOLDER
    return StateError(f"state `{path}` is read-only", hint=hint)


def is_read_only(path: str) -> bool:
    """Tell whether the state at `path`, which may have to be made, cannot be written."""
    folder = path
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    places = [folder, *(os.path.join(path, name) for name in ("state.db", "runs", "locks"))]
    return not all(os.access(place, os.W_OK) for place in places if os.path.lexists(place))


def network_file_system(path: str) -> str | None:
    """Return the kind of the network file system that `path` is on, or None when it is a local one."""
    try:
        kind = _file_system(os.stat(path).st_dev, path)
    except OSError:
        return None
    return kind if kind in NETWORK_FILE_SYSTEMS else None


def _file_system(device: int, path: str) -> str | None:
    if sys.platform != "linux":
        return _file_system_by_statfs(path)
    if os.major(device) != 0:
        return None  # a block device: local without asking (network and virtual mounts have major 0)
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
        for line in mounts:  # proc(5): id, parent, major:minor, root, mount point, options…, "-", type
            left, _, right = line.partition(" - ")
            if left.split(" ", 3)[2] == wanted:
                return right.split(" ", 1)[0]
    return None


def _file_system_by_statfs(path: str) -> str | None:
    """Ask statfs(2) of macOS: `f_fstypename` is 72 bytes into the 64-bit-inode structure."""
    import ctypes

    buffer = ctypes.create_string_buffer(4096)
    libc = ctypes.CDLL(None, use_errno=True)
    # On Intel the plain name is the old structure; on ARM there is only the new one.
    ask = getattr(libc, "statfs$INODE64", None) or libc.statfs
    if ask(os.fsencode(path), buffer) != 0:
        return None
    return buffer.raw[72:88].split(b"\0", 1)[0].decode(errors="replace")


def _refuse_inside_worktree(path: str) -> None:
    """Refuse a folder that goes when a worktree is removed.  A home folder under git is no such place."""
    home = os.path.realpath(os.path.expanduser("~"))
    folder = path
    while (parent := os.path.dirname(folder)) != folder:
        if folder != home and os.path.lexists(os.path.join(folder, ".git")):
            raise StateError(
                f"`{_VARIABLE}={path}` lies inside the worktree `{folder}`, and would be removed with it",
                hint=f"`unset {_VARIABLE}` or point it outside of every worktree",
            )
        folder = parent


def socket_folder() -> str:
    """Return the 0700 folder for control sockets, making it when it is missing.

    `$XDG_RUNTIME_DIR/devrun`, else `devrun-UID` in the temp folder; a folder of that name which is
    not ours alone is left to whoever made it.
    """
    candidates = [os.path.join(f"/tmp/devrun-{os.geteuid()}")]  # noqa: S108 - checked to be ours, and 0700
    temporary = os.environ.get("TMPDIR", "")
    if os.path.isabs(temporary):
        candidates.insert(0, os.path.join(temporary, f"devrun-{os.geteuid()}"))
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime):
        candidates.insert(0, os.path.join(runtime, "devrun"))
    for path in candidates:
        if len(os.fsencode(path)) + 32 < LONGEST_SOCKET_PATH and _make_private(path):
            return path
    import tempfile

    try:
        return tempfile.mkdtemp(prefix="devrun-", dir="/tmp")
    except OSError as error:
        raise DevrunError(
            f"no folder for control sockets: {error}", hint="`export XDG_RUNTIME_DIR=/run/user/$(id -u)`"
        ) from error


def _make_private(path: str) -> bool:
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    except OSError:
        return False
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        return False
    if stat.S_IMODE(found.st_mode) != 0o700:  # noqa: PLR2004 - open to others, or closed to ourselves
        try:
            os.chmod(path, 0o700)
        except OSError:
            return False
    return os.access(path, os.W_OK | os.X_OK)  # a read-only file system takes no socket

"""What macOS tells through its C library and psutil does not pass on.

Each fact checks itself: a call that is missing, fails, or answers in another shape gives None.
"""

from __future__ import annotations

import ctypes
import functools
import os
import struct

from devrun.model import Cwd, FileId

_VNODE_PATHS = 9  # PROC_PIDVNODEPATHINFO, <sys/proc_info.h>
_INFO_SIZE = 152  # struct vnode_info: vinfo_stat (136), vi_type, vi_pad, vi_fsid
_PATH_SIZE = 1024  # MAXPATHLEN
_BOTH_SIZE = 2 * (_INFO_SIZE + _PATH_SIZE)  # current directory, then root directory
_HEAD = struct.Struct("=IHHQ")  # vinfo_stat: vst_dev, vst_mode, vst_nlink, vst_ino


def boot_session() -> str | None:
    """Return `kern.bootsessionuuid`, which is new at every boot (sysctl(3))."""
    try:
        size = ctypes.c_size_t(128)
        buffer = ctypes.create_string_buffer(size.value)
        if _library().sysctlbyname(b"kern.bootsessionuuid", buffer, ctypes.byref(size), None, ctypes.c_size_t(0)) != 0:
            return None
    except (OSError, AttributeError):
        return None
    return buffer.value.decode("ascii", "replace") or None


def working_directory(pid: int) -> Cwd | None:
    """Return the folder `pid` really stands in: path, device, inode, and whether its last link is gone.

    A path alone would name whoever took its place since.
    """
    return _working_directory(pid) if _agrees_with_stat() else None


@functools.cache
def _agrees_with_stat() -> bool:
    """Whether the answer for this very process is what stat(2) says: the struct is laid out as expected."""
    own = _working_directory(os.getpid())
    try:
        here = os.stat(".")
    except OSError:
        return own is not None and own.deleted  # our own folder is gone, and the answer says so
    return own is not None and own.file_id == FileId(here.st_dev, here.st_ino)


def _working_directory(pid: int) -> Cwd | None:
    buffer = ctypes.create_string_buffer(_BOTH_SIZE)
    try:
        size = _library().proc_pidinfo(pid, _VNODE_PATHS, ctypes.c_uint64(0), buffer, _BOTH_SIZE)
    except (OSError, AttributeError):
        return None
    if size != _BOTH_SIZE:
        return None
    device, _, links, inode = _HEAD.unpack_from(buffer.raw)
    path = os.fsdecode(buffer.raw[_INFO_SIZE : _INFO_SIZE + _PATH_SIZE].split(b"\0", 1)[0])
    if not path.startswith("/"):
        return None
    return Cwd(path=path, deleted=links == 0, file_id=FileId(device, inode))


@functools.cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)

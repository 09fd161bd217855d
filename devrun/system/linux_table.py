"""The process table from /proc, read as cheaply as the kernel gives it (proc(5)).

One `open`, `read`, `fstat` a process for the cheap columns, with bytes paths and no parsing beyond
`split`.  The dear columns go through a descriptor of the folder /proc/PID: it stays with the
process it was opened for and never shows a successor with the same pid, so the start token is
compared once, right after opening, and holds for everything read through it.

What cannot be read is `None`.  A process that ended meanwhile has no row.  Any other failure
(descriptors exhausted) is raised: a table with holes would look like processes that are gone.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Collection, Iterable, Iterator

import msgspec

from devrun.model import ProcessIdentity, ProcessRecord
from devrun.system.columns import NOTHING, Column
from devrun.system.commandlines import interpreter_of, split_command_line
from devrun.system.environments import parse_environment
from devrun.system.linux_process import (
    DELETED,
    DENIED,
    GONE,
    cwd_of,
    open_folder,
    read,
    script_of,
    try_link,
    try_read,
)

_CLOCK_BOOTTIME = 7  # clock_gettime(2): what start times count from, suspension included
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_KERNEL_THREAD = 0x00200000  # PF_KTHREAD, include/linux/sched.h; field 9 of stat

# As plain integers: `Flag` takes a third of a microsecond a question, and there are four a process.
_CWD, _ARGV, _ENVIRONMENT, _NAMESPACES = (
    Column.CWD.value,
    Column.ARGV.value,
    Column.ENVIRONMENT.value,
    Column.NAMESPACES.value,
)

# Positions in stat after the closing parenthesis of the name, which may hold blanks and parentheses itself.
_STATE, _PPID, _PGRP, _SESSION, _TTY, _FLAGS, _UTIME, _STIME, _THREADS, _START, _RSS = (
    0,
    1,
    2,
    3,
    4,
    6,
    11,
    12,
    17,
    19,
    21,
)


def works() -> bool:
    """Whether /proc is there and speaks of the pid namespace this process lives in."""
    try:
        return read(b"/proc/self/stat").split(b" ", 1)[0] == b"%d" % os.getpid()
    except OSError:
        return False


def read_rows(columns: Column = NOTHING, pids: Iterable[int] | None = None) -> Iterator[ProcessRecord]:
    """Yield everybody (or `pids`) in the order of /proc: cheap columns, and of this user's processes `columns` too."""
    booted_at = time.time() - time.clock_gettime(_CLOCK_BOOTTIME)
    euid = os.geteuid()
    wanted = columns.value
    for name in os.listdir(b"/proc") if pids is None else map(b"%d".__mod__, pids):
        if not name.isdigit():
            continue
        folder: int | None = None
        try:
            if wanted:
                folder = open_folder(name)
            record = _read_row(name, folder, booted_at, euid)
            if folder is not None and record.uid == euid and not record.is_zombie:
                yield _read_facts(record, wanted, folder)
            else:
                yield record
        except OSError as error:
            if error.errno not in GONE and error.errno not in DENIED:
                raise
        finally:
            if folder is not None:
                os.close(folder)


def find_mentions(words: Collection[str]) -> frozenset[int] | None:
    """Return who has one of `words` in an argument, or in the path of the executable or script.

    Half of what reading the columns costs, and without identity: whoever is found has to be read.
    """
    needles = [word.encode() for word in words]
    found = set()
    for name in os.listdir(b"/proc"):
        if not name.isdigit():
            continue
        try:
            raw = read(b"/proc/" + name + b"/cmdline")
            exe = (try_link(b"/proc/" + name + b"/exe") or b"").removesuffix(DELETED)
            if not raw:  # a kernel thread, a zombie
                continue
            if any(needle in raw or needle in exe for needle in needles):
                found.add(int(name))
            elif _may_run_script(exe, raw.split(b"\0", 1)[0]):
                script = _script(name, raw, exe)  # as text: not every file system encoding can write it
                found.update([int(name)] if any(word in script for word in words) else [])
        except OSError as error:
            if error.errno not in GONE and error.errno not in DENIED:
                raise
    return frozenset(found)


@functools.lru_cache(maxsize=512)  # asked of every process, and most of them run one of a few programs
def _may_run_script(exe: bytes, first: bytes) -> bool:
    return any(interpreter_of(os.fsdecode(each)) is not None for each in (exe, first))


def _script(name: bytes, raw: bytes, exe: bytes) -> str:
    folder = open_folder(name)
    try:
        return script_of(folder, split_command_line(raw), exe.decode("utf-8", "replace") or None) or ""
    finally:
        os.close(folder)


def read_facts(record: ProcessRecord, columns: Column) -> ProcessRecord | None:
    """Return `record` with the dear columns filled in, None when that process is gone."""
    try:
        folder = open_folder(b"%d" % record.pid)
    except OSError as error:
        if error.errno in GONE:
            return None
        if error.errno in DENIED:
            return record
        raise
    try:
        if _token(folder) != record.identity.start_token:
            return None
        return _read_facts(record, columns.value, folder)
    except (FileNotFoundError, ProcessLookupError):
        return None
    finally:
        os.close(folder)


def _read_row(name: bytes, folder: int | None, booted_at: float, euid: int) -> ProcessRecord:
    descriptor = (
        os.open(b"/proc/" + name + b"/stat", os.O_RDONLY | os.O_CLOEXEC)
        if folder is None
        else os.open(b"stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    )
    try:
        stat = os.read(descriptor, 2048)
        uid: int | None = os.fstat(descriptor).st_uid
    finally:
        os.close(descriptor)
    closing = stat.rfind(b")")
    fields = stat[closing + 2 :].split(None, 22)
    if uid == 0 and euid != 0 and not int(fields[_FLAGS]) & _KERNEL_THREAD:
        uid = _uid_of(name)
    start = int(fields[_START])
    return ProcessRecord(
        identity=ProcessIdentity(int(name), start),
        ppid=int(fields[_PPID]),
        pgid=int(fields[_PGRP]),
        sid=int(fields[_SESSION]),
        tty=int(fields[_TTY]) & 0xFFFFFFFF,
        uid=uid,
        state=_state(fields),
        name=stat[stat.find(b"(") + 1 : closing].decode("utf-8", "replace"),
        cpu_seconds=(int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS,
        rss=int(fields[_RSS]) * _PAGE,
        started_at=booted_at + start / _TICKS,
    )


def _read_facts(record: ProcessRecord, wanted: int, folder: int) -> ProcessRecord:
    argv, exe, script, cwd = record.argv, record.exe, record.script, record.cwd
    environment, pid_namespace, mount_namespace = record.environment, record.pid_namespace, record.mount_namespace
    if wanted & _CWD:
        cwd = cwd_of(folder)
    if wanted & _ARGV:
        raw = try_read(b"cmdline", folder)
        argv = None if raw is None else split_command_line(raw)
        link = try_link(b"exe", folder)
        exe = None if link is None else link.removesuffix(DELETED).decode("utf-8", "replace")
        script = script_of(folder, argv, exe, cwd)
    if wanted & _ENVIRONMENT:
        raw = try_read(b"environ", folder)
        environment = None if raw is None else parse_environment(raw)
    if wanted & _NAMESPACES:
        pid_namespace, mount_namespace = _namespace(b"ns/pid", folder), _namespace(b"ns/mnt", folder)
    if (wanted & _CWD and cwd is None) or (wanted & _ARGV and argv is None):
        _token(folder)  # raises when the process ended while it was read
    return msgspec.structs.replace(
        record,
        argv=argv,
        exe=exe,
        script=script,
        cwd=cwd,
        environment=environment,
        pid_namespace=pid_namespace,
        mount_namespace=mount_namespace,
    )


def identify(pid: int) -> ProcessIdentity | None:
    """Return who has `pid` now; None when nobody has, or /proc hides it (hidepid, proc(5))."""
    try:
        fields = _fields_of(pid)
    except PermissionError:
        return None
    return None if fields is None else ProcessIdentity(pid, int(fields[_START]))


def has_ended(identity: ProcessIdentity) -> bool:
    """Whether this process is gone, is a zombie, or has a successor with its pid."""
    try:
        fields = _fields_of(identity.pid)
    except PermissionError:
        return False
    return fields is None or int(fields[_START]) != identity.start_token or _state(fields) in ("Z", "X")


def boot_id() -> str:
    """Return the kernel's id of this boot (random(4))."""
    return read(b"/proc/sys/kernel/random/boot_id").decode("ascii").strip()


def _namespace(name: bytes, folder: int) -> int | None:
    link = try_link(name, folder)  # `pid:[4026531836]`, namespaces(7)
    return None if link is None else int(link[link.index(b"[") + 1 : -1])


def _state(fields: list[bytes]) -> str:
    """Return the state letter; a leader that ended before its other threads is no zombie yet (pthread_exit(3))."""
    if fields[_STATE] == b"Z" and int(fields[_THREADS]) > 1:
        return "S"
    return fields[_STATE].decode("ascii")


def _token(folder: int) -> int:
    stat = read(b"stat", folder)
    return int(stat[stat.rfind(b")") + 2 :].split(None, 20)[_START])


def _fields_of(pid: int) -> list[bytes] | None:
    try:
        stat = read(b"/proc/%d/stat" % pid)
    except OSError as error:
        if error.errno in GONE:
            return None
        raise
    return stat[stat.rfind(b")") + 2 :].split(None, 22)


def _uid_of(name: bytes) -> int | None:
    """Return the effective uid from status: the owner of /proc/PID is root for whoever may not be dumped.

    Such are programs with file capabilities (a node that may bind port 80), which are ours all the same.
    """
    try:
        status = read(b"/proc/" + name + b"/status")
    except OSError:
        return None
    start = status.find(b"\nUid:")
    return None if start < 0 else int(status[start + 5 :].split(None, 2)[1])

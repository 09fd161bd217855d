"""The process table through psutil, for macOS and whatever is not Linux.

The same facts as `linux_table`, dearer.  The start token is the value psutil itself identifies
processes by: `create_time(monotonic=True)` of its platform object, on macOS `p_starttime` of the
kernel's process record, set once at fork, in microseconds.  The public `create_time()` will not do:
it is corrected when the system clock is set, so one process would get two tokens.  (psutil before
7.1 has no such argument; its platform object then gives the kernel's value as it is.)

Weaker than on Linux: the environment of system binaries is hidden by macOS and is None; a folder's
deletion is known only through `darwin_facts`.  On Linux this module is how tests walk the path of
other systems; it then hides the environment of system shells as macOS does, and reads raw what
psutil rewrites there (titles with blanks, deleted folders).
"""

# ruff: noqa: SLF001 - psutil has no public name for a start time that is fixed, nor for a terminal's number

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, TypeVar

import msgspec
import psutil

from devrun.model import Cwd, FileId, ProcessEnvironment, ProcessIdentity, ProcessRecord
from devrun.system import darwin_facts
from devrun.system.columns import NOTHING, Column
from devrun.system.commandlines import resolve_script, split_command_line
from devrun.system.environments import parse_environment

_STATES = {
    psutil.STATUS_RUNNING: "R",
    psutil.STATUS_SLEEPING: "S",
    psutil.STATUS_DISK_SLEEP: "D",
    psutil.STATUS_STOPPED: "T",
    psutil.STATUS_TRACING_STOP: "t",
    psutil.STATUS_ZOMBIE: "Z",
    psutil.STATUS_DEAD: "X",
    psutil.STATUS_IDLE: "I",
}
_SYSTEM_FOLDERS = ("/bin", "/sbin", "/usr/bin", "/usr/sbin")
_SYSTEM_TOOLS = frozenset(
    ("sh", "bash", "dash", "zsh", "csh", "ksh", "env", "cat", "sleep", "tail", "nohup", "login", "su", "ssh")
)
_NO_NAMESPACE = 0
_Fact = TypeVar("_Fact")


def read_rows(columns: Column = NOTHING, pids: Iterable[int] | None = None) -> Iterator[ProcessRecord]:
    """Yield everybody (or `pids`) in the order of their pids: cheap columns, and of this user's `columns` too."""
    euid = os.geteuid()
    for pid in psutil.pids() if pids is None else pids:
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                row: ProcessRecord | None = _read_row(process)
            if columns and row is not None and row.uid == euid and not row.is_zombie:
                row = read_facts(row, columns)
            if row is not None:
                yield row
        except psutil.NoSuchProcess as error:
            if isinstance(error, psutil.ZombieProcess):
                yield from _zombie(pid)
        except psutil.AccessDenied:
            continue


def read_facts(record: ProcessRecord, columns: Column) -> ProcessRecord | None:
    """Return `record` with the dear columns filled in, None when that process is gone."""
    try:
        return _read_facts(psutil.Process(record.pid), record, columns)
    except psutil.NoSuchProcess:  # now, or between two of its facts
        return None
    except psutil.AccessDenied:
        return record


def _read_facts(process: psutil.Process, record: ProcessRecord, columns: Column) -> ProcessRecord | None:
    changes: dict[str, object] = {}
    cwd = record.cwd
    if columns & Column.CWD:
        changes["cwd"] = cwd = _cwd(process)
    if columns & (Column.ARGV | Column.ENVIRONMENT):
        exe = _exe(process)
    if columns & Column.ARGV:
        argv = _argv(process)
        script = resolve_script(argv, exe, lambda: _path_of(cwd or _cwd(process)), lambda: _started_in(process, exe))
        changes.update(argv=argv, exe=exe, script=script)
    if columns & Column.ENVIRONMENT:
        changes["environment"] = _environment(process, exe)
    if columns & Column.NAMESPACES:
        changes["pid_namespace"] = _namespace(record.pid, "pid")
        changes["mount_namespace"] = _namespace(record.pid, "mnt")
    if identify(record.pid) != record.identity:
        return None
    return msgspec.structs.replace(record, **changes)


def find_mentions(_words: Collection[str]) -> frozenset[int] | None:
    """Return None: psutil has no cheaper look at a command line than reading it."""
    return None


def identify(pid: int) -> ProcessIdentity | None:
    """Return who has `pid` now, None when nobody has."""
    try:
        return ProcessIdentity(pid, _start_token(psutil.Process(pid)))
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None


def has_ended(identity: ProcessIdentity) -> bool:
    """Whether this process is gone, is a zombie, or has a successor with its pid."""
    try:
        process = psutil.Process(identity.pid)
        if _start_token(process) != identity.start_token:
            return True
        return process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:  # a zombie, too
        return True
    except psutil.AccessDenied:
        return False


def boot_id() -> str:
    """Return the boot session of macOS, the boot id of Linux, elsewhere the boot time in seconds."""
    if sys.platform == "darwin":
        session = darwin_facts.boot_session()
        if session is not None:
            return session
    elif sys.platform == "linux":
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as source:
            return source.read().strip()
    return f"boot-{psutil.boot_time():.0f}"


def _read_row(process: psutil.Process) -> ProcessRecord:
    """Read one row; what another user's process does not tell is None."""
    pid = process.pid
    times, memory = _attempt(process.cpu_times), _attempt(process.memory_info)
    uids = _attempt(process.uids)
    return ProcessRecord(
        identity=ProcessIdentity(pid, _start_token(process)),
        ppid=_attempt(process.ppid),
        pgid=_attempt(lambda: os.getpgid(pid)),
        sid=_attempt(lambda: os.getsid(pid)),
        tty=_tty(process),
        uid=None if uids is None else uids.effective,
        state=_STATES.get(_attempt(process.status) or ""),
        name=_attempt(process.name),
        cpu_seconds=None if times is None else times.user + times.system,
        rss=None if memory is None else memory.rss,
        started_at=_attempt(process.create_time),
    )


def _zombie(pid: int) -> Iterator[ProcessRecord]:
    identity = identify(pid)
    if identity is not None:
        yield ProcessRecord(identity=identity, state="Z")


def _start_token(process: psutil.Process) -> int:
    inner = _platform_object(process)
    try:
        seconds: float = inner.create_time(monotonic=True)
    except TypeError:
        seconds = inner.create_time()
        if sys.platform == "linux":
            seconds -= psutil.boot_time()
    return round(seconds * (os.sysconf("SC_CLK_TCK") if sys.platform == "linux" else 1_000_000))


def _platform_object(process: psutil.Process) -> Any:
    return process._proc  # type: ignore[attr-defined]


def _tty(process: psutil.Process) -> int | None:
    """Return the device number of the terminal, 0 for none.

    psutil's public `terminal()` says None both for "no terminal" and for one it has no name for, and
    the second must not look like the first.
    """
    inner = _platform_object(process)
    try:
        if sys.platform == "linux":
            number = int(inner._parse_stat_file()["ttynr"])
        else:
            platform: Any = psutil._psplatform  # type: ignore[attr-defined]
            number = int(inner._get_kinfo_proc()[platform.kinfo_proc_map["ttynr"]])
    except (psutil.Error, OSError):
        return None
    except (AttributeError, KeyError, IndexError):
        name = _attempt(process.terminal)
        return None if name is None else _attempt(lambda: os.stat(name).st_rdev)
    return 0 if number == -1 else number & 0xFFFFFFFF


def _argv(process: psutil.Process) -> tuple[str, ...] | None:
    if sys.platform == "linux":
        raw = _attempt(lambda: _read(f"/proc/{process.pid}/cmdline"))
        return None if raw is None else split_command_line(raw)
    argv = _attempt(process.cmdline)
    return split_command_line("\0".join(argv).encode("utf-8", "surrogateescape")) if argv else None


def _exe(process: psutil.Process) -> str | None:
    exe = _attempt(process.exe)
    return exe.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if exe else None


def _environment(process: psutil.Process, exe: str | None) -> ProcessEnvironment | None:
    if exe is None or (os.path.basename(exe) in _SYSTEM_TOOLS and os.path.dirname(exe) in _SYSTEM_FOLDERS):
        return None
    environment = _attempt(process.environ)
    if not environment:
        return None
    return parse_environment(b"\0".join(os.fsencode(f"{key}={value}") for key, value in environment.items()))


def _started_in(process: psutil.Process, exe: str | None) -> str | None:
    environment = _environment(process, exe)
    return None if environment is None else environment.pwd


def _cwd(process: psutil.Process) -> Cwd | None:
    if sys.platform == "linux":
        return _linux_cwd(process.pid)
    if sys.platform == "darwin":
        found = darwin_facts.working_directory(process.pid)
        if found is not None:
            return found
    path = _attempt(process.cwd)
    return Cwd(path=path, deleted=False) if path and path.startswith("/") else None


def _linux_cwd(pid: int) -> Cwd | None:
    link = f"/proc/{pid}/cwd"
    raw = _attempt(lambda: os.readlink(link))
    if raw is None or not raw.startswith("/"):
        return None
    found = _attempt(lambda: os.stat(link))
    file_id = None if found is None else FileId(found.st_dev, found.st_ino)
    if raw.endswith(" (deleted)") and not (found is not None and os.path.isdir(raw) and os.path.samefile(raw, link)):
        return Cwd(path=raw.removesuffix(" (deleted)"), deleted=True, file_id=file_id)
    return Cwd(path=raw, deleted=False, file_id=file_id)


def _path_of(cwd: Cwd | None) -> str | None:
    return None if cwd is None else cwd.path


def _namespace(pid: int, kind: str) -> int | None:
    if sys.platform != "linux":
        return _NO_NAMESPACE
    found = _attempt(lambda: os.stat(f"/proc/{pid}/ns/{kind}"))
    return None if found is None else found.st_ino


def _read(path: str) -> bytes:
    with open(path, "rb") as source:
        return source.read()


def _attempt(read: Callable[[], _Fact]) -> _Fact | None:
    """Return `read()`, None when this user may not know; a process that ended is the caller's business."""
    try:
        return read()
    except psutil.ZombieProcess:
        return None
    except psutil.NoSuchProcess:
        raise
    except (psutil.Error, OSError, NotImplementedError):
        return None

"""Facts about `git fsmonitor--daemon`: which of them runs, and what became of the worktree it serves.

Git starts one for each worktree and forgets it when the worktree is removed.  It is known by the
socket it listens on, `<git dir>/fsmonitor--daemon.ipc`; who merely mentions its name (a debugger, a
prompt) holds none.  Where the path is too long for a socket git binds it from within the git dir, at
its bare name: that tells something only of a daemon that still stands there.  A socket in the home
folder (git's place for remote disks) tells no git dir: such a daemon is left alone.
"""

from __future__ import annotations

import os

from devrun.decide.fate import Fate, judge
from devrun.model import ProcessIdentity, ProcessRecord, Surroundings
from devrun.system.columns import Column
from devrun.system.unix_sockets import listening_at
from devrun.worktrees.gitdirs import around_git_dir
from devrun.worktrees.places import Places
from devrun.worktrees.survey import Survey

SOCKET = "fsmonitor--daemon.ipc"
_WORD = "fsmonitor--daemon"


def find_monitors(survey: Survey, places: Places) -> dict[ProcessIdentity, Surroundings]:
    """Return where the socket of each daemon lives; of several that one which is not gone."""
    own = survey.own_pids
    likely = [pid for pid in own if (survey.snapshot.get(pid) is not None) and _is_git(survey, pid)]
    held = listening_at(SOCKET, own, likely)
    survey.fill(held, Column.ARGV | Column.CWD)
    found: dict[ProcessIdentity, Surroundings] = {}
    for pid, paths in held.items():
        record = survey.snapshot.get(pid)
        if record is None or _WORD not in (record.argv or ()):
            continue
        folders = [_git_dir(record, path) for path in paths]
        homes = [around_git_dir(places, folder) for folder in folders if folder is not None]
        if len(homes) < len(paths):
            continue
        found[record.identity] = next((each for each in homes if judge(each).fate is not Fate.ORPHAN), homes[0])
    return found


def _git_dir(record: ProcessRecord, path: str) -> str | None:
    """Return the git dir that a socket lies in; None when its path does not tell."""
    if os.path.isabs(path):
        return os.path.dirname(path)
    if record.cwd is None or os.path.dirname(path):
        return None
    above = os.path.dirname(record.cwd.path)
    return record.cwd.path if os.path.basename(above) == "worktrees" and above.endswith(".git/worktrees") else None


def _is_git(survey: Survey, pid: int) -> bool:
    record = survey.snapshot.get(pid)
    return record is not None and (record.name or "").startswith("git")

"""The keys that say how a service ends and comes back: `restart` with its friends, and `stop`."""

from __future__ import annotations

import signal

from devrun.config.draft import Draft, seconds
from devrun.config.problems import Problems, did_you_mean
from devrun.config.project import Place, Restart, RestartPolicy, Stop
from devrun.config.shape import RestartEntry

_POLICIES = {
    "no": RestartPolicy.NO,
    "on-failure": RestartPolicy.ON_FAILURE,
    "on_failure": RestartPolicy.ON_FAILURE,
    "always": RestartPolicy.ALWAYS,
    "unless-stopped": RestartPolicy.ALWAYS,
}
_HARMLESS = frozenset(("STOP", "TSTP", "TTIN", "TTOU", "CONT", "CHLD", "CLD", "URG", "WINCH"))


def restart_of(draft: Draft, problems: Problems) -> Restart:
    """Return when the service is started again: `restart` in any form, with the keys beside it."""
    entry = draft.entry
    written = entry.restart
    detail = written if isinstance(written, RestartEntry) else RestartEntry(policy="no")
    word = detail.policy if isinstance(written, RestartEntry) else written
    word = {True: "always", False: "no", None: "no"}.get(word, word) if not isinstance(word, str) else word
    policy, _, cap = str(word).partition(":")
    caps = [each for each in (int(cap) if cap else None, detail.max_restarts, entry.max_restarts) if each is not None]
    default = Restart()
    waits = {
        "backoff": entry.backoff if entry.backoff is not None else detail.backoff,
        "max_backoff": entry.max_backoff if entry.max_backoff is not None else detail.max_backoff,
    }
    if len(set(caps)) > 1:
        key = "restart" if entry.max_restarts is None else "max_restarts"
        problems.add("`max_restarts` is said twice, with different numbers", draft.where(key))
    if _POLICIES[policy] is RestartPolicy.NO:
        for key in ("max_restarts", "backoff", "max_backoff"):
            if getattr(entry, key) is not None:
                problems.add(f"`{key}` needs `restart`", draft.where(key), hint="`restart: on-failure`")
    backoff = seconds(waits["backoff"], default.backoff)
    # A first wait of a minute is meant: the default for the longest wait does not cut it down.
    longest = seconds(waits["max_backoff"], max(backoff, default.max_backoff))
    return Restart(_POLICIES[policy], caps[0] if caps else None, backoff, longest)


def stop_of(draft: Draft, problems: Problems) -> Stop:
    """Return how the service is asked to end."""
    written = draft.entry.stop
    if written is None:
        return Stop()
    number = signal.SIGTERM
    if written.signal is not None:
        number = _signal(str(written.signal), draft.where("stop", "signal"), problems)
    return Stop(number, seconds(written.timeout, Stop().timeout))


def _signal(word: str, place: Place, problems: Problems) -> signal.Signals:
    name = word.upper().removeprefix("SIG")
    found = signal.Signals.__members__.get(f"SIG{name}")
    if found is None and name.isascii() and name.isdigit() and len(name) < 4:  # noqa: PLR2004 - no signal has 4 digits
        found = next((each for each in signal.Signals if each.value == int(name)), None)
    if found is None:
        known = [each.removeprefix("SIG") for each in signal.Signals.__members__]
        problems.add(f"no signal is called `{word}`", place, hint=did_you_mean(name, known) or "`SIGINT`, `SIGTERM`, …")
        return signal.SIGTERM
    if found.name.removeprefix("SIG") in _HARMLESS:
        problems.add(f"`{found.name}` does not end a process", place, hint="`SIGTERM`, `SIGINT`, `SIGHUP` or `SIGQUIT`")
    return found

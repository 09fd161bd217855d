"""The key `ready`: by port, http, log or command, and what it is when nobody says."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping

from devrun.config.draft import Draft, command_of, seconds
from devrun.config.httptarget import parse_target
from devrun.config.problems import Problems
from devrun.config.project import Place, Ready, ReadyKind
from devrun.config.shape import ReadyEntry
from devrun.errors import ConfigError


def ready_of(draft: Draft, bases: Mapping[str, int], problems: Problems, *, promised: bool) -> Ready:
    """Return when the service is ready; `bases` are its ports by name, "" is its own."""
    written = draft.entry.ready
    default = ReadyKind.PORT if "" in bases and promised else ReadyKind.STARTED
    if written is None:
        return Ready(default)
    if isinstance(written, str):
        if written == "port" and "" not in bases:
            problems.add(f"`{draft.name}` has no port to wait for", draft.where("ready"), hint="give it `port:`")
        return Ready(ReadyKind(written))
    timeout = seconds(written.timeout, Ready().timeout)
    if timeout <= 0:
        problems.add("`ready.timeout` must be more than 0 seconds", draft.where("ready", "timeout"))
    kinds = [kind for kind in ReadyKind if getattr(written, kind.value, None) is not None]
    if len(kinds) > 1:
        both = " and ".join(f"`{kind.value}`" for kind in kinds)
        problems.add(f"`ready` takes one of port, http, log and command, found {both}", draft.where("ready"))
    if not kinds:
        return Ready(default, timeout=timeout)
    kind = kinds[0]
    return Ready(kind, _target(kind, written, draft, bases, problems), timeout)


def _target(
    kind: ReadyKind, written: ReadyEntry, draft: Draft, bases: Mapping[str, int], problems: Problems
) -> str | tuple[str, ...]:
    place = draft.where("ready", kind.value)
    if kind is ReadyKind.HTTP:
        target = written.http or ""
        if not target.startswith(("/", "http://", "${")):
            hint = "`ready: {port: true}` for https" if target.startswith("https:") else f"`http: /{target}`"
            problems.add("`ready.http` is a path that begins with `/`, or an http:// URL", place, hint=hint)
        elif target.startswith("/") and "" not in bases:
            problems.add(f"`ready.http` is a path, but `{draft.name}` has no port", place, hint="give it `port:`")
        elif "${" not in target:
            _check_url(target, bases, place, problems)
        return target
    if kind is ReadyKind.LOG:
        _check_pattern(written.log or "", place, problems)
        return written.log or ""
    if kind is ReadyKind.COMMAND:
        command = command_of(draft.value.get("ready", "command") if draft.value is not None else None)
        if not (command if isinstance(command, str) else command[0]).strip():
            problems.add("`ready.command` is empty", place)
        return command
    return _named_port(written.port, draft, bases, problems)


def _check_url(target: str, bases: Mapping[str, int], place: Place, problems: Problems) -> None:
    """Find what can never be asked; what a template stands in is looked at once that is filled in."""
    try:
        parse_target(target, bases.get(""))
    except ConfigError as error:
        problems.add(f"`ready.http`: {error.message}", place, hint=error.hint)


def _named_port(
    written: bool | int | str | None,  # noqa: FBT001 - the value itself
    draft: Draft,
    bases: Mapping[str, int],
    problems: Problems,
) -> str:
    if written is True and "" in bases:
        return ""
    for name, base in bases.items():
        if written is not True and str(written) in (name, str(base - draft.nth)) and name + str(written):
            return name
    known = ", ".join(f"`{name or base}`" for name, base in bases.items())
    hint = f"its ports are {known}" if known else "give it `port:`"
    which = "" if written is True else f" `{str(written).lower()}`"
    problems.add(f"`ready.port`: `{draft.name}` has no port{which}", draft.where("ready", "port"), hint=hint)
    return ""


def _check_pattern(pattern: str, place: Place, problems: Problems) -> None:
    if not pattern:
        problems.add("`ready.log` is empty: every line would match", place)
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        problems.add(f"`ready.log` is no regular expression: {error}", place, hint="`\\` before a sign means the sign")

"""One entry of services.yaml becomes a Service: every form people may write, in one form.

The types were checked before (`config.shape`); here is what types cannot say: a folder that must
exist inside the worktree, a regular expression that must compile, keys that need another key.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from msgspec import Struct

from devrun.config.draft import Draft, command_of, names_of
from devrun.config.endings import restart_of, stop_of
from devrun.config.problems import Problems, did_you_mean
from devrun.config.project import Condition, Dependency, OnForeign, Service, Stdin
from devrun.config.ready import ready_of
from devrun.config.shape import DependencyEntry
from devrun.ports.arithmetic import HIGHEST

_CONDITIONS = {
    "started": Condition.STARTED,
    "service_started": Condition.STARTED,
    "process_started": Condition.STARTED,
    "ready": Condition.READY,
    "service_healthy": Condition.READY,
    "process_healthy": Condition.READY,
    "process_log_ready": Condition.READY,
    "completed": Condition.COMPLETED,
    "service_completed_successfully": Condition.COMPLETED,
    "process_completed_successfully": Condition.COMPLETED,
}


class Folders(Struct, frozen=True):
    """`root` holds the configuration file, `top` is the worktree's own folder."""

    root: str
    top: str


def build_service(draft: Draft, folders: Folders, variables: Mapping[str, str], problems: Problems) -> Service:
    """Return the Service of a draft; what is wrong with it goes to `problems`."""
    entry = draft.entry
    port, promised = _port(draft, variables, problems)
    ports = {name: int(base) + draft.nth for name, base in (entry.ports or {}).items()}
    bases = ports if port is None else {"": port, **ports}
    service = Service(
        name=draft.name,
        command=_command(draft, problems),
        working_dir=_working_dir(draft, folders, problems),
        port=port,
        ports=ports,
        port_env=entry.port_env,
        port_promised=promised,
        fixed=_is_true(entry.fixed, default=False),
        environment=_environment(draft, problems),
        depends_on=_depends_on(draft),
        ready=ready_of(draft, bases, problems, promised=promised),
        restart=restart_of(draft, problems),
        stop=stop_of(draft, problems),
        match=_match(draft, problems),
        on_foreign=OnForeign(entry.on_foreign or "refuse"),
        profiles=names_of(entry.profiles),
        essential=_is_true(entry.essential, default=True),
        tty=_is_true(entry.tty, default=False),
        stdin=Stdin.NULL if entry.stdin in (None, "null") else Stdin.TETHER,
        place=draft.place,
    )
    if service.fixed and port is None and not ports:
        problems.add(f"`{draft.name}` is fixed but has no port", draft.where("fixed"), hint="give it `port:`")
    return service


def _is_true(word: bool | str | None, *, default: bool) -> bool:  # noqa: FBT001 - the value itself
    return default if word is None else word in (True, "yes", "on")


def _port(draft: Draft, variables: Mapping[str, str], problems: Problems) -> tuple[int | None, bool]:
    """Return the base and whether it is promised; `port_env` outranks `port`, both outrank a Procfile."""
    entry = draft.entry
    variable = entry.port_env
    if variable is not None and variables.get(variable):
        text = variables[variable]
        if re.fullmatch(r"[1-9][0-9]{0,4}", text.strip()) and int(text) <= HIGHEST:
            return int(text) + draft.nth, True
        message = f"the variable `{variable}` is no port: `{text[:40]}`"
        problems.add(message, draft.where("port_env"), hint=f"unset it, or: `export {variable}=3000`")
    if entry.port is not None:
        if int(entry.port) + draft.nth > HIGHEST:
            problems.add(f"no port above {HIGHEST}: `{entry.port}`", draft.where("port"))
        return int(entry.port) + draft.nth, True
    if variable is not None and draft.port is None and variables.get(variable) is None:
        hint = f"give `{draft.name}` a `port:` for when `{variable}` is not set"
        problems.add(f"`{draft.name}` has no port: `{variable}` is not set", draft.where("port_env"), hint=hint)
    return draft.port, draft.port is None


def _command(draft: Draft, problems: Problems) -> str | tuple[str, ...]:
    if draft.entry.command is None:
        if draft.command is None:
            problems.add(f"`{draft.name}` has no `command`", draft.place, hint=draft.meant or "`command: pnpm dev`")
        return draft.command or ""
    command = command_of(draft.value.get("command") if draft.value is not None else None)
    if not (command if isinstance(command, str) else command[0]).strip():
        problems.add(f"the command of `{draft.name}` is empty", draft.where("command"))
    return command


def _working_dir(draft: Draft, folders: Folders, problems: Problems) -> str:
    written = draft.entry.working_dir
    if written is None:
        return folders.root
    place = draft.where("working_dir")
    path = os.path.normpath(os.path.join(folders.root, written))
    if "${" in written:
        problems.add("`working_dir` takes no templates", place)
    elif not os.path.isdir(path):
        if os.path.exists(path):
            problems.add(f"`{written}` is no folder", place)
        else:
            problems.add(f"the folder `{written}` does not exist", place, hint=_nearby(path))
    elif not is_inside(os.path.realpath(path), os.path.realpath(folders.top)):
        problems.add(
            f"the folder `{written}` is outside of the worktree", place, hint=f"the worktree is `{folders.top}`"
        )
    return path


def is_inside(path: str, top: str) -> bool:
    """Say whether a real path is the real folder `top` or lies in it."""
    return path == top or path.startswith(top.rstrip("/") + "/")


def _nearby(path: str) -> str | None:
    try:
        siblings = os.listdir(os.path.dirname(path))
    except OSError:
        return None
    return did_you_mean(os.path.basename(path), siblings)


def _environment(draft: Draft, problems: Problems) -> dict[str, str]:
    value = draft.value.get("environment") if draft.value is not None else None
    environment: dict[str, str] = {}
    if value is None:
        return environment
    for name, each in value.items():
        if not name or "=" in name:
            problems.add(f"`{name}` is no name of a variable", value.key_place(name))
        elif name.startswith("DEVRUN_"):
            problems.add(f"`{name}` is devrun's own variable", value.key_place(name), hint="choose another name")
        elif each.data is not None:
            environment[name] = each.text
    return environment


def _depends_on(draft: Draft) -> tuple[Dependency, ...]:
    written = draft.entry.depends_on
    if isinstance(written, dict):
        return tuple(
            Dependency(name, _CONDITIONS[each.condition if isinstance(each, DependencyEntry) else each])
            for name, each in written.items()
        )
    return tuple(Dependency(name) for name in names_of(written))


def _match(draft: Draft, problems: Problems) -> str | None:
    match = draft.entry.match
    if match is None:
        return None
    if not match.strip():
        problems.add("`match` is empty: it would match every process", draft.where("match"))
    elif "${" in match:
        problems.add("`match` takes no templates", draft.where("match"), hint="leave the changing part out")
    return match

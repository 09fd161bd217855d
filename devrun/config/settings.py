"""The section `sweep`: what the configuration adds to the sweep of orphans."""

from __future__ import annotations

from collections.abc import Callable

from devrun.config.draft import command_of, names_of, seconds
from devrun.config.problems import Problems
from devrun.config.project import Place, Registry, Suspect, SweepSettings
from devrun.config.shape import RegistryEntry, SuspectEntry, SweepEntry
from devrun.config.value import Value

_PID = "{pid}"


def sweep_of(entry: SweepEntry | None, document: Value, problems: Problems) -> SweepSettings:
    """Return the settings of the sweep; what is wrong with them goes to `problems`."""
    default = SweepSettings()
    if entry is None:
        return default

    def where(*path: str | int) -> Place:
        found = document.get("sweep", *path) or document.get("sweep")
        return found.place if found is not None else document.place

    for key in ("runtimes", "paths"):
        for index, each in enumerate(names_of(getattr(entry, key))):
            if not each.strip():
                problems.add(f"`sweep.{key}` has an empty text: it would match everything", where(key, index))
    for index, pattern in enumerate(names_of(entry.pidfiles)):
        _check_pidfile(pattern, where("pidfiles", index), problems)
    registries = entry.registries or []
    suspects = entry.suspects or []
    _check_names("registries", [each.name for each in registries], where, problems)
    _check_names("suspects", [each.name for each in suspects], where, problems)
    return SweepSettings(
        runtimes=names_of(entry.runtimes),
        paths=names_of(entry.paths),
        registries=tuple(_registry(each, index, document, where, problems) for index, each in enumerate(registries)),
        pidfiles=names_of(entry.pidfiles),
        suspects=tuple(_suspect(each, index, where, problems) for index, each in enumerate(suspects)),
        budget=seconds(entry.budget, default.budget),
    )


def _registry(
    entry: RegistryEntry, index: int, document: Value, where: Callable[..., Place], problems: Problems
) -> Registry:
    place = where("registries", index)
    live = entry.live
    given = [key for key in ("url", "command", "file") if getattr(live, key) is not None]
    if len(given) != 1:
        found = " and ".join(f"`{each}`" for each in given) or "none"
        problems.add(
            f"`live` takes exactly one of url, command and file, found {found}", where("registries", index, "live")
        )
    if live.url is not None and not live.url.startswith(("http://", "https://")):
        problems.add("`live.url` begins with http:// or https://", where("registries", index, "live", "url"))
    _check_match(entry.match, f"the registry `{entry.name}`", where("registries", index, "match"), problems)
    command = command_of(document.get("sweep", "registries", index, "live", "command")) or None
    if not entry.name.strip():
        problems.add("a registry needs a name", place)
    return Registry(
        name=entry.name,
        match=entry.match,
        pids=live.pids,
        url=live.url,
        command=command,
        file=live.file,
        grace=seconds(entry.grace, 60.0),
        allow_hosts=names_of(entry.allow_hosts),
        place=where("registries", index, "live", "pids"),
    )


def _suspect(entry: SuspectEntry, index: int, where: Callable[..., Place], problems: Problems) -> Suspect:
    _check_match(entry.match, f"the suspect `{entry.name}`", where("suspects", index, "match"), problems)
    owners = names_of(entry.owner)
    if not owners or not all(each.strip() for each in owners):
        problems.add(f"the suspect `{entry.name}` needs an owner", where("suspects", index, "owner"))
    return Suspect(entry.name, entry.match, owners, entry.runtime, entry.hops if entry.hops is not None else 8)


def _check_match(match: str, owner: str, place: Place, problems: Problems) -> None:
    if not match.strip():
        problems.add(f"`match` of {owner} is empty: it would match every process", place)


def _check_pidfile(pattern: str, place: Place, problems: Problems) -> None:
    folder, _, name = pattern.rpartition("/")
    if name.count(_PID) != 1 or _PID in folder:
        hint = "`.state/active-session-{pid}`"
        problems.add(f"`{pattern}` needs `{_PID}` once, in the name of the file", place, hint=hint)
    elif name == _PID:
        problems.add(f"`{pattern}` would match every file whose name is a number", place, hint="`session-{pid}`")


def _check_names(key: str, names: list[str], where: Callable[..., Place], problems: Problems) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            problems.add(f"two {key} are called `{name}`", where(key, index, "name"))

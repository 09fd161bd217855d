"""Which services a command is about: those named, those of the profiles, and what they depend on."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from devrun.config.problems import did_you_mean
from devrun.config.project import Project, Service
from devrun.errors import UsageError

MOST_NAMED = 12


def select_services(project: Project, names: Sequence[str] = (), profiles: Iterable[str] = ()) -> tuple[Service, ...]:
    """Return the services to act on, in start order: a service comes after all it depends on.

    Without names: every service that has no profile or one of `profiles`.  With names: those (a
    name of a formation, `web`, means all its instances), and with `profiles` those of the profiles
    too.  Dependencies are pulled in whatever their profile.  Unknown names are a UsageError.
    """
    wanted = set(profiles)
    _check_profiles(project, wanted)
    if names:
        chosen = find_services(names, project)
        chosen += [each for each in project.services.values() if wanted.intersection(each.profiles)]
    else:
        chosen = [each for each in project.services.values() if not each.profiles or wanted.intersection(each.profiles)]
    return in_start_order(project.services, chosen)


def instances(name: str, services: Mapping[str, Service]) -> list[Service]:
    """Return the service of that name, or every instance of it in a formation (`web.1`, `web.2`)."""
    return [services[each] for each in meant_by(name, services)]


def meant_by(word: str, names: Collection[str]) -> list[str]:
    """Return which of these names of services a word means: itself, or the instances of a formation."""
    if word in names:
        return [word]
    numbered = re.compile(re.escape(word) + r"\.[0-9]+\Z")
    return [each for each in names if numbered.match(each)]


def find_services(names: Iterable[str], project: Project) -> list[Service]:
    """Return the services of these names, all instances of a formation; UsageError for a name that means none."""
    return [each for name in names for each in instances(name, project.services) or _unknown(name, project)]


def find_service(name: str, project: Project, *, say: Callable[[str], None] | None = None) -> Service:
    """Return the one service that is meant; of a formation the first, as templates have it, and `say` hears so.

    Raises UsageError when there is none.
    """
    found = find_services((name,), project)
    if len(found) > 1 and say is not None:
        say(f"`{name}` has {len(found)} instances, this is `{found[0].name}`")
    return found[0]


def in_start_order(services: Mapping[str, Service], chosen: Iterable[Service]) -> tuple[Service, ...]:
    """Return `chosen` and their dependencies, dependencies first, otherwise in the order of the file.

    Cycles were refused when the file was loaded; should one get here, it does not loop.
    """
    picked = {each.name for each in chosen}
    done: dict[str, Service] = {}
    seen: set[str] = set()
    for name, service in services.items():
        if name not in picked:
            continue
        stack = [(service, iter(service.depends_on))]
        while stack:
            current, pending = stack[-1]
            seen.add(current.name)
            following = next(pending, None)
            if following is None:
                done.setdefault(current.name, current)
                stack.pop()
            elif following.service in services and following.service not in seen:
                target = services[following.service]
                stack.append((target, iter(target.depends_on)))
    return tuple(done.values())


def _unknown(name: str, project: Project) -> list[Service]:
    hint = did_you_mean(name, project.services) or _listed(project.services)
    raise UsageError(f"no service is called `{name}`", hint=hint)


def _listed(names: Collection[str]) -> str:
    """Name the first of them: a hint is a line, and there may be hundreds."""
    more = len(names) - MOST_NAMED
    return "known are " + ", ".join(f"`{each}`" for each in [*names][:MOST_NAMED]) + (f" and {more} more" * (more > 0))


def _check_profiles(project: Project, wanted: set[str]) -> None:
    known = {profile for service in project.services.values() for profile in service.profiles}
    for profile in sorted(wanted - known):
        listed = _listed(sorted(known)) if known else "no service has one"
        raise UsageError(f"no service has the profile `{profile}`", hint=did_you_mean(profile, known) or listed)

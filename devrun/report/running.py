"""The head and the last line of a run."""

from __future__ import annotations

from collections.abc import Iterator

from devrun.config.project import Service
from devrun.ports.names import url_of
from devrun.report.console import Output
from devrun.run.plan import RunPlan, RunResult


def headline(plan: RunPlan, output: Output) -> Iterator[str]:
    """Yield worktree, slot and offset, then a line per service with its URL."""
    worktree, ports = plan.worktree, plan.ports
    name = worktree.branch or worktree.slug
    yield output.emphasize(f"devrun {name} · slot {ports.slot} · offset {ports.offset} · {worktree.root}")
    width = max((len(service.name) for service in plan.services), default=0)
    for service in plan.services:
        yield f"  {service.name:<{width}}  {_address(plan, service)}".rstrip()


def _address(plan: RunPlan, service: Service) -> str:
    port = plan.ports.port(service.name)
    named = [f"{name} {url_of(each)}" for name in service.ports if (each := plan.ports.port(service.name, name))]
    return "  ".join([*([url_of(port)] if port else []), *named]) or "-"


def conclude(output: Output, result: RunResult) -> int:
    """Say how the run ended, in one line and perhaps a hint; return the exit code."""
    for line in result.last_lines:
        output.say(f"  {line}")
    if result.is_error:
        output.complain(result.message, hint=result.hint)
    else:
        output.say(result.message)
    return result.exit_code

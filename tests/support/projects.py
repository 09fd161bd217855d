"""A Project written as services.yaml: only what is not the default, in the order of the types.

`load(render(project))` is the project again, but for places; services of a Procfile are written with
the ports they were assigned.
"""

from __future__ import annotations

from typing import Any

from devrun.config.project import (
    OnForeign,
    PortSettings,
    Project,
    Ready,
    ReadyKind,
    Restart,
    RestartPolicy,
    Service,
    Stdin,
    Stop,
    SweepSettings,
)
from devrun.config.render import render_document


def render_project(project: Project) -> str:
    """Return the text of services.yaml for this project; env files are not written."""
    document: dict[str, Any] = {}
    if project.ports != PortSettings():
        document["ports"] = {"stride": project.ports.stride}
    sweep = _sweep(project.sweep)
    if sweep:
        document["sweep"] = sweep
    document["services"] = {name: _service(service, project.root) for name, service in project.services.items()}
    return render_document(document)


def _service(service: Service, root: str) -> dict[str, Any]:
    """Return the keys of one service that are not the default."""
    default = ReadyKind.PORT if service.port is not None else ReadyKind.STARTED
    entry = {
        "command": _command(service.command),
        "working_dir": _relative(service.working_dir, root),
        "port": service.port,
        "ports": dict(service.ports),
        "port_env": service.port_env,
        "fixed": service.fixed or None,
        "environment": dict(service.environment),
        "depends_on": {each.service: each.condition.value for each in service.depends_on},
        "ready": _ready(service.ready, default),
        **_restart(service.restart),
        "stop": _stop(service.stop),
        "match": service.match,
        "on_foreign": "stop" if service.on_foreign is OnForeign.STOP else None,
        "profiles": list(service.profiles),
        "essential": None if service.essential else False,
        "tty": service.tty or None,
    }
    kept = {key: value for key, value in entry.items() if value is not None and value not in ({}, [])}
    return kept if service.stdin is not Stdin.NULL else {**kept, "stdin": None}


def _command(command: str | tuple[str, ...]) -> str | list[str]:
    return command if isinstance(command, str) else list(command)


def _relative(path: str, root: str) -> str | None:
    if path == root:
        return None
    return path[len(root) + 1 :] if path.startswith(root + "/") else path


def _ready(ready: Ready, default: ReadyKind) -> str | dict[str, Any] | None:
    if ready == Ready(default):
        return None
    if ready.kind is ReadyKind.STARTED:
        return {"timeout": ready.timeout} if default is ReadyKind.STARTED else "started"
    target: Any = ready.target if isinstance(ready.target, str) else list(ready.target)
    if ready.kind is ReadyKind.PORT:
        target = target or True
    timeout = {} if ready.timeout == Ready().timeout else {"timeout": ready.timeout}
    return {ready.kind.value: target, **timeout}


def _restart(restart: Restart) -> dict[str, Any]:
    if restart.policy is RestartPolicy.NO:
        return {}
    default = Restart()
    return {
        "restart": restart.policy.value,
        "max_restarts": restart.max_restarts,
        "backoff": restart.backoff if restart.backoff != default.backoff else None,
        "max_backoff": restart.max_backoff if restart.max_backoff != default.max_backoff else None,
    }


def _stop(stop: Stop) -> dict[str, Any] | None:
    default = Stop()
    entry: dict[str, Any] = {}
    if stop.signal is not default.signal:
        entry["signal"] = stop.signal.name
    if stop.timeout != default.timeout:
        entry["timeout"] = stop.timeout
    return entry or None


def _sweep(sweep: SweepSettings) -> dict[str, Any]:
    default = SweepSettings()
    registries = []
    for each in sweep.registries:
        command = None if each.command is None else _command(each.command)
        live = {"url": each.url, "command": command, "file": each.file, "pids": each.pids}
        registry = {"name": each.name, "match": each.match, "grace": each.grace, "live": _kept(live)}
        registries.append(_kept({**registry, "allow_hosts": list(each.allow_hosts)}))
    suspects = [
        _kept(
            {
                "name": each.name,
                "match": each.match,
                "owner": list(each.owner),
                "runtime": each.runtime,
                "hops": each.hops,
            }
        )
        for each in sweep.suspects
    ]
    return _kept(
        {
            "runtimes": list(sweep.runtimes),
            "paths": list(sweep.paths),
            "registries": registries,
            "pidfiles": list(sweep.pidfiles),
            "suspects": suspects,
            "budget": sweep.budget if sweep.budget != default.budget else None,
        }
    )


def _kept(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if value is not None and value != []}

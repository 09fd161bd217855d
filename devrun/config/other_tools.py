"""Words of other launchers and of other YAMLs, and what they are called here: hints only."""

from __future__ import annotations

import re

from devrun.config.value import Value

_CONTAINERS = "devrun starts programs, not containers: write the program as `command`"
_KEYS: dict[str, dict[str, str]] = {
    "ServicesFile": {
        "processes": "`services`",
        "service": "`services`",
        "version": "leave it out, devrun needs no version",
        "name": "leave it out, the folder's name is used",
        "environment": "variables for all services go into `.env`, or under `x-…` with a YAML anchor",
        "env_files": "`env_file`",
        "dotenv": "`env_file`",
        "volumes": _CONTAINERS,
        "networks": _CONTAINERS,
        "stride": "`ports: {stride: …}`",
        "slot": "`ports: {slot: …}` in services.local.yaml",
    },
    "ServiceEntry": {
        **dict.fromkeys(("image", "build", "volumes", "networks", "container_name", "platform"), _CONTAINERS),
        **dict.fromkeys(("cmd", "run", "script", "exec", "entrypoint", "shell"), "`command`"),
        **dict.fromkeys(("cwd", "dir", "directory", "workdir", "root"), "`working_dir`"),
        **dict.fromkeys(("env", "environments", "envs"), "`environment`"),
        "env_file": "it stands at the top of the file, for all services",
        "stop_signal": "`stop: {signal: …}`",
        "stop_grace_period": "`stop: {timeout: …}`",
        "shutdown": "`stop: {signal: …, timeout: …}`",
        **dict.fromkeys(("healthcheck", "readiness_probe", "liveness_probe", "health"), "`ready: {http: …}`"),
        "ready_log_line": "`ready: {log: …}`",
        "availability": "`restart: on-failure`",
        **dict.fromkeys(("is_tty", "interactive"), "`tty`"),
        **dict.fromkeys(("stdin_open",), "leave it out, every service has a terminal as stdin"),
        **dict.fromkeys(("scale", "replicas", "instances", "deploy"), "`formation: web=2` with a Procfile"),
        "disabled": "`profiles: [manual]`: then it starts only when it is named",
        "expose": "`port`",
        "backoff_seconds": "`backoff`",
        "needs": "`depends_on`",
        "after": "`depends_on`",
    },
    "StopEntry": {"grace": "`timeout`", "timeout_seconds": "`timeout`", "stop_signal": "`signal`"},
    "ReadyEntry": {"url": "`http`", "path": "`http`", "test": "`command`", "regex": "`log`", "exec": "`command`"},
    "RestartEntry": {"restart": "`policy`", "backoff_seconds": "`backoff`", "max_retries": "`max_restarts`"},
    "DependencyEntry": {"restart": "only `condition` is known", "required": "only `condition` is known"},
}
_PAIR = re.compile(r"(?:[0-9.]+:)?([0-9]+):([0-9]+)(?:/tcp)?\Z")
_OCTAL = re.compile(r"0+([0-9]+)\Z")


def hint_for_key(owner: str, key: str) -> str | None:
    """Return what `key` is called here, when it is a word of another tool."""
    known = _KEYS.get(owner, {}).get(key)
    return known if known is None or not known.startswith("`") else f"here it is {known}"


def hint_for_value(label: str, value: Value, *, wants_text: bool) -> str | None:
    """Return what helps when a value has the wrong type."""
    key = label.rpartition(".")[2]
    if key == "port" or ".ports." in label:
        return _port_hint(value)
    if key == "ports":
        return "`port: 3000`, or named ports: `ports: {debug: 9229}`"
    if key == "environment" or ".environment" in label:
        return "`NAME: value`, or a list of `NAME=value`"
    if wants_text and isinstance(value.data, bool | int | float):
        return f'as text it is written in quotes: `"{value.text}"`'
    if isinstance(value.data, dict) and value.source and value.source.text[value.start : value.start + 1] == "{":
        return "put a text that begins with `{` in quotes"
    return None


def _port_hint(value: Value) -> str | None:
    pair = _PAIR.match(value.text)
    if pair:
        return f"no mapping of ports here: `{pair[1]}`"
    octal = _OCTAL.match(value.text)
    if octal:
        return f"a leading zero means octal in some YAML: `{octal[1]}`"
    if "$" in value.text:
        return "a port is a number; `port_env: NAME` takes it from a variable"
    return None

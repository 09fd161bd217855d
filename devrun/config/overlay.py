"""services.local.yaml over services.yaml: merged key by key, every value keeps its own file and place.

A mapping is merged into a mapping; anything else replaces.  A key without a value in the overlay
takes the key away, except `stdin: null`, which is a value.
"""

from __future__ import annotations

from collections.abc import Callable

from devrun.config.problems import Problems
from devrun.config.value import Value

_KEEPS_NULL = frozenset(("stdin",))
_PARTS = ("ready", "stop", "restart")


def tidy(root: Value, problems: Problems) -> Value:
    """Return the document in the one form that can be merged: no `x-*` keys, `environment` as a mapping."""
    top = _without_private(root)
    for section in ("ports", "sweep"):
        _replace(top, section, _without_private)
    services = top.get("services")
    if services is not None and isinstance(services.data, dict):
        data = {name: _tidy_service(value, problems) for name, value in services.items()}
        top = _with(top, "services", _copy(services, data))
    return top


def merge(base: Value, over: Value) -> Value:
    """Return `base` with what `over` says instead."""
    if not isinstance(base.data, dict) or not isinstance(over.data, dict):
        return over
    data = dict(base.data)
    merged = _copy(base, data)
    for key, value in over.data.items():
        if value.data is None and key in data and key not in _KEEPS_NULL:
            del data[key]
            continue
        data[key] = merge(data[key], value) if key in data else value
        if key not in base.data or not isinstance(value.data, dict):
            merged.keys[key] = over.key_place(key)
    return merged


def without_nothing(root: Value) -> Value:
    """Return the document without the keys that have no value, which count as not written."""
    top = _drop(root)
    services = top.get("services")
    if services is not None and isinstance(services.data, dict):
        top = _with(top, "services", _copy(services, {name: _drop(each, 2) for name, each in services.data.items()}))
    for section in ("ports", "sweep"):
        _replace(top, section, _drop)
    return top


def _drop(value: Value, depth: int = 1) -> Value:
    """Drop keys without a value, in this mapping and in those below (`environment`, `ready`, …)."""
    if not isinstance(value.data, dict):
        return value
    kept = {
        key: _drop(child, depth - 1) if depth > 1 else child
        for key, child in value.data.items()
        if child.data is not None or key in _KEEPS_NULL
    }
    return _copy(value, kept)


def _tidy_service(value: Value, problems: Problems) -> Value:
    service = _without_private(value)
    for part in _PARTS:
        _replace(service, part, _without_private)
    environment = service.get("environment")
    if environment is not None and isinstance(environment.data, list):
        service = _with(service, "environment", _as_mapping(environment, problems))
    return service


def _as_mapping(environment: Value, problems: Problems) -> Value:
    """Turn `[NAME=value, OTHER]` into a mapping; a name alone is passed on by the caller anyway."""
    assert isinstance(environment.data, list)  # noqa: S101 - the caller looked
    named: dict[str, Value] = {}
    mapping = _copy(environment, named)
    for item in environment.data:
        if isinstance(item.data, list | dict):
            hint = "a list has `NAME=value`; a mapping has no dashes"
            problems.add("`environment` as a list takes texts", item.place, hint=hint)
            continue
        name, equals, text = item.text.partition("=")
        if name in named:
            problems.add(f"duplicate variable `{name}`", item.place)
        data = text if equals else None
        named[name] = Value(item.place, data, text, item.plain, {}, 1, item.source, item.start, item.end)
        mapping.keys[name] = item.place
    return mapping


def _without_private(value: Value) -> Value:
    if not isinstance(value.data, dict):
        return value
    return _copy(value, {key: child for key, child in value.data.items() if not key.startswith("x-")})


def _copy(value: Value, data: dict[str, Value]) -> Value:
    return Value(value.place, data, "", value.plain, dict(value.keys), value.size, value.source, value.start, value.end)


def _with(value: Value, key: str, child: Value) -> Value:
    assert isinstance(value.data, dict)  # noqa: S101 - only called on mappings
    return _copy(value, {**value.data, key: child})


def _replace(value: Value, key: str, change: Callable[[Value], Value]) -> None:
    """Change one child in place; `value` is a copy of ours."""
    if isinstance(value.data, dict) and key in value.data:
        value.data[key] = change(value.data[key])

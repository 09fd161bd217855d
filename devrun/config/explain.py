"""Why a value does not have the type it should: every mistake at its own place.

msgspec decides whether a file is right, in one pass over the whole.  Only when it says no is this
asked: the same types are walked beside the values that remember their places, and each smallest
part that does not convert is one problem.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from devrun.config.other_tools import hint_for_key, hint_for_value
from devrun.config.problems import Problems, did_you_mean
from devrun.config.shape import RESTART, RESTARTS
from devrun.config.value import Value, unwrap

_PLAIN = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
_MAX_SHOWN = 60


def explain(value: Value, kind: Any, label: str, problems: Problems) -> None:
    """Add every reason why `value` is no `kind`; `label` is how the key is called in messages."""
    try:
        msgspec.convert(unwrap(value), kind)
    except msgspec.ValidationError as error:
        before = len(problems)
        _explain_parts(value, kind, label, problems)
        if len(problems) == before:
            wants_text = any(arm is str and not (meta and meta.title) for arm, meta in _arms(kind))
            hint = _closest(value, kind) or hint_for_value(label, value, wants_text=wants_text)
            problems.add(_mismatch(value, kind, label, str(error)), value.place, hint=hint)


def _explain_parts(value: Value, kind: Any, label: str, problems: Problems) -> None:
    arms = [arm for arm, _ in _arms(kind)]
    if isinstance(value.data, dict):
        struct = next((arm for arm in arms if _is_struct(arm)), None)
        if struct is not None:
            _explain_struct(value, struct, label, problems)
            return
        mapping = next((arm for arm in arms if get_origin(arm) is dict), None)
        if mapping is not None:
            for key, child in value.items():
                explain(child, get_args(mapping)[1], _join(label, key), problems)
    elif isinstance(value.data, list):
        sequence = next((arm for arm in arms if get_origin(arm) is list), None)
        if sequence is not None:
            for child in value.data:
                explain(child, get_args(sequence)[0], label, problems)


def _explain_struct(value: Value, struct: type[Struct], label: str, problems: Problems) -> None:
    fields = _fields(struct)
    for key, child in value.items():
        if key in fields:
            explain(child, fields[key], _join(label, key), problems)
        else:
            hint = hint_for_key(struct.__name__, key) or did_you_mean(key, fields) or f"known are {_listed(fields)}"
            problems.add(f"unknown key `{key}`{_inside(label)}", value.key_place(key), hint=hint)
    required = (each.name for each in msgspec.structs.fields(struct) if each.required)
    for key in required:
        if value.get(key) is None:
            problems.add(f"`{key}` is missing{_inside(label)}", value.place)


def _mismatch(value: Value, kind: Any, label: str, reason: str) -> str:
    if value.data == [] and any(get_origin(arm) is list for arm, _ in _arms(kind)):
        return f"`{label}` is empty"
    if value.data == "" and any(arm is str for arm, _ in _arms(kind)):
        return f"`{label}` is an empty text"
    words = list(dict.fromkeys(word for arm, meta in _arms(kind) for word in _words(arm, meta)))
    if "a number" in words:
        words = [word for word in words if word != "a whole number"]
    if not words:
        return f"`{label}`: {reason}"
    wanted = ", ".join(words[:-1]) + (" or " if words[1:] else "") + words[-1]
    return f"`{label}` takes {wanted}, found {_found(value)}"


def _closest(value: Value, kind: Any) -> str | None:
    """Return the word that was meant, where only some words are known."""
    if not isinstance(value.data, str):
        return None
    words = [each for arm, _ in _arms(kind) if get_origin(arm) is Literal for each in get_args(arm)]
    if any(meta is not None and meta.title == RESTART for _, meta in _arms(kind)):
        words += RESTARTS
    return did_you_mean(value.data, words) if words else None


def _words(arm: Any, meta: Meta | None) -> Iterator[str]:
    if meta is not None and meta.title:
        yield meta.title
    elif get_origin(arm) is Literal:
        yield from (f"`{each}`" for each in get_args(arm))
    elif get_origin(arm) is list:
        yield "a list"
    elif get_origin(arm) is dict or _is_struct(arm):
        yield "a mapping"
    elif arm is int and meta is not None and meta.ge is not None:
        yield f"a whole number from {meta.ge} to {meta.le}"
    elif arm in _PLAIN:
        yield _PLAIN[arm]


def _found(value: Value) -> str:
    data = value.data
    if isinstance(data, dict):
        return "a mapping"
    if isinstance(data, list):
        return "a list"
    if data is None:
        return "nothing"
    text = value.text if len(value.text) <= _MAX_SHOWN else value.text[:_MAX_SHOWN] + "…"
    kind = "the text " if isinstance(data, str) and not value.plain else ""
    return f"{kind}`{text}`"


def _arms(kind: Any, meta: Meta | None = None) -> Iterator[tuple[Any, Meta | None]]:
    """Yield the alternatives of a type, each with the constraint that stands nearest to it."""
    if get_origin(kind) is Annotated:
        inner, *metas = get_args(kind)
        yield from _arms(inner, next((each for each in metas if isinstance(each, Meta)), meta))
    elif get_origin(kind) in (Union, types.UnionType):
        titled = meta if meta is not None and meta.title else None
        for arm in get_args(kind):
            yield from _arms(arm, titled)
    else:
        yield kind, meta


@cache
def _fields(struct: type[Struct]) -> dict[str, Any]:
    return get_type_hints(struct, include_extras=True)


def _is_struct(arm: Any) -> bool:
    return isinstance(arm, type) and issubclass(arm, Struct)


def _join(label: str, key: str) -> str:
    return f"{label}.{key}" if label else key


def _inside(label: str) -> str:
    return f" in `{label}`" if label else ""


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"`{each}`" for each in words)

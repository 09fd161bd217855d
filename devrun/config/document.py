"""YAML text becomes a tree of values that remember their place.

The C parser's events are read one by one instead of its loader being called: so every value and
key keeps file, line and column, a duplicate key is an error, the depth is bounded before a hostile
file can exhaust the stack, and aliases are counted before they are expanded.
Each scalar keeps its source text, so `VERSION: 1.10` stays `1.10`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import yaml
from yaml import CSafeLoader

from devrun.config.files import Source
from devrun.config.project import Place
from devrun.config.scalars import resolve
from devrun.config.value import Value
from devrun.errors import ConfigError

MAX_DEPTH = 32  # the deepest key of services.yaml is at 6; deeper is a mistake or an attack
MAX_VALUES = 100_000  # after aliases are expanded; the largest real file seen has under 2 000

_PRINTABLE = "\t\n\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff"  # YAML 1.2, 5.1
_PLAIN_TAGS = frozenset((None, "!", "tag:yaml.org,2002:str"))
_MERGE = "<<"


def read_document(source: Source) -> Value:
    """Parse YAML; raise ConfigError with its place for anything that is not one mapping."""
    builder = _Builder(source)
    try:
        root = builder.build(yaml.parse(source.text, Loader=CSafeLoader))
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(source, error) from error
    except yaml.YAMLError as error:
        raise _character_error(source, error) from error
    if root is None or (root.data is None and not root.text):
        return Value(Place(source.path, 1), {}, source=source)
    if not isinstance(root.data, dict):
        raise ConfigError("the file must be a mapping with the key `services`", where=str(root.place))
    return root


def _syntax_error(source: Source, error: yaml.MarkedYAMLError) -> ConfigError:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    lines = source.text.split("\n")
    if line > len(lines):
        line, column = len(lines), len(lines[-1]) + 1
    hint = None
    text = lines[line - 1]
    if "\t" in text[: len(text) - len(text.lstrip())] or text[column - 1 : column] == "\t":
        hint = "YAML indents with blanks, not with tabs"
    elif "mapping values are not allowed" in (error.problem or ""):
        hint = "put a text that contains `: ` in quotes, or check the indentation"
    elif text[column - 1 : column] in ("@", "`", "%", "*", "&", "!", "|", ">"):
        hint = f"put a text that begins with `{text[column - 1]}` in quotes"
    context = f"{error.context}, " if error.context else ""
    return ConfigError(f"not YAML: {context}{error.problem}", where=f"{source.path}:{line}:{column}", hint=hint)


def _character_error(source: Source, error: yaml.YAMLError) -> ConfigError:
    # Compiled here: the class of all printable characters costs 3 ms, which every start would pay.
    bad = re.search(f"[^{_PRINTABLE}]", source.text)
    if bad is None:
        return ConfigError(f"not YAML: {error}", where=f"{source.path}:1:1")
    where = str(source.place(bad.start()))
    return ConfigError(f"the control character U+{ord(bad[0]):04X} has no place in YAML", where=where)


class _Open:
    """A collection whose end has not been seen."""

    __slots__ = ("anchor", "key", "merges", "value")

    def __init__(self, value: Value, anchor: str | None) -> None:
        self.value = value
        self.anchor = anchor
        self.key: tuple[str, Place] | None = None
        self.merges: list[Value] = []


class _Builder:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._anchors: dict[str, Value | None] = {}
        self._stack: list[_Open] = []
        self._root: Value | None = None
        self._documents = 0

    def build(self, events: Iterable[Any]) -> Value | None:
        for event in events:
            if isinstance(event, yaml.ScalarEvent):
                self._scalar(event)
            elif isinstance(event, yaml.CollectionStartEvent):
                self._open(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._close(event)
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event)
            elif isinstance(event, yaml.DocumentStartEvent):
                self._documents += 1
                if self._documents > 1:
                    raise self._error(event, "a second document (`---`) in one file")
        return self._root

    def _place(self, event: Any) -> Place:
        return Place(self._source.path, event.start_mark.line + 1, event.start_mark.column + 1)

    def _error(self, event: Any, message: str, hint: str | None = None) -> ConfigError:
        return ConfigError(message, where=str(self._place(event)), hint=hint)

    def _value(self, event: Any, data: Any, text: str = "", *, plain: bool = False) -> Value:
        start, end = event.start_mark.index, event.end_mark.index
        return Value(self._place(event), data, text, plain, {}, 1, self._source, start, end)

    def _scalar(self, event: Any) -> None:
        if event.tag not in _PLAIN_TAGS:
            raise self._error(event, f"the YAML tag `{event.tag}` is not understood", "leave the tag out")
        if "\0" in event.value:
            raise self._error(event, "a text with a NUL character cannot be given to a program")
        plain = event.implicit[0]
        data = resolve(event.value) if plain else event.value
        self._add(self._value(event, data, event.value, plain=plain), event.anchor, event)

    def _open(self, event: Any) -> None:
        if event.tag not in (None, "!"):
            raise self._error(event, f"the YAML tag `{event.tag}` is not understood", "leave the tag out")
        if len(self._stack) >= MAX_DEPTH:
            raise self._error(event, f"nested deeper than {MAX_DEPTH} levels")
        top = self._stack[-1] if self._stack else None
        if top is not None and isinstance(top.value.data, dict) and top.key is None:
            raise self._error(event, "a key must be text, not a list or a mapping", _template_hint(self._source, event))
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        self._stack.append(_Open(self._value(event, {} if is_mapping else []), event.anchor))
        if event.anchor is not None:
            self._anchors[event.anchor] = None

    def _close(self, event: Any) -> None:
        done = self._stack.pop()
        done.value.end = event.end_mark.index
        for merged in done.merges:
            self._merge(done.value, merged)
        self._add(done.value, done.anchor, event)

    def _alias(self, event: Any) -> None:
        if event.anchor not in self._anchors:
            hint = f"put a text that begins with `*` in quotes, or define `&{event.anchor}` above"
            raise self._error(event, f"the alias `*{event.anchor}` refers to nothing", hint)
        target = self._anchors[event.anchor]
        if target is None:
            raise self._error(event, f"the alias `*{event.anchor}` contains itself")
        self._add(target, None, event)

    def _add(self, value: Value, anchor: str | None, event: Any) -> None:
        if anchor is not None:
            self._anchors[anchor] = value
        if not self._stack:
            self._root = value
            return
        top = self._stack[-1]
        data = top.value.data
        if isinstance(data, list):
            data.append(value)
        elif top.key is None:
            top.key = self._key(top, value, event)
            return
        else:
            self._pair(top, value)
        top.value.size += value.size
        if top.value.size > MAX_VALUES:
            raise self._error(event, f"more than {MAX_VALUES} values once the aliases are expanded")

    def _key(self, top: _Open, value: Value, event: Any) -> tuple[str, Place]:
        place = self._place(event)
        if isinstance(value.data, list | dict):
            raise self._error(event, "a key must be text, not a list or a mapping")
        if value.plain and not value.text:
            raise self._error(event, "a key is missing before `:`")
        if value.text in top.value.keys and not (value.plain and value.text == _MERGE):
            first = top.value.keys[value.text]
            hint = f"the first one is at line {first.line}"
            raise ConfigError(f"duplicate key `{value.text}`", where=str(place), hint=hint)
        top.value.keys[value.text] = place
        return value.text + ("\0" if value.plain and value.text == _MERGE else ""), place

    def _pair(self, top: _Open, value: Value) -> None:
        assert top.key is not None  # noqa: S101 - `_add` takes the key first
        key, place = top.key
        top.key = None
        if key != _MERGE + "\0":
            assert isinstance(top.value.data, dict)  # noqa: S101
            top.value.data[key] = value
            return
        top.value.keys.pop(_MERGE, None)
        merged = value.data if isinstance(value.data, list) else [value]
        for each in merged:
            if not isinstance(each.data, dict):
                raise ConfigError("`<<` merges mappings only", where=str(place))
            top.merges.append(each)

    def _merge(self, into: Value, merged: Value) -> None:
        assert isinstance(into.data, dict)  # noqa: S101 - `_pair` looked
        into.size += merged.size
        if into.size > MAX_VALUES:
            raise ConfigError(f"more than {MAX_VALUES} values once the aliases are expanded", where=str(into.place))
        for key, value in merged.items():
            if key not in into.data:
                into.data[key] = value
                into.keys[key] = merged.key_place(key)


def _template_hint(source: Source, event: Any) -> str | None:
    at = event.start_mark.index
    return "put a text that begins with `{` in quotes" if source.text[at : at + 1] == "{" else None

"""The grammar of templates: a text becomes literals and references.

A dotted name is always a template.  Of the bare names `${PORT}` and `${offset}` are templates; any
other `${` belongs to the shell in a text command (`${HOME}`, `${VAR:-x}`, `${#x}` pass untouched)
and is an error in a list and in a value, where no shell would ever read it.  `$${` is a literal
`${`.  Only `${env.NAME}` and `${PORT}` take a default, `:-`, which may contain templates.

The shell's own `${HOST-127.0.0.1}` has a dot, too: in a text command what follows a plain variable
name and a `-` is the shell's, unless the whole ends in `.port` or `.url`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

PORT, OFFSET = "PORT", "offset"

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHELL_DEFAULT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*-")
_LITERAL_HINT = "`$${` is a literal `${`"


class Reference(Struct, frozen=True):
    """A template in a text: its dotted name, its default, and how it is written."""

    name: str
    default: Template | None
    written: str


Template = tuple[str | Reference, ...]


class TemplateError(Exception):
    """A template that makes no sense; `written` is the part of the text at fault."""

    def __init__(self, message: str, hint: str | None, written: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.written = written


def references(text: str, *, in_shell: bool) -> Iterator[Reference]:
    """Yield the templates of a text, those inside defaults included; raise TemplateError for a broken one."""
    yield from _all_references(parse(text, in_shell=in_shell))


def parse(text: str, *, in_shell: bool) -> Template:
    """Split a text into literals and references; `in_shell` says whether a shell reads `${` in it."""
    parts, end = _parse(text, 0, in_shell=in_shell, nested=False)
    assert end == len(text)  # noqa: S101 - only a nested parse stops early
    return parts


def _parse(text: str, at: int, *, in_shell: bool, nested: bool) -> tuple[Template, int]:
    parts: list[str | Reference] = []
    depth = 0
    literal = at
    while at < len(text):
        if text.startswith("$${", at):
            parts.append(text[literal:at] + "${")
            at = literal = at + 3
            depth += nested
        elif text.startswith("${", at):
            found = _reference(text, at, in_shell=in_shell)
            if found is None:
                at += 2
                depth += nested
                continue
            parts.extend((text[literal:at], found[0]))
            at = literal = found[1]
        elif nested and text[at] == "}":
            if depth == 0:
                break
            depth -= 1
            at += 1
        else:
            at += 1
    parts.append(text[literal:at])
    return tuple(part for part in parts if part), at


def _reference(text: str, at: int, *, in_shell: bool) -> tuple[Reference, int] | None:
    """Read the template at `at`; None when the shell is to read it."""
    match = _NAME.match(text, at + 2)
    name = match[0] if match else ""
    if "." not in name or (in_shell and _is_shell_default(name)):
        bare = _BARE.match(text, at + 2)
        name = bare[0] if bare else ""
        after = at + 2 + len(name)
        if name not in (PORT, OFFSET) or (in_shell and text[after : after + 1] != "}"):
            if in_shell:
                return None
            raise _not_a_template(text, at, name)
    after = at + 2 + len(name)
    if text[after : after + 1] == "}":
        return Reference(name, None, text[at : after + 1]), after + 1
    written = _written(text, at)
    if not text.startswith(":-", after):
        hint = "only `:-default` may follow a name" if "}" in written else f"`{written}}}`"
        message = f"`{written}` is no template" if "}" in written else f"`{written}` is not closed"
        raise TemplateError(message, hint, written)
    if name != PORT and not name.startswith("env."):
        raise TemplateError(f"`{written}`: only `${{env.NAME}}` can have a default", f"`${{{name}}}`", written)
    default, end = _parse(text, after + 2, in_shell=in_shell, nested=True)
    if end >= len(text):
        raise TemplateError(f"`{written}` is not closed", f"`{written}}}`", written)
    return Reference(name, default, text[at : end + 1]), end + 1


def _is_shell_default(name: str) -> bool:
    return _SHELL_DEFAULT.match(name) is not None and not name.endswith((".port", ".url"))


def _written(text: str, at: int) -> str:
    end = text.find("}", at)
    return text[at : end + 1] if end >= 0 else text[at:].split("\n", 1)[0][:60]


def _not_a_template(text: str, at: int, name: str) -> TemplateError:
    written = _written(text, at)
    if not name:
        return TemplateError(f"`{written}` is no template", _LITERAL_HINT, written)
    rest = text[at + 2 + len(name) :]
    body = written[2 + len(name) :].removesuffix("}")
    if rest[:1] == "}" or rest.startswith(":-"):
        hint = f"`${{env.{name}{body}}}`, or `$${{` for a literal `${{`"
        return TemplateError(f"no shell reads `{written}` here", hint, written)
    return TemplateError(f"no shell reads `{written}` here", f"`${{env.{name}}}`; {_LITERAL_HINT}", written)


def _all_references(template: Template) -> Iterator[Reference]:
    for part in template:
        if isinstance(part, Reference):
            yield part
            yield from _all_references(part.default or ())

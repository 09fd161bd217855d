"""What `devrun` commands and a run's supervisor say to each other over its control socket.

One request line, one answer line, both JSON objects with a `devrun` number: the version of this
protocol.  A field that is not known is ignored, a verb that is not known is refused with a message,
so that a client and a run of different versions tell each other apart instead of guessing.

Two verbs keep their connection.  After the answer to `attach` it carries raw bytes: keys in, output
out.  After the answer to `hold` it is a claim: the services named are needed for as long as it
stands, and those in `borrowed` are stopped when nobody claims them any more.  Whoever held it and
shut down its writing side gets a second answer when that is done.

Everything here is a value; nothing is read or written.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TypeVar

import msgspec
from msgspec import Struct

from devrun.config.project import Service
from devrun.errors import DevrunError
from devrun.model import PortSet
from devrun.report.visible import printable

VERSION = 1
LONGEST_LINE = 4 * 1024 * 1024
"""Bytes of a request.  `add` carries environments; anything longer is garbage and is hung up on."""

STATUS, WAIT, STOP, START, RESTART, ADD, DOWN, ATTACH, RESIZE, HOLD, KEEP = (
    "status",
    "wait",
    "stop",
    "start",
    "restart",
    "add",
    "down",
    "attach",
    "resize",
    "hold",
    "keep",
)


class Ask(Struct, frozen=True):
    """A request.

    `services`, `environments` and `ports` come with `add`, where `raw` has the variables that are no
    UTF-8; `size` (rows, columns) comes with `attach` and `resize`, `borrowed` with `hold`, `by` (what
    people called, for the run's last words) with `down`.  Who asks to `add` and does not wait is
    answered when the services are taken in, others when each is ready
    or has failed.
    """

    verb: str
    devrun: int = VERSION
    names: tuple[str, ...] = ()
    services: tuple[Service, ...] = ()
    environments: Mapping[str, Mapping[str, str]] = {}
    raw: Mapping[str, tuple[tuple[bytes, bytes], ...]] = {}
    ports: PortSet | None = None
    size: tuple[int, int] | None = None
    borrowed: tuple[str, ...] = ()
    waits: bool = True
    by: str = "down"

    @property
    def is_answered_at_once(self) -> bool:
        """Whether the answer does not wait for any service."""
        return self.verb in {STATUS, KEEP, RESIZE, ATTACH, HOLD} or (self.verb == ADD and not self.waits)


class ServiceStatus(Struct, frozen=True):
    """One service as the supervisor sees it.

    `missed`: it ended well before it was ready, which it should have become.  `since` is when it was
    started last (wall clock).  `ports` are those it was started with, by name (`""` is its own).
    """

    name: str
    state: str
    ready: bool = False
    restarts: int = 0
    anchor: int | None = None
    exit_code: int | None = None
    detail: str = ""
    since: float | None = None
    prompt: bool = False
    missed: bool = False
    ports: Mapping[str, int] | None = None

    def ports_beside(self, leased: PortSet) -> Mapping[str, int]:
        """Return the ports it runs with: those of the lease follow the configuration, a live service does not."""
        return leased.ports.get(self.name, {}) if self.ports is None else self.ports

    @property
    def is_lost(self) -> bool:
        """Whether it is not there although it should be."""
        return self.state == "failed" or self.missed

    @property
    def loss(self) -> str:
        """Why it is not there, in words."""
        return self.detail or f"`{self.name}` failed"


class Answer(Struct, frozen=True):
    """A reply.  `error` says why nothing was done; `outcomes` what happened to each name.

    `grace` is the longest that any service may take to end, in seconds.
    """

    devrun: int = VERSION
    version: str = ""
    error: str | None = None
    hint: str | None = None
    code: int = 0
    services: tuple[ServiceStatus, ...] = ()
    outcomes: Mapping[str, str] = {}
    stopping: bool = False
    grace: float = 0.0


class VersionError(DevrunError):
    """The run and this devrun do not understand each other."""


def encode(message: Ask | Answer) -> bytes:
    """Return a message as one line.

    An answer may quote a folder whose name is no UTF-8: other bytes become U+FFFD.  Raises DevrunError for a
    question of that kind: what is asked must arrive as it is.
    """
    try:
        return msgspec.json.encode(message) + b"\n"
    except UnicodeEncodeError as error:
        if isinstance(message, Ask):
            text = printable(error.object)
            raise DevrunError(
                f"`{text}` is not UTF-8, a live run cannot be told", hint="`devrun down` first"
            ) from error
        return msgspec.json.encode(printable(msgspec.to_builtins(message))) + b"\n"


def split_environments(
    environments: Mapping[str, Mapping[str, str]],
) -> tuple[dict[str, dict[str, str]], dict[str, tuple[tuple[bytes, bytes], ...]]]:
    """Return what JSON can carry of the environments, by service, and the rest as the bytes it is."""
    texts: dict[str, dict[str, str]] = {}
    raw: dict[str, tuple[tuple[bytes, bytes], ...]] = {}
    for service, environment in environments.items():
        strange = {key for key, value in environment.items() if not _is_text(f"{key}{value}")}
        texts[service] = {key: value for key, value in environment.items() if key not in strange}
        if strange:
            raw[service] = tuple((os.fsencode(key), os.fsencode(environment[key])) for key in sorted(strange))
    return texts, raw


def joined_environments(ask: Ask) -> dict[str, dict[str, str]]:
    """Return the environments of a question as they were before they were split."""
    return {
        service: {**texts, **{os.fsdecode(key): os.fsdecode(value) for key, value in ask.raw.get(service, ())}}
        for service, texts in ask.environments.items()
    }


def _is_text(words: str) -> bool:
    try:
        words.encode()
    except UnicodeEncodeError:
        return False
    return True


def decode_ask(line: bytes) -> Ask:
    """Read a request.  Raises VersionError with a message for the other side when it is not one."""
    return _decode(line, Ask, _ASK)


def decode_answer(line: bytes) -> Answer:
    """Read an answer.  Raises VersionError when the run speaks another version."""
    return _decode(line, Answer, _ANSWER)


_ASK = msgspec.json.Decoder(Ask)
_ANSWER = msgspec.json.Decoder(Answer)


def _decode(line: bytes, kind: type[_Message], decoder: msgspec.json.Decoder[_Message]) -> _Message:
    try:
        spoken = msgspec.json.decode(line, type=_Versioned).devrun
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise VersionError(f"not a message of devrun: {error}") from error
    if spoken != VERSION:
        raise VersionError(
            f"the run speaks version {spoken} of the control protocol, this devrun {VERSION}",
            hint="`devrun down`, then `devrun up`",
        )
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise VersionError(f"not an {kind.__name__.lower()} of devrun: {error}") from error


_Message = TypeVar("_Message", Ask, Answer)


class _Versioned(Struct):
    devrun: int

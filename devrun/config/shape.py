"""What services.yaml may say: the types of its keys.  The JSON schema is generated from these.

These are the forms people write (a text or a list, a number or `1m30s`); `config.build` turns them
into the one form of `config.project`.  A key is a field here and a line there.  `x-*` keys are
taken out before; a key without a value counts as not written, except `stdin: null`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

_END = r"(?!\n)$"
"""Python's `$` takes a line end after the text, too; in the JSON schema, which has no `\\Z`, this is the same as `$`."""
_PORT, _SECONDS = "a port from 1 to 65535", "a number of seconds, or a text such as `1m30s`"
Port = (
    Annotated[int, Meta(ge=1, le=65535, title=_PORT)]
    | Annotated[str, Meta(pattern=f"^[1-9][0-9]{{0,4}}{_END}", title=_PORT)]
)
Seconds = (
    Annotated[float, Meta(ge=0, le=86400, title=_SECONDS)]
    | Annotated[str, Meta(pattern=rf"^([0-9]{{1,6}}(\.[0-9]{{1,6}})?(ms|s|m|h))+{_END}", title=_SECONDS)]
)
Text = Annotated[str, Meta(min_length=1)]
Word = str | int | float
Command = Annotated[
    Text | Annotated[list[Word], Meta(min_length=1)], Meta(description="Text runs in `sh -c`, a list is executed.")
]
Whether = bool | Literal["yes", "no", "on", "off"]
Names = Text | list[Text]
Variables = dict[str, Word | bool | None] | list[Text]


class _Entry(Struct, forbid_unknown_fields=True, frozen=True):
    """A mapping of which every key is known."""


class EnvFile(_Entry, frozen=True):
    """A file of variables that need not exist."""

    path: Text
    required: Whether = True


class PortsEntry(_Entry, frozen=True):
    """How ports are told apart between worktrees."""

    stride: Annotated[
        Annotated[int, Meta(ge=1, le=1000)], Meta(description="Ports between two slots: offset = slot × stride.")
    ] = 10
    slot: (
        Annotated[
            Annotated[int, Meta(ge=0, le=65535)],
            Meta(description="Pin this worktree's slot; only in services.local.yaml."),
        ]
        | None
    ) = None


class ReadyEntry(_Entry, frozen=True):
    """When a service counts as ready: one of port, http, log, command."""

    port: Annotated[
        bool | int | str | None, Meta(description="true, one of the service's ports, or a named port's name.")
    ] = None
    http: Annotated[str | None, Meta(description="A path on the service's port, or a URL; 2xx and 3xx are ready.")] = (
        None
    )
    log: Annotated[str | None, Meta(description="A regular expression searched in the output.")] = None
    command: Annotated[Command | None, Meta(description="Ready when it exits 0.")] = None
    timeout: Annotated[Seconds | None, Meta(description="Default 60 seconds.")] = None


class StopEntry(_Entry, frozen=True):
    """How a service is asked to end, and how long it may take before SIGKILL."""

    signal: Annotated[Text | int | None, Meta(description="Default SIGTERM.")] = None
    timeout: Annotated[Seconds | None, Meta(description="Default 5 seconds.")] = None


class RestartEntry(_Entry, frozen=True):
    """The long form of `restart`."""

    policy: Annotated[
        Literal["no", "on-failure", "on_failure", "always", "unless-stopped"] | bool, Meta(description="As `restart`.")
    ]
    max_restarts: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    backoff: Seconds | None = None
    max_backoff: Seconds | None = None


RESTART = "`no`, `on-failure`, `on-failure:3` or `always`"
RESTARTS = ("no", "on-failure", "always", "unless-stopped")
RestartWord = Annotated[
    str,
    Meta(
        title=RESTART,
        pattern=f"^(no|always|unless-stopped|on-failure(:[0-9]{{1,6}})?|on_failure){_END}",
        description="`no` (default), `on-failure`, `on-failure:3`, `always`.",
    ),
]
ConditionWord = Annotated[
    Literal[
        "started",
        "ready",
        "completed",
        "service_started",
        "service_healthy",
        "service_completed_successfully",
        "process_started",
        "process_healthy",
        "process_log_ready",
        "process_completed_successfully",
    ],
    Meta(title="`started`, `ready` or `completed`", description="compose's and process-compose's own words, too."),
]


class DependencyEntry(_Entry, frozen=True):
    """compose's and process-compose's long form of a dependency."""

    condition: ConditionWord


class ServiceEntry(_Entry, frozen=True):
    """A service: a command, its ports, what it waits for, how it is stopped."""

    command: Command | None = None
    working_dir: Annotated[Text | None, Meta(description="Inside the worktree, relative to this file.")] = None
    port: Annotated[Port | None, Meta(description="The port in the main checkout; given to the service as PORT.")] = (
        None
    )
    ports: Annotated[dict[str, Port] | None, Meta(description="Further named ports.")] = None
    port_env: Annotated[
        Annotated[str, Meta(pattern=f"^[A-Za-z_][A-Za-z0-9_]*{_END}", title="the name of a variable")] | None,
        Meta(description="A variable the port may come from, and in which the service receives it."),
    ] = None
    fixed: Annotated[Whether | None, Meta(description="No offset: one holder on the machine.")] = None
    environment: Annotated[Variables | None, Meta(description="A mapping, or a list of NAME=value.")] = None
    depends_on: Annotated[
        Names | dict[str, ConditionWord | DependencyEntry] | None,
        Meta(description="Names (each must be ready), or a mapping to started, ready or completed."),
    ] = None
    ready: Annotated[Literal["port", "started"] | ReadyEntry | None, Meta(description="Default: its port.")] = None
    restart: Annotated[RestartWord | bool | RestartEntry | None, Meta(description="Default no.")] = None
    max_restarts: Annotated[
        Annotated[int, Meta(ge=0, le=1_000_000)] | None, Meta(description="2 = the first start and 2 more.")
    ] = None
    backoff: Annotated[Seconds | None, Meta(description="The wait before the first restart; doubled each time.")] = None
    max_backoff: Annotated[Seconds | None, Meta(description="The longest wait between restarts.")] = None
    stop: StopEntry | None = None
    match: Annotated[Text | None, Meta(description="Part of the command line by which a stale copy is recognised.")] = (
        None
    )
    on_foreign: Annotated[
        Literal["refuse", "stop"] | None, Meta(description="When a stranger holds the port: refuse (default) or stop.")
    ] = None
    profiles: Annotated[Names | None, Meta(description="Started only when named or with --profile.")] = None
    essential: Annotated[Whether | None, Meta(description="false: the run goes on when this service ends.")] = None
    tty: Annotated[Whether | None, Meta(description="true: output goes through a terminal, too.")] = None
    stdin: Annotated[Literal["null", "tether"] | UnsetType | None, Meta(description="null: /dev/null as stdin.")] = (
        UNSET
    )


class LiveEntry(_Entry, frozen=True):
    """Where a registry lists its live pids: exactly one of url, command, file."""

    pids: Annotated[Text, Meta(description="A JMESPath to the pids in the answer.")]
    url: Text | None = None
    command: Command | None = None
    file: Text | None = None


class RegistryEntry(_Entry, frozen=True):
    """An authority that lists the live processes of its kind."""

    name: Text
    match: Text
    live: LiveEntry
    grace: Seconds | None = None
    allow_hosts: Names | None = None


class SuspectEntry(_Entry, frozen=True):
    """A kind of process that is reported when it has no live owner."""

    name: Text
    match: Text
    owner: Names
    runtime: Text | None = None
    hops: Annotated[int, Meta(ge=1, le=64)] | None = None


class SweepEntry(_Entry, frozen=True):
    """What is added to the sweep."""

    runtimes: Names | None = None
    paths: Names | None = None
    registries: list[RegistryEntry] | None = None
    pidfiles: Names | None = None
    suspects: list[SuspectEntry] | None = None
    budget: Seconds | None = None


class ServicesFile(_Entry, frozen=True):
    """The whole of services.yaml."""

    services: dict[str, ServiceEntry | None] | None = None
    ports: PortsEntry | None = None
    env_file: Annotated[
        Text | EnvFile | list[Text | EnvFile] | None, Meta(description="Default: `.env` when it exists; [] reads none.")
    ] = None
    procfile: Annotated[Text | None, Meta(description="A Procfile whose lines become services.")] = None
    formation: Annotated[
        str | dict[str, Annotated[int, Meta(ge=0, le=1000)]] | None,
        Meta(description="How many of each Procfile line, such as `web=2`."),
    ] = None
    sweep: SweepEntry | None = None

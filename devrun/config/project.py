"""The typed Project: what services.yaml, a Procfile and the overlays mean once they are read.

Values only.  Whoever reads a file makes these; whoever runs a service takes them.  Paths are
absolute.  Times are seconds.  Templates (`${api.port}`) are still in the texts: they are expanded
by `config.templates` once the ports are known.
"""

from __future__ import annotations

import enum
import signal
from collections.abc import Mapping

import msgspec
from msgspec import Struct


class Place(Struct, frozen=True):
    """Where in a file something was said; shown as `path:line:column`."""

    path: str
    line: int
    column: int = 1

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


class Condition(enum.Enum):
    """What a service waits for in a service it depends on."""

    STARTED = "started"
    READY = "ready"
    COMPLETED = "completed"


class Dependency(Struct, frozen=True):
    """A service that must have got somewhere first."""

    service: str
    condition: Condition = Condition.READY


class ReadyKind(enum.Enum):
    """How readiness is told.  STARTED: ready as soon as it runs (no port, or a Procfile's port)."""

    STARTED = "started"
    PORT = "port"
    HTTP = "http"
    LOG = "log"
    COMMAND = "command"


class Ready(Struct, frozen=True):
    """`target` is the path or URL, the regular expression, or the command (text or list).

    Of PORT it is the name of the port that is awaited, "" for the service's own; once the templates
    are filled in, its number.
    """

    kind: ReadyKind = ReadyKind.STARTED
    target: str | tuple[str, ...] = ""
    timeout: float = 60.0


class RestartPolicy(enum.Enum):
    """When a service whose main process ended is started again."""

    NO = "no"
    ON_FAILURE = "on-failure"
    ALWAYS = "always"


class Restart(Struct, frozen=True):
    """`max_restarts` None means the policy's default cap; 2 means first start + 2.

    The wait before restart n is `backoff * 2**(n-1)`, at most `max_backoff`.
    """

    policy: RestartPolicy = RestartPolicy.NO
    max_restarts: int | None = None
    backoff: float = 0.5
    max_backoff: float = 30.0


class Stop(Struct, frozen=True):
    """How a service is asked to end, and the grace before SIGKILL."""

    signal: signal.Signals = signal.SIGTERM
    timeout: float = 5.0


class Stdin(enum.Enum):
    """TETHER: the service's own pty.  NULL: /dev/null."""

    TETHER = "tether"
    NULL = "null"


class OnForeign(enum.Enum):
    """What the guard does when a stranger holds the port."""

    REFUSE = "refuse"
    STOP = "stop"


class Service(Struct, frozen=True):
    """One entry of services.yaml.  `port` and `ports` are bases, before the offset.

    `ports` are further named ports.  `port_promised` is False for a Procfile's assigned port: such
    a service need not listen there.  `command` as text is for `sh -c`, as a tuple for exec.
    `completes`: some service of the project, started or not, awaits it as `completed`.
    """

    name: str
    command: str | tuple[str, ...]
    working_dir: str
    port: int | None = None
    ports: Mapping[str, int] = {}
    port_env: str | None = None
    port_promised: bool = True
    fixed: bool = False
    environment: Mapping[str, str] = {}
    depends_on: tuple[Dependency, ...] = ()
    ready: Ready = Ready()
    restart: Restart = Restart()
    stop: Stop = Stop()
    match: str | None = None
    on_foreign: OnForeign = OnForeign.REFUSE
    profiles: tuple[str, ...] = ()
    essential: bool = True
    completes: bool = False
    tty: bool = False
    stdin: Stdin = Stdin.TETHER
    place: Place | None = None


class PortSettings(Struct, frozen=True):
    """`slot` is the pin of services.local.yaml."""

    stride: int = 10
    slot: int | None = None


class Registry(Struct, frozen=True):
    """An authority that lists the live pids of its kind; exactly one of url, command, file.

    `pids` is a JMESPath, and `place` where it is written.
    """

    name: str
    match: str
    pids: str
    url: str | None = None
    command: str | tuple[str, ...] | None = None
    file: str | None = None
    grace: float = 60.0
    allow_hosts: tuple[str, ...] = ()
    place: Place | None = None


class Suspect(Struct, frozen=True):
    """A kind of process that is reported, never stopped, when no owner is within `hops` ancestors."""

    name: str
    match: str
    owner: tuple[str, ...]
    runtime: str | None = None
    hops: int = 8


class SweepSettings(Struct, frozen=True):
    """What the configuration adds to the sweep.  `budget` is the time for deciding.

    `matches` are those of the services, which `Project.to_sweep` puts in.
    """

    runtimes: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    registries: tuple[Registry, ...] = ()
    pidfiles: tuple[str, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    matches: tuple[str, ...] = ()
    budget: float = 2.0


class Project(Struct, frozen=True):
    """Everything one worktree's configuration says.

    `root` is the folder of the configuration file.  `env_files` are the variables read from
    `env_file` (later files win), before devrun's ports and each service's `environment`;
    `env_places` is where each of them stands.
    """

    root: str
    file: str
    services: Mapping[str, Service]
    ports: PortSettings = PortSettings()
    env_files: Mapping[str, str] = {}
    env_places: Mapping[str, Place] = {}
    sweep: SweepSettings = SweepSettings()

    @property
    def to_sweep(self) -> SweepSettings:
        """What a sweep has to know: the settings, and the `match` of every service."""
        matches = tuple(dict.fromkeys(each.match for each in self.services.values() if each.match))
        return msgspec.structs.replace(self.sweep, matches=matches)

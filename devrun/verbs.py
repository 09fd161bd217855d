"""The table of verbs: name, module, effect, help, arguments.

A verb is a row here and a file `commands/<module>.py` with `run(output, *, …) -> int`, one keyword
per argument.  `effect` says what the verb may do to the machine: `read` changes nothing, `write`
changes devrun's state or starts services, `destructive` may stop processes or remove files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

READ, WRITE, DESTRUCTIVE = "read", "write", "destructive"


class Argument(NamedTuple):
    """What `argparse.add_argument` takes."""

    flags: tuple[str, ...]
    options: Mapping[str, Any]


class Verb(NamedTuple):
    """One row.  `help` is 3–6 words; `description` numbered steps and what it never does."""

    name: str
    module: str
    effect: str
    help: str
    description: str
    examples: tuple[str, ...]
    arguments: tuple[Argument, ...]


def _argument(*flags: str, **options: Any) -> Argument:
    return Argument(flags, options)


JSON = _argument("--json", action="store_true", help="print one JSON object on stdout")
FILE = _argument("-f", "--file", metavar="FILE", help="services.yaml or Procfile to read (default: found upwards)")
WHERE = _argument("--file", metavar="FILE", help="the services.yaml or Procfile whose worktree is meant")
NAMED = _argument("services", nargs="+", metavar="SERVICE", help="which services")
COMMAND = _argument("command", nargs="...", metavar="-- CMD", help="the command to run")
SERVICES = _argument("services", nargs="*", metavar="SERVICE", help="which services (default: all)")
DRY_RUN = _argument("-n", "--dry-run", action="store_true", help="print the plan that would be executed, do nothing")
START = (
    SERVICES,
    FILE,
    _argument("--formation", metavar="NAME=N,…", help="how many of each Procfile line to start"),
    _argument("--profile", action="append", default=[], metavar="P", help="start services of this profile too"),
    _argument("-d", "--detach", action="store_true", help="leave the services in the background"),
    _argument("--wait", action="store_true", help="with -d: return when every service is ready"),
    _argument("--replace", action="store_true", help="end a live run of this worktree first"),
    _argument("--slot", type=int, metavar="N", help="pin this worktree's slot"),
    _argument("--timeout", type=float, metavar="S", help="seconds each service may take to be ready"),
    _argument("--owner-pid", type=int, metavar="PID", help="end the run when this process ends"),
    _argument("--owner", choices=("auto",), help="end the run with the nearest agent, editor or terminal"),
    _argument("--no-prefix", action="store_true", help="show output without the names of services"),
    _argument("--timestamps", action="store_true", help="show the time of each line"),
    JSON,
)

VERBS: tuple[Verb, ...] = (
    Verb(
        name="up",
        module="up",
        effect=DESTRUCTIVE,
        help="start services and stay",
        description=(
            "1. reads services.yaml (or a Procfile) and claims the ports of this worktree\n"
            "2. sweeps what dead runs and removed worktrees left, and stops stale copies of the services;\n"
            "   refuses, naming them, when somebody else holds a port\n"
            "3. starts the services in the order of their dependencies, and shows their output\n"
            "4. on Ctrl-C, or whatever else ends the run, stops every process of it: one signal, one\n"
            "   shared grace, SIGKILL; a second Ctrl-C skips the grace\n"
            "Never stops a process that is not a leftover of devrun or of this worktree."
        ),
        examples=("devrun up", "devrun up web --profile docs", "devrun up -f Procfile --no-prefix"),
        arguments=START,
    ),
    Verb(
        name="down",
        module="down",
        effect=DESTRUCTIVE,
        help="end this worktree's run",
        description=(
            "1. asks the run to stop its services, dependents first; waits until every process is gone\n"
            "2. a run that does not answer, or is of another version, gets a signal instead\n"
            "Nothing is running: exit 0.  Works when services.yaml is broken or gone.\n"
            "Never stops anything that is not of this worktree's run."
        ),
        examples=("devrun down", "devrun down --json", "devrun down && git worktree remove ."),
        arguments=(FILE, JSON),
    ),
    Verb(
        name="stop",
        module="stop",
        effect=DESTRUCTIVE,
        help="stop services of the run",
        description=(
            "1. stops the services, and before them whatever depends on them\n"
            "2. returns when their processes are gone; the run goes on\n"
            "A service that is stopped already is left alone.  Never ends the run: that is `devrun down`."
        ),
        examples=("devrun stop web", "devrun stop web api", "devrun stop web --json"),
        arguments=(NAMED, FILE, JSON),
    ),
    Verb(
        name="start",
        module="start",
        effect=DESTRUCTIVE,
        help="start services of the run",
        description=(
            "1. starts the services, and first what they depend on; each after its guard\n"
            "2. returns when they are ready, or with the code and the last lines of one that fails\n"
            "Never starts what runs already.  A service the run does not know is added by `devrun up -d`."
        ),
        examples=("devrun start web", "devrun start web api", "devrun start web --json"),
        arguments=(NAMED, FILE, JSON),
    ),
    Verb(
        name="restart",
        module="restart",
        effect=DESTRUCTIVE,
        help="stop and start services again",
        description=(
            "1. stops exactly these services; those that depend on them stay up\n"
            "2. starts them after their guard, and returns when they are ready\n"
            "Never stops another service.  Takes the configuration the run was started with; `devrun up --replace`\n"
            "reads it anew."
        ),
        examples=("devrun restart api", "devrun restart api worker", "devrun restart api --json"),
        arguments=(NAMED, FILE, JSON),
    ),
    Verb(
        name="ps",
        module="ps",
        effect=READ,
        help="show what is running",
        description=(
            "1. asks the run of this worktree for its services: state, pid, port, URL, ready, restarts\n"
            "2. measures CPU and memory of each one's whole tree; says who waits for input\n"
            "3. names whoever else listens on a port of ours, and exits 1 then\n"
            "With --all: the live runs of every worktree, and the orphans that a sweep would stop.\n"
            "Never signals, never writes."
        ),
        examples=("devrun ps", "devrun ps --all", "devrun ps --json | jq -r '.data.services[].url'"),
        arguments=(
            _argument("--all", action="store_true", dest="every", help="every worktree of every repository"),
            FILE,
            JSON,
        ),
    ),
    Verb(
        name="logs",
        module="logs",
        effect=READ,
        help="show what services said",
        description=(
            "1. reads the log files of this worktree's newest run, alive or ended\n"
            "2. merges the services in time order, devrun's own lines included\n"
            "3. with --follow: goes on until the run ends\n"
            "With --json: one object a line, {time, service, stream, text}.\n"
            "Never talks to the run, never changes a file."
        ),
        examples=("devrun logs web api -n 100", "devrun logs -f --since 10m", "devrun logs --json | jq -r .text"),
        arguments=(
            SERVICES,
            _argument("-f", "--follow", action="store_true", help="go on until the run ends"),
            _argument("-n", "--lines", type=int, metavar="N", help="only the last N lines"),
            _argument("--since", metavar="T", help="only later ones: 10m, 14:05, 2026-07-29T14:05"),
            _argument("--timestamps", action="store_true", help="the time before each line"),
            _argument("--no-prefix", action="store_true", help="without the names of the services"),
            WHERE,
            JSON,
        ),
    ),
    Verb(
        name="attach",
        module="attach",
        effect=WRITE,
        help="type into a service's terminal",
        description=(
            "1. connects this terminal to the service's own: keys go in, what it says comes out\n"
            "2. the size of the window follows\n"
            "3. the detach key, Ctrl-] unless --detach-key names another, leaves; the service goes on\n"
            "With input from a pipe: types that, and leaves at its end.\n"
            "Never stops the service, except by what is typed (Ctrl-C is typed, too)."
        ),
        examples=("devrun attach web", "devrun attach web --detach-key ctrl-t", "echo yes | devrun attach api"),
        arguments=(
            _argument("service", metavar="SERVICE", help="the service to type into"),
            _argument("--detach-key", default="ctrl-]", metavar="KEY", help="what leaves: ctrl-] (default), ctrl-a …"),
            FILE,
        ),
    ),
    Verb(
        name="wait",
        module="wait",
        effect=READ,
        help="wait until services are ready",
        description=(
            "1. waits until the services (all of the run) are ready, or have completed\n"
            "2. exits 124 when they are not in time, with a service's code when it fails or the run ends,\n"
            "   1 when a server ended with 0 before it was ready\n"
            "Exit 3 when somebody else listens on a port of theirs; 1 without a run.  Never starts anything."
        ),
        examples=("devrun wait", "devrun wait web --timeout 60", "devrun up -d && devrun wait && pnpm test"),
        arguments=(
            SERVICES,
            _argument("--timeout", type=float, metavar="S", help="seconds to wait (default: for ever)"),
            FILE,
            JSON,
        ),
    ),
    Verb(
        name="exec",
        module="exec",
        effect=DESTRUCTIVE,
        help="run a command with services up",
        description=(
            "1. starts what is needed and not there: all services, or those of -s and --profile\n"
            "2. waits until they are ready\n"
            "3. runs CMD here, with every service's <NAME>_PORT and <NAME>_URL, and passes signals on\n"
            "4. stops what it started, unless another `exec` uses it too; exits with CMD's code\n"
            "Exit 127: no such command; 128+n: ended by signal n.\n"
            "Never stops what was there before, never says anything of its own on stdout."
        ),
        examples=(
            "devrun exec -- pnpm playwright test",
            "devrun exec -s api -- pytest tests/api",
            "devrun exec --timeout 90 -- sh -c 'curl $API_URL/healthz'",
        ),
        arguments=(
            _argument(
                "-s",
                "--service",
                action="append",
                default=[],
                dest="services",
                metavar="SERVICE",
                help="what is needed",
            ),
            _argument("--profile", action="append", default=[], metavar="P", help="services of this profile too"),
            FILE,
            _argument("--timeout", type=float, metavar="S", help="seconds the services may take to be ready"),
            COMMAND,
        ),
    ),
    Verb(
        name="run",
        module="run",
        effect=WRITE,
        help="run a command with its environment",
        description=(
            "1. claims the lease of this worktree if it has none yet\n"
            "2. becomes CMD, with the ports of all services in its environment\n"
            "   with SERVICE: with the whole environment of that service, in its working folder\n"
            "Never starts or stops a service."
        ),
        examples=("devrun run -- pnpm vitest", "devrun run api -- python manage.py migrate", "devrun run -- env"),
        arguments=(FILE, _argument("words", nargs="...", metavar="[SERVICE] -- CMD", help="the command to become")),
    ),
    Verb(
        name="check",
        module="check",
        effect=READ,
        help="look for mistakes in the configuration",
        description=(
            "1. reads services.yaml, services.local.yaml, Procfile and env files: every error with file:line:column\n"
            "2. warns: bases that alias under the stride, servers that do not read PORT, variables that collide\n"
            "Exit 2 with an error, 0 with warnings only.  Never starts anything, never writes."
        ),
        examples=("devrun check", "devrun check -f Procfile", "devrun check --json"),
        arguments=(FILE, JSON),
    ),
    Verb(
        name="init",
        module="init",
        effect=WRITE,
        help="write a first services.yaml",
        description=(
            "1. looks at the Procfile, the workspace's packages, package.json, manage.py\n"
            "2. writes services.yaml in the current folder and prints it\n"
            "Never overwrites a file."
        ),
        examples=("devrun init", "devrun init && devrun check", "devrun init --json"),
        arguments=(JSON,),
    ),
    Verb(
        name="schema",
        module="schema",
        effect=READ,
        help="print services.yaml's JSON schema",
        description=(
            "1. prints the schema, generated from the types that read the file\n"
            "2. an editor takes it from a first line `# yaml-language-server: $schema=…`\n"
            "With KIND (ps, up, guard, …): the schema of what that command prints with --json.\n"
            "Never writes a file; the schema goes to stdout."
        ),
        examples=(
            "devrun schema > services.schema.json",
            "devrun schema | check-jsonschema --schemafile - services.yaml",
            "devrun schema ps",
        ),
        arguments=(
            _argument("kind", nargs="?", metavar="KIND", help="the `kind` of a --json answer (default: services.yaml)"),
            JSON,
        ),
    ),
    Verb(
        name="env",
        module="env",
        effect=WRITE,
        help="print this worktree's port variables",
        description=(
            "1. claims the lease of this worktree if it has none yet\n"
            "2. prints <NAME>_PORT and <NAME>_URL of all services, DEVRUN_SLOT, DEVRUN_OFFSET, each port_env\n"
            "3. and DEVRUN_ENV, by which devrun knows its own words when it inherits them\n"
            "Never PORT (that is one service's own), never what .env files hold, never starts anything."
        ),
        examples=('eval "$(devrun env)"', "devrun env --format dotenv > .env.ports", "devrun env --format json"),
        arguments=(
            _argument(
                "--format",
                choices=("shell", "dotenv", "json"),
                default="shell",
                help="how to write them (json: one plain object)",
            ),
            FILE,
            JSON,
        ),
    ),
    Verb(
        name="ports",
        module="ports",
        effect=WRITE,
        help="show the ports of worktrees",
        description=(
            "1. claims the lease of this worktree if it has none yet\n"
            "2. prints slot, offset, and port and URL of every service\n"
            "With --all: every worktree that has a lease, of all repositories; that only reads.\n"
            "Never starts or stops anything."
        ),
        examples=("devrun ports", "devrun ports --all", "devrun ports --json | jq .data.services"),
        arguments=(
            _argument("--all", action="store_true", dest="every", help="every worktree that has a lease (only reads)"),
            FILE,
            JSON,
        ),
    ),
    Verb(
        name="port",
        module="port",
        effect=WRITE,
        help="print one service's port",
        description=(
            "1. claims the lease of this worktree if it has none yet\n"
            "2. prints the number, nothing else; SERVICE:NAME is one of its named ports\n"
            "Never starts or stops anything."
        ),
        examples=("devrun port api", "devrun port api:metrics", "curl localhost:$(devrun port api)/healthz"),
        arguments=(_argument("service", metavar="SERVICE", help="SERVICE, or SERVICE:NAME"), FILE, JSON),
    ),
    Verb(
        name="url",
        module="url",
        effect=WRITE,
        help="print one service's address",
        description=(
            "1. claims the lease of this worktree if it has none yet\n"
            "2. prints the address, nothing else; SERVICE:NAME is one of its named ports\n"
            "Never starts or stops anything."
        ),
        examples=("devrun url web", 'open "$(devrun url web)"', "devrun url api --json"),
        arguments=(_argument("service", metavar="SERVICE", help="SERVICE, or SERVICE:NAME"), FILE, JSON),
    ),
    Verb(
        name="guard",
        module="guard",
        effect=DESTRUCTIVE,
        help="clear the way of a service",
        description=(
            "1. finds who listens on the service's ports (IPv4 and IPv6) and whose command line has its `match`\n"
            "2. stops stale copies of this worktree and orphans, then confirms: process dead, port free\n"
            "3. names everybody else who is in the way, and exits 3\n"
            "Never stops a live run, a sibling worktree's server, an editor, a shell, an agent, a container.\n"
            "A stranger on the port is stopped with --force or `on_foreign: stop` only."
        ),
        examples=("devrun guard web", "devrun guard web api --dry-run", "devrun guard web --force && pnpm dev"),
        arguments=(
            _argument("services", nargs="+", metavar="SERVICE", help="services whose way is cleared"),
            FILE,
            DRY_RUN,
            _argument("--force", action="store_true", help="also stop a stranger that holds the port"),
            JSON,
        ),
    ),
    Verb(
        name="sweep",
        module="sweep",
        effect=DESTRUCTIVE,
        help="stop what was left behind",
        description=(
            "1. finds processes of worktrees that are gone and of runs that are dead, machine-wide\n"
            "2. stops them with one shared grace, and gives back the leases of gone worktrees\n"
            "3. says nothing when there was nothing; with --explain, everything it looked at and why it stays\n"
            "Never stops on an unreadable fact: git silent, folder unmounted, other user mean keep.\n"
            "Never deletes a folder, never runs `git worktree prune`."
        ),
        examples=("devrun sweep --dry-run", "devrun sweep --explain", "devrun sweep --json | jq .data.processes"),
        arguments=(
            DRY_RUN,
            _argument("--explain", action="store_true", help="show evidence and vetoes of everybody looked at"),
            JSON,
        ),
    ),
    Verb(
        name="reap",
        module="reap",
        effect=DESTRUCTIVE,
        help="stop one worktree's servers",
        description=(
            "1. asks a live run of the worktree to end, and waits for it\n"
            "2. stops every dev server whose innermost worktree it is, and whatever carries its stamp\n"
            "Works before and after the folder is gone.  Never removes the folder, never touches a sibling."
        ),
        examples=("devrun reap", "devrun reap ../feature-x", "devrun reap ../feature-x --dry-run"),
        arguments=(
            _argument("path", nargs="?", metavar="PATH", help="the worktree (default: this one)"),
            DRY_RUN,
            JSON,
        ),
    ),
    Verb(
        name="worktree",
        module="worktree",
        effect=DESTRUCTIVE,
        help="add, remove or list worktrees",
        description=(
            "add PATH [COMMIT]: 1. lets git add the worktree  2. leases its ports and prints them\n"
            "remove PATH|NAME: 1. asks first whether git would refuse (changes, untracked files, a lock): exit 3\n"
            "  2. ends its run, stops its servers and its fsmonitor daemon  3. lets git remove it\n"
            "  4. gives its ports back.  What could not be cleaned is said, and blocks nothing.  Again: quiet\n"
            "list: what git lists, with slot, live run, ports and memory of each; that only reads\n"
            "Never prunes, never deletes a folder itself, never overrides a lock."
        ),
        examples=(
            "devrun worktree add -b feature-x ../feature-x",
            "devrun worktree remove ../feature-x",
            "devrun worktree list --json | jq -r '.data[].path'",
        ),
        arguments=(
            _argument("action", choices=("add", "remove", "list"), metavar="add|remove|list", help="what to do"),
            _argument("path", nargs="?", metavar="PATH", help="the folder of the worktree; remove: or its name"),
            _argument("commit", nargs="?", metavar="COMMIT", help="add: the branch or commit to check out"),
            _argument("-b", "--branch", metavar="NAME", help="add: make this branch"),
            _argument("--force", action="store_true", help="remove: with its changes and untracked files"),
            JSON,
        ),
    ),
    Verb(
        name="take",
        module="take",
        effect=DESTRUCTIVE,
        help="run on the main checkout's ports",
        description=(
            "1. does what `devrun up` does, on the plain ports that the main checkout has (slot 0):\n"
            "   for OAuth callbacks, CORS lists and mobile apps that know these numbers only\n"
            "2. ports, url, env and exec answer with them here, for as long as the run lives\n"
            "3. gives them back when the run ends, however it ends\n"
            "Never takes them from a run that lives: exit 3 while one of the main checkout does, or another\n"
            "worktree has taken them.  While they are taken, `up` in the main checkout is refused by name.\n"
            "Takes the options of `up`."
        ),
        examples=("devrun take", "devrun take web api -d --wait", "devrun take --replace"),
        arguments=START,
    ),
    Verb(
        name="who",
        module="who",
        effect=READ,
        help="name who holds a port",
        description=(
            "1. finds who listens on the port (IPv4 and IPv6), and whose service it is\n"
            "2. says which worktree the port is leased to, whoever sits on it\n"
            "Never stops anything, never writes."
        ),
        examples=("devrun who 3000", "devrun who 3000 --json", "devrun who $(devrun port web)"),
        arguments=(_argument("port", type=int, metavar="PORT", help="the port"), JSON),
    ),
    Verb(
        name="history",
        module="history",
        effect=READ,
        help="show what devrun stopped",
        description=(
            "1. prints every stop, refusal, removal and release, oldest first, with its evidence\n"
            "The journal is bounded: 20 000 rows.  Never writes."
        ),
        examples=("devrun history", "devrun history --since 1h", "devrun history --json | jq -r '.data[].detail'"),
        arguments=(
            _argument("--since", metavar="T", help="only later ones: 10m, 14:05, 2026-07-29T14:05"),
            _argument("-n", "--lines", type=int, metavar="N", help="only the last N"),
            JSON,
        ),
    ),
    Verb(
        name="doctor",
        module="doctor",
        effect=READ,
        help="look for what is wrong",
        description=(
            "1. shows what a sweep would stop, and what it leaves alone and why\n"
            "2. stale records, other state folders, facts that cannot be read, git that does not answer\n"
            "3. ports that clash or are held, servers that spin without a port, colliding names in .env\n"
            "Exit 1 when something keeps devrun from its work.  Never stops anything, never writes."
        ),
        examples=("devrun doctor", "devrun doctor --json | jq .data.problems", "devrun doctor -f Procfile"),
        arguments=(FILE, JSON),
    ),
    Verb(
        name="completion",
        module="completion",
        effect=READ,
        help="print a shell completion script",
        description=(
            "1. builds the script from the same table as --help\n"
            "2. names of services are looked up while completing\n"
            "Never writes a file; the script goes to stdout."
        ),
        examples=(
            "source <(devrun completion bash)",
            "devrun completion zsh > ~/.zfunc/_devrun",
            "devrun completion fish > ~/.config/fish/completions/devrun.fish",
        ),
        arguments=(
            _argument(
                "shell",
                nargs="?",
                choices=("bash", "zsh", "fish", "tcsh"),
                metavar="SHELL",
                help="bash, zsh, fish, tcsh",
            ),
            _argument("--services", action="store_true", help="print the names of the services here, one per line"),
            JSON,
        ),
    ),
    Verb(
        name="help",
        module="help",
        effect=READ,
        help="list commands and their effects",
        description=(
            "1. without a name: every command; with one: its long help\n"
            "2. with --json: effect (read, write, destructive), arguments, exit codes\n"
            "A command that is not listed is unknown, not safe.  Never reads a configuration, never writes."
        ),
        examples=("devrun help", "devrun help up", "devrun help --json"),
        arguments=(_argument("topic", nargs="?", metavar="COMMAND", help="the command to explain"), JSON),
    ),
)

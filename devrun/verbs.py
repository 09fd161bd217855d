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
SERVICES = _argument("services", nargs="*", metavar="SERVICE", help="services to act on (default: all)")
DRY_RUN = _argument("-n", "--dry-run", action="store_true", help="print the plan that would be executed, do nothing")

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
        arguments=(
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
            _argument("--file", metavar="FILE", help="the services.yaml or Procfile whose worktree is meant"),
            JSON,
        ),
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
            "Never writes a file; the schema goes to stdout."
        ),
        examples=(
            "devrun schema > services.schema.json",
            "devrun schema | check-jsonschema --schemafile /dev/stdin services.yaml",
            "devrun schema --json",
        ),
        arguments=(JSON,),
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
        effect=WRITE,
        help="add or list git worktrees",
        description=(
            "add PATH [COMMIT]: 1. lets git add the worktree  2. leases its ports and prints them\n"
            "list: what git lists, with slot, live run, ports and memory of each; that only reads\n"
            "Never prunes, never deletes a folder."
        ),
        examples=(
            "devrun worktree add -b feature-x ../feature-x",
            "devrun worktree list",
            "devrun worktree list --json | jq -r '.data[].path'",
        ),
        arguments=(
            _argument("action", choices=("add", "list"), metavar="add|list", help="what to do"),
            _argument("path", nargs="?", metavar="PATH", help="the folder of the worktree"),
            _argument("commit", nargs="?", metavar="COMMIT", help="add: the branch or commit to check out"),
            _argument("-b", "--branch", metavar="NAME", help="add: make this branch"),
            JSON,
        ),
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
            "A command that is not listed is unknown, not safe."
        ),
        examples=("devrun help", "devrun help up", "devrun help --json"),
        arguments=(_argument("topic", nargs="?", metavar="COMMAND", help="the command to explain"), JSON),
    ),
)

"""The house stands as DESIGN says: who may import whom, what a verb may load, who may touch what."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from devrun.verbs import DESTRUCTIVE, READ, VERBS, WRITE
from tests.support.readme import ROOT, commands_table, read_readme, setup_commands, table_in

PACKAGE = os.path.join(ROOT, "devrun")
TESTS = os.path.join(ROOT, "tests")

# Everybody may import these: they are values and words, and import no room.
COMMON = {"model", "errors", "config.project", "__init__"}

# room → what else it may import.  A name stands for itself and everything below it.
MAY_IMPORT = {
    "model": set(),
    "errors": set(),
    "interrupt": set(),
    "report": {"cleanup.values", "ports.names", "run.plan", "run.talk.protocol", "state.journal"},  # what it shows
    "system": set(),
    "state": {"system"},
    "config": {"worktrees", "ports.arithmetic", "ports.names", "system"},
    "worktrees": {"system", "state"},
    "ports": {"system", "state", "worktrees"},
    "decide": set(),
    "cleanup": {"config", "decide", "ports", "state", "system", "worktrees"},
    "run": {
        "cleanup",
        "config",
        "decide.programs",
        "interrupt",
        "ports",
        "report",
        "state",
        "system",
        "workspace",
        "worktrees",
    },
    "workspace": {"config", "ports", "state", "system", "worktrees"},
    "commands": {
        "cleanup",
        "cli",
        "config",
        "ports",
        "report",
        "run",
        "state",
        "system",
        "verbs",
        "workspace",
        "worktrees",
    },
    "verbs": set(),
    "cli": {"commands", "interrupt", "report", "verbs"},
    "__main__": {"cli"},
    "__init__": set(),
}

# Values in, values out: no clock, no environment, no file, no process.
PURE = ("decide.", "run.life.lifecycle", "run.life.servicestate", "ports.arithmetic", "model", "config.project")
IMPURE_MODULES = {
    "asyncio", "fcntl", "glob", "multiprocessing", "pathlib", "psutil", "pty", "random", "resource", "select",
    "selectors", "shutil", "socket", "sqlite3", "subprocess", "sys", "tempfile", "termios", "threading", "time",
}  # fmt: skip
PURE_OS = {"path", "sep", "fspath"}
PURE_OS_PATH = {"basename", "commonpath", "commonprefix", "dirname", "isabs", "join", "normpath", "relpath", "split", "splitext", "sep"}  # fmt: skip

# The shapes that carry the program are one file on purpose, and so is the table of verbs.
LONGER_FILES = {"model": 450, "verbs": 900, "report.answers": 450}

HEAVY = {"asyncio", "honcho", "msgspec", "psutil", "rich", "shtab", "sqlite3", "subprocess", "yaml"}


def sources(folder: str) -> Iterator[tuple[str, str]]:
    """Yield (dotted name below the folder, path) of every Python file."""
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - {"__pycache__", "node_modules"})
        for name in sorted(names):
            if name.endswith(".py"):
                path = os.path.join(where, name)
                yield os.path.relpath(path, folder)[:-3].replace(os.sep, "."), path


def parse(path: str) -> ast.Module:
    with open(path, encoding="utf-8") as file:
        return ast.parse(file.read(), path)


MODULES = {name.removesuffix(".__init__"): parse(path) for name, path in sources(PACKAGE)}
PATHS = {name.removesuffix(".__init__"): path for name, path in sources(PACKAGE)}


def imports(tree: ast.Module) -> Iterator[str]:
    """Yield everything a module imports, wherever in the file, as full dotted names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (f"{node.module}.{each.name}" for each in node.names)


def own_imports(name: str) -> set[str]:
    """Return the modules of devrun that a module imports, dotted below `devrun`."""
    found = set()
    for full in imports(MODULES[name]):
        head, _, rest = full.partition(".")
        if head == "devrun":
            while rest and rest not in MODULES:
                rest = rest.rpartition(".")[0]
            found.add(rest or "__init__")
    return found


def within(module: str, allowed: set[str]) -> bool:
    return any(module == each or module.startswith(f"{each}.") for each in allowed)


@pytest.mark.parametrize("name", MODULES)
def test_a_room_imports_only_the_rooms_below_it(name):
    room = name.split(".")[0]
    allowed = COMMON | MAY_IMPORT[room] | ({room} if room != "commands" else set())
    assert sorted(each for each in own_imports(name) if not within(each, allowed)) == []


def test_decide_and_system_meet_only_in_the_joint():
    for name in MODULES:
        # Lists of programs are words, not decisions.
        rooms = {each.split(".")[0] for each in own_imports(name) - {"decide.programs"}}
        assert name.startswith("cleanup") or not {"decide", "system"} <= rooms, name


def test_no_verb_imports_another_verb():
    for name in MODULES:
        if name.startswith("commands."):
            assert not any(each.startswith("commands.") for each in own_imports(name)), name


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith(PURE)])
def test_a_pure_module_touches_nothing(name):
    touched = {full.split(".")[0] for full in imports(MODULES[name])} & IMPURE_MODULES
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.Attribute):
            text = ast.unparse(node)
            allowed = PURE_OS_PATH if text.startswith("os.path.") else PURE_OS
            if re.fullmatch(r"os(\.path)?\.\w+", text) and node.attr not in allowed:
                touched.add(text)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"open", "input", "print"}:
            touched.add(ast.unparse(node.func))
    assert touched == set()


def calls(tree: ast.Module, wanted: set[str]) -> set[str]:
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)} & wanted


SIGNALLING = {"os.kill", "os.killpg", "signal.pidfd_send_signal", "pidfd_send_signal", "os.pidfd_send_signal"}


@pytest.mark.parametrize("name", MODULES)
def test_only_the_one_control_sends_signals(name):
    found = calls(MODULES[name], SIGNALLING)
    if name == "system.control":
        return
    # The spawn room's child may signal itself, by its own pid, between fork and exec.
    assert found <= ({"os.kill"} if name == "system.spawn" else set())


@pytest.mark.parametrize("name", MODULES)
def test_nothing_prints_outside_of_report(name):
    if not name.startswith("report"):
        assert calls(MODULES[name], {"print", "sys.stdout.write", "sys.stderr.write"}) == set()


@pytest.mark.parametrize("name", MODULES)
def test_no_module_runs_getcwd_or_pathlib_at_import(name):
    """devrun starts even when the folder it is called from has been deleted."""
    assert "pathlib" not in {full.split(".")[0] for full in imports(MODULES[name])}
    assert not any(full.startswith("honcho.command") for full in imports(MODULES[name]))
    for node in MODULES[name].body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            assert "getcwd" not in ast.unparse(node)
            assert "os.path.abspath(" not in ast.unparse(node)


@pytest.mark.parametrize("name", MODULES)
def test_files_are_at_most_300_lines_and_functions_60(name):
    with open(PATHS[name], encoding="utf-8") as file:
        assert len(file.readlines()) <= LONGER_FILES.get(name, 300)
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, node.name


@pytest.mark.parametrize("name", MODULES)
def test_every_module_states_its_contract(name):
    assert ast.get_docstring(MODULES[name])


@pytest.mark.parametrize(("name", "path"), list(sources(TESTS)))
def test_tests_sleep_only_for_the_absence_window(name, path):
    tree = parse(path)
    slept = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("sleep")]
    assert [ast.unparse(each) for each in slept] in ([], ["time.sleep(ABSENCE_WINDOW)"])


# ------------------------------------------------------------------------------------ import budget


def loaded_by(*words: str) -> set[str]:
    """Return the top-level modules that a call of devrun has loaded when it ends."""
    code = (
        "import sys, io\n"
        "from devrun.cli import main\n"
        "answer = sys.stdout; sys.stdout = io.StringIO()\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(*sorted({each.split('.')[0] for each in sys.modules}), file=answer)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["help"], ["no-such-verb"]], ids=" ".join)
def test_help_loads_none_of_the_heavy_modules(words):
    assert loaded_by(*words) & HEAVY == set()


@pytest.mark.parametrize("verb", [verb.name for verb in VERBS])
def test_help_of_a_verb_loads_none_of_the_heavy_modules(verb):
    assert loaded_by(verb, "--help") & HEAVY == set()


CONFIG, STATE = {"msgspec", "yaml"}, {"msgspec", "sqlite3"}
BUDGETS = {
    "port web": CONFIG | STATE,
    "url api": CONFIG | STATE,
    "env": CONFIG | STATE,
    "ports": CONFIG | STATE,
    "check": CONFIG,
    "schema": CONFIG,
    "logs": CONFIG | STATE,
    "ps": CONFIG | STATE,
    "down": CONFIG | STATE,
    "wait": CONFIG | STATE,
    "restart web": CONFIG | STATE,
    "worktree list": STATE | {"subprocess"},
    "guard web --dry-run": CONFIG | STATE | {"subprocess"},
    "sweep --dry-run": CONFIG | STATE | {"subprocess"},
}


@pytest.mark.linux
@pytest.mark.parametrize("line", BUDGETS)
def test_a_verb_loads_only_what_it_needs(line, monkeypatch):
    """The portable process table needs psutil; Linux's does not."""
    monkeypatch.chdir(ROOT)
    assert loaded_by(*line.split()) & HEAVY <= BUDGETS[line]


@pytest.mark.linux
def test_a_run_loads_neither_psutil_nor_asyncio_nor_what_draws_tables():
    names = [f"devrun.{name}" for name in MODULES if name.startswith("run.")]
    code = f"import importlib, sys; [importlib.import_module(name) for name in {['devrun.commands.up', *names]}]"
    code += "; print(*{each.split('.')[0] for each in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & {"asyncio", "honcho", "psutil", "rich", "shtab"} == set()


# -------------------------------------------------------------------------------------- the verbs


def test_every_verb_has_its_file_and_every_file_its_verb():
    files = {name.split(".")[1] for name in MODULES if name.startswith("commands.")}
    assert {verb.module.split(".")[0] for verb in VERBS} == files


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_a_row_of_the_table_of_verbs_is_complete(verb):
    assert verb.effect in {READ, WRITE, DESTRUCTIVE}
    assert 3 <= len(verb.help.split()) <= 6
    assert "1. " in verb.description
    assert "Never " in verb.description
    assert len(verb.examples) == 3
    assert all("devrun " in each for each in verb.examples)


def test_the_names_of_verbs_are_unique():
    assert len({verb.name for verb in VERBS}) == len(VERBS)


def test_the_readme_lists_the_verbs_of_the_table():
    assert table_in(read_readme()) == commands_table(), "run `python -m tests.support.readme`"


def test_the_readme_names_only_commands_that_exist():
    text = read_readme()
    spans = re.findall(r"`([^`\n]+)`", text) + re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    named = {word for span in spans for word in re.findall(r"(?:^|[ (/])devrun ([a-z]+)", span)}
    assert named <= {verb.name for verb in VERBS}
    assert len(named) > 5


# --------------------------------------------------------------------------------------- packaging


def test_ci_runs_exactly_the_test_command_of_the_readme():
    commands = setup_commands(read_readme())
    assert len(commands) == 2
    assert commands[0].endswith("devrun up")
    with open(os.path.join(ROOT, ".ci", "run"), encoding="utf-8") as file:
        lines = file.read().splitlines()
    assert "set -euo pipefail" in lines
    assert lines[-1] == commands[1]

"""What a start costs, told by structure: modules loaded, readings of the process table, programs run.

Times belong to `benchmarks/`; these counts are the same on every machine, unless somebody else's leftovers
are on it: then git is asked about them, and after a stop the table is read again.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys

import pytest

# Reports on descriptor 9 what had been done when the first service was about to be forked (`up`), or
# at the end.  Audit hooks see it without importing anything of devrun.
WITNESS = """
import os, sys
sys.modules["typing_extensions"] = None  # msgspec takes it when a tool of the developer has brought it
before = set(sys.modules)  # of the interpreter, and what its site-packages start with it
seen = {"forks": 0, "tables": 0, "programs": []}
def report():
    os.write(9, repr({**seen, "modules": set(sys.modules) - before}).encode())
def witness(event, words):
    if event == "os.fork":
        seen["forks"] += 1
        if seen["forks"] == 2:  # the first one made the supervisor
            report()
    elif event == "os.listdir" and words[0] in ("/proc", b"/proc"):
        seen["tables"] += 1
    elif event == "subprocess.Popen":
        seen["programs"].append(words[1][0])
sys.addaudithook(witness)
from devrun.cli import main
code = main(sys.argv[1:])
if not seen["forks"]:
    report()
sys.exit(code)
"""

# Never before a service runs: the dear ones, and what drags them in.
DEAR = {
    "asyncio", "concurrent", "ctypes.util", "dataclasses", "dotenv", "email", "hashlib", "http", "inspect",
    "jmespath", "json", "logging", "multiprocessing", "pathlib", "psutil", "random", "rich", "shtab", "shutil", "ssl",
    "subprocess", "tempfile", "tokenize", "urllib", "yaml",
}  # fmt: skip
ONLY_FOR_CLIENTS = {
    "devrun.run.talk.client",
    "devrun.run.talk.control",
    "devrun.run.talk.desk",
    "devrun.run.talk.protocol",
}


def witnessed(*words, cwd):
    """Run devrun; return what the witness saw, and the exit code.  What holds for every command is checked here."""
    reader, writer = os.pipe()
    code = f"import os; os.dup2({writer}, 9); os.set_inheritable(9, False)\n{WITNESS}"
    with subprocess.Popen(
        [sys.executable, "-c", code, *words],
        cwd=cwd,
        pass_fds=[writer],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as child:
        os.close(writer)
        with open(reader, "rb") as report:
            said = report.read()
        complaint = child.stderr.read().decode()
    assert said, complaint
    seen = ast.literal_eval(said.decode())
    assert set(seen["programs"]) <= {"git"}
    assert seen["tables"] <= 1 or "stopped" in complaint
    if seen["programs"]:  # about somebody else's worktree, whose name may need a hash
        seen["modules"] -= {"subprocess", "hashlib"}
    return seen, child.returncode


@pytest.fixture
def project(repository):
    repository.write({"Procfile": "web: true\nworker: true\n"})
    return repository.path


def test_up_loads_nothing_dear_before_the_first_service(project):
    seen, code = witnessed("up", cwd=project)
    assert code == 0
    assert {name.partition(".")[0] for name in seen["modules"]} & DEAR == set()
    assert seen["modules"] & ONLY_FOR_CLIENTS == set()
    assert len(seen["modules"]) <= 230


def test_up_sweeps_and_guards_from_one_reading_of_the_process_table(project):
    for _ in range(2):  # without and with runs that went before
        seen, _ = witnessed("up", cwd=project)
        assert seen["tables"] >= 1  # and `witnessed` has looked that it is no more


def test_up_with_yaml_loads_its_parser_and_no_other_dear_module(repository):
    repository.write({"services.yaml": json.dumps({"services": {"web": {"command": "true"}}})})
    seen, code = witnessed("up", cwd=repository.path)
    assert code == 0
    assert {name.partition(".")[0] for name in seen["modules"]} & DEAR == {"yaml"}


@pytest.mark.parametrize("words", [["guard", "web"], ["guard", "web", "--dry-run"], ["sweep"], ["sweep", "--dry-run"]])
def test_guard_and_sweep_load_nothing_dear_and_nothing_of_a_run(words, project):
    seen, code = witnessed(*words, cwd=project)
    assert code == 0
    assert {name.partition(".")[0] for name in seen["modules"]} & DEAR == set()
    assert not any(name.startswith("devrun.run.") for name in seen["modules"])
    assert len(seen["modules"]) <= 200

"""What of a command line is the script, and how many elements a rewritten title has."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devrun.system.commandlines import interpreter_of, resolve_script, script_argument, split_command_line

SCRIPTS = {
    "node server.js": "server.js",
    "node --inspect=9229 --require ./a.cjs --import file:///x/loader.mjs src/index.ts watch": "src/index.ts",
    "node -r ./hook.js app.js": "app.js",
    "node -e code app.js": None,
    "node -pe code": None,
    "node --test": None,
    "node inspect app.js": "app.js",
    "node -- -odd.js": "-odd.js",
    "node -": None,
    "node": None,
    "/usr/bin/node22 /w/node_modules/.bin/mint dev": "/w/node_modules/.bin/mint",
    "python3.11 -u -W error app.py --port 1": "app.py",
    "python3 -Werror app.py": "app.py",
    "python -m http.server": None,
    "python -Ic code": None,
    "sh -c next": None,
    "bash -lc next": None,
    "bash -eo pipefail run.sh": "run.sh",
    "bash +x run.sh": "run.sh",
    "-zsh": None,
    "bun run dev": None,
    "bun run src/dev.ts": "src/dev.ts",
    "bun --watch index.ts": "index.ts",
    "deno run -A main.ts": "main.ts",
    "deno eval code": None,
    "ruby -rbundler/setup bin/rails server": "bin/rails",
    "ruby -I lib bin/puma": "bin/puma",
    "perl -MFoo -w app.pl": "app.pl",
    "php -S 127.0.0.1:80 router.php": "router.php",
    "php artisan serve": "artisan",
    "vim start.js": None,
    "gdb --args node app.js": None,
    "grep @mintlify": None,
}


@pytest.mark.parametrize("line", SCRIPTS)
def test_the_script_of_an_interpreter_is_found(line):
    assert script_argument(tuple(line.split()), None) == SCRIPTS[line]


def test_the_executable_decides_before_the_first_argument():
    assert script_argument(("server", "app.js"), "/opt/node/bin/node") == "app.js"
    assert interpreter_of("/Library/Frameworks/Python.app/Contents/MacOS/Python") == "python"


@pytest.mark.parametrize(
    ("raw", "argv"),
    [
        (b"node\0server.js\0", ("node", "server.js")),
        (b"next-server (v16)\0\0\0\0\0", ("next-server (v16)",)),
        (b"nginx: worker process     \0", ("nginx: worker process",)),
        (b"postgres: idle        ", ("postgres: idle",)),
        (b"prog\0\0two\0", ("prog", "", "two")),
        (b"sh\0-c\0echo a b \0", ("sh", "-c", "echo a b ")),
        (b"caf\xe9\0", ("caf�",)),
        (b"", None),
        (b"\0\0", None),
        (b"  \0", None),
    ],
)
def test_a_raw_command_line_is_split_at_its_nuls_only(raw, argv):
    assert split_command_line(raw) == argv


def test_a_link_to_a_script_is_followed_from_the_folder_of_the_process(tmp_path):
    script = tmp_path / "node_modules" / "mint" / "start.js"
    link = tmp_path / "node_modules" / ".bin" / "mint"
    for path in (script, link):
        path.parent.mkdir(parents=True, exist_ok=True)
    script.touch()
    link.symlink_to("../mint/start.js")
    argv = ("node", "node_modules/.bin/mint", "dev")
    assert resolve_script(argv, None, lambda: str(tmp_path)) == os.path.realpath(script)


def test_a_relative_script_of_a_process_that_went_elsewhere_is_seen_from_where_it_was_started(tmp_path):
    script = tmp_path / "worktree" / "start.js"
    script.parent.mkdir()
    script.touch()
    argv, here, home = ("node", "../worktree/start.js"), str(script.parent), "/"
    assert resolve_script(argv, None, lambda: home, lambda: here) == os.path.realpath(script)
    assert resolve_script(argv, None, lambda: None, lambda: here) == os.path.realpath(script)


def test_the_folder_of_a_process_says_more_than_the_pwd_that_it_inherited(tmp_path):
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "start.js").touch()
    here, there = str(tmp_path / "here"), str(tmp_path / "there")
    found = resolve_script(("node", "start.js"), None, lambda: here, lambda: there)
    assert found == os.path.realpath(tmp_path / "here" / "start.js")
    for nonsense in ("", "relative", "/nowhere"):
        gone = resolve_script(("node", "gone.js"), None, lambda: here, lambda pwd=nonsense: pwd)
        assert gone == os.path.join(os.path.realpath(here), "gone.js")


def test_a_script_that_is_gone_keeps_its_path(tmp_path):
    gone = tmp_path / "gone" / "start.js"
    assert resolve_script(("node", str(gone)), None, lambda: None) == os.path.realpath(gone)


def test_a_relative_script_without_a_known_folder_is_unknown():
    assert resolve_script(("node", "start.js"), None, lambda: None) is None


@given(st.lists(st.text(max_size=8), max_size=6), st.sampled_from([None, "/bin/sh", "/x/node", "/x/python3"]))
def test_no_command_line_breaks_the_search(argv, exe):
    found = resolve_script(tuple(argv), exe, lambda: "/")
    assert found is None or found.startswith("/")


@given(st.binary(max_size=64))
def test_whatever_bytes_there_are_every_element_can_be_encoded(raw):
    for element in split_command_line(raw) or ():
        element.encode("utf-8")

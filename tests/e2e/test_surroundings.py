"""Strange surroundings of the command itself: folders without a usable name, an output that takes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support.devrun import PROGRAM, devrun

CONFIG = json.dumps({"services": {"web": {"command": "exit 0"}}})


@pytest.mark.parametrize("verb", ["up", "ps", "env", "sweep", "down"])
@pytest.mark.skipif(sys.platform == "darwin", reason="its file system takes UTF-8 only")
def test_a_folder_whose_name_is_no_text_is_told_so(tmp_path, verb):
    folder = os.path.join(os.fsencode(tmp_path), b"caf\xe9")
    os.mkdir(folder)
    with open(os.path.join(folder, b"services.yaml"), "w", encoding="utf-8") as file:
        file.write(CONFIG)
    done = devrun(verb, cwd=os.fsdecode(folder))
    if verb == "sweep":  # machine-wide: it needs no worktree
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert done.returncode == 2
        assert "caf\\xe9`, is not UTF-8\nhint: give the folder another name\n" in done.stderr


def test_a_folder_too_deep_to_be_named_is_told_so(tmp_path):
    """Every part is made from inside the one before: the whole path is longer than the kernel takes."""
    script = (
        "import os, sys\n"
        "for _ in range(20): os.mkdir('d' * 230); os.chdir('d' * 230)\n"
        "open('services.yaml', 'w').write(sys.argv[2])\n"
        "os.execv(sys.argv[1], [sys.argv[1], 'up'])\n"
    )
    words = [sys.executable, "-c", script, PROGRAM, CONFIG]
    done = subprocess.run(words, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "cannot be read: file name too long" in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a file that is full")
@pytest.mark.parametrize("words", [("ps",), ("ports", "--json"), ("help",), ("logs",), ("port", "nope", "--json")])
def test_an_answer_that_cannot_be_written_is_an_error_and_no_bug(tmp_path, words):
    (tmp_path / "services.yaml").write_text(CONFIG)
    if words == ("logs",):
        assert devrun("up", cwd=str(tmp_path)).returncode == 0
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = devrun(*words, cwd=str(tmp_path), capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr.endswith("error: the output cannot be written: no space left on device\n")


@pytest.mark.parametrize("words", [("ps",), ("help",), ("port", "nope", "--json")])
def test_an_answer_that_nobody_reads_ends_quietly(tmp_path, words):
    (tmp_path / "services.yaml").write_text(CONFIG)
    reader, writer = os.pipe()
    os.close(reader)
    done = devrun(*words, cwd=str(tmp_path), capture_output=False, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("timeout", ["0", "-1", "nan", "inf", "1e300"])
@pytest.mark.parametrize("words", [("up",), ("wait",), ("exec", "true")])
def test_a_time_that_nobody_can_wait_is_a_usage_error(tmp_path, words, timeout):
    (tmp_path / "services.yaml").write_text(CONFIG)
    verb, *rest = words
    done = devrun(verb, "--timeout", timeout, *rest, cwd=str(tmp_path))
    assert done.returncode == 2
    assert "is no time to wait" in done.stderr


@pytest.mark.parametrize("verb", ["logs", "history"])
def test_a_number_of_lines_below_none_is_a_usage_error(tmp_path, verb):
    (tmp_path / "services.yaml").write_text(CONFIG)
    done = devrun(verb, "-n", "-1", cwd=str(tmp_path))
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "error: `-n -1` is no number of lines")

"""Signals that ask a command to end: raised where Python is, unless that is in the middle of an import."""

from __future__ import annotations

import importlib
import signal
import subprocess
import sys

import pytest

from devrun.interrupt import Interrupted, interruptible


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Make a module that is interrupted by SIGINT while it is imported."""
    (tmp_path / "interrupted_inner.py").write_text(
        "import signal\nsignal.raise_signal(signal.SIGINT)\nwhole = True\n", encoding="utf-8"
    )
    (tmp_path / "interrupted_outer.py").write_text("import interrupted_inner\nwhole = True\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield "interrupted_outer"
    for name in ("interrupted_outer", "interrupted_inner"):
        sys.modules.pop(name, None)


def test_a_signal_raises_where_python_is():
    with pytest.raises(Interrupted) as caught, interruptible():
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.exit_code == 143


def test_a_signal_in_the_middle_of_an_import_waits_for_its_end(module):
    before = sys.gettrace()
    reached = []

    def command():
        importlib.import_module(module)
        reached.append("the command goes on")

    with pytest.raises(Interrupted) as caught, interruptible():
        command()
    sys.settrace(before)  # coverage has one
    assert caught.value.exit_code == 130
    assert not reached
    assert sys.modules["interrupted_inner"].whole
    assert sys.modules["interrupted_outer"].whole


def test_handlers_are_given_back_and_what_was_ignored_stays_ignored():
    before = signal.getsignal(signal.SIGINT)
    hung_up = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGINT) is not before
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGHUP, hung_up)


@pytest.mark.parametrize("moment", ["argparse", "devrun.report", "devrun.commands.ps"])
def test_ctrl_c_before_a_verb_runs_is_130_and_silent(moment, tmp_path):
    """Sent from within the imports that come before, by the first that asks for `moment`."""
    program = (
        "import signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {moment!r}: signal.raise_signal(signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "sys.argv = ['devrun', 'ps']\n"
        "from devrun.__main__ import main\n"
        "sys.exit(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")

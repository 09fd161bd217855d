"""Real tools leave nothing: vite, next, tsx and esbuild after every SIGKILL of devrun, and after the terminal closes."""

from __future__ import annotations

import urllib.request

import psutil
import pytest

from tests.support.arena import kill, supervisor_of
from tests.support.devrun import PROGRAM, devrun
from tests.support.monorepo import link_packages
from tests.support.processes import lives, wait_gone, wait_until

pytestmark = pytest.mark.node

TOOLS = ("vite", "next", "tsx", "esbuild")
STARTED = 120  # next compiles, and the machine may be busy


def answers(shown, url):
    shown.pump()
    try:
        with urllib.request.urlopen(url, timeout=STARTED) as answer:
            return bool(answer.read())
    except OSError:
        return False


def start(terminal, root):
    """Start everything in a terminal, wait until web and site answer; note every process of the run."""
    shown = terminal([PROGRAM, "up"], cwd=root)
    urls = [shown.read_until(rf"^ +{name} +(http://localhost:\d+)")[1] for name in ("api", "web", "site")]
    for url in urls[1:]:
        wait_until(lambda url=url: answers(shown, url), f"{url} answers", STARTED)
    shown.everybody = shown.process.children(recursive=True)
    words = " ".join(" ".join(each.cmdline()) for each in shown.everybody if lives(each))
    assert [tool for tool in TOOLS if tool not in words] == []
    return shown


@pytest.fixture
def running(monorepo, terminal, elsewhere):
    return start(terminal, monorepo.path)


def kill_keeper(shown):
    kill(shown.process)


def kill_supervisor(shown):
    kill(supervisor_of(shown.process))


def kill_both(shown):
    kill(shown.process, supervisor_of(shown.process))


def hang_up(shown):
    shown.hang_up()


def interrupt(shown):
    shown.interrupt()


@pytest.mark.parametrize("fault", [interrupt, hang_up, kill_keeper, kill_supervisor, kill_both])
def test_no_tool_outlives_the_fault(running, fault):
    """Without any start or sweep after it: all of them stay in their session and heed HUP."""
    fault(running)
    assert wait_gone(running.everybody) == []
    left = [each for each in psutil.Process().children(recursive=True) if each != running.process]
    assert wait_gone(left, 10) == []


def test_a_removed_worktree_leaves_no_tool(monorepo, installed_monorepo, terminal):
    """`git worktree remove` under a run of everything."""
    root = monorepo.worktree("second")
    link_packages(installed_monorepo, root)
    shown = start(terminal, root)
    monorepo.remove(root)
    assert shown.wait() == 1
    assert wait_gone(shown.everybody) == []
    assert "stopped" not in devrun("sweep", cwd=monorepo.path).stdout

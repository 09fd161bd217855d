"""A real monorepo under devrun (vite, tsx watch, esbuild --watch, next dev): it works, and nothing of it is left."""

from __future__ import annotations

import json
import os
import re
import urllib.request

import pytest

from tests.support.devrun import PROGRAM
from tests.support.monorepo import link_packages
from tests.support.processes import wait_gone, wait_until

pytestmark = pytest.mark.node

FIRST_COMPILE = 120  # next compiles a page when it is asked for it, and the machine may be busy


def fetch(url, timeout=FIRST_COMPILE):
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return answer.read().decode()


def greeting(web):
    try:
        return json.loads(fetch(f"{web}/api/greeting"))["greeting"]
    except OSError:  # the API is just being started again
        return ""


def ready(shown):
    """Read the URLs from the head of a run, and wait until everything is ready."""
    urls = {name: shown.read_until(rf"^ +{name} +(http://localhost:\d+)")[1] for name in ("api", "web", "site")}
    for url in (urls["web"], urls["site"]):
        wait_until(lambda url=url: _answers(url), f"{url} answers", FIRST_COMPILE)
    return urls


def _answers(url):
    try:
        return fetch(url)
    except OSError:
        return ""


def test_a_page_through_vite_calls_the_api_and_a_change_of_the_library_shows(monorepo, terminal, elsewhere):
    shown = terminal([PROGRAM, "up"], cwd=monorepo.path)
    urls = ready(shown)
    assert "/src/main.js" in fetch(urls["web"])
    assert "/api/greeting" in fetch(f"{urls['web']}/src/main.js")
    assert greeting(urls["web"]) == "Hello, worktree!"
    assert "Hello, worktree!" in fetch(urls["site"])
    source = os.path.join(monorepo.path, "packages/greeting/src/index.ts")
    with open(source, "r+", encoding="utf-8") as file:
        text = file.read().replace("Hello", "Good day")
        file.seek(0)
        file.write(text)
    wait_until(lambda: greeting(urls["web"]) == "Good day, worktree!", "esbuild and tsx took up the change", 60)
    shown.interrupt()
    assert shown.wait() == 130
    assert re.search(r"stopped.* in \d", shown.text.splitlines()[-1])


def test_two_worktrees_run_it_at_once_and_each_greets_with_its_own_code(monorepo, installed_monorepo, terminal):
    second, third = monorepo.worktree("second"), monorepo.worktree("third")
    link_packages(installed_monorepo, second)
    link_packages(installed_monorepo, third)
    monorepo.commit({"packages/greeting/src/index.ts": 'export const greet = () => "Third";\n'}, at=third)
    shown = {root: terminal([PROGRAM, "up", "web"], cwd=root) for root in (second, third)}
    urls = {root: each.read_until(r"^ +web +(http://localhost:\d+)")[1] for root, each in shown.items()}
    wait_until(lambda: greeting(urls[second]) == "Hello, worktree!", "the second worktree greets", FIRST_COMPILE)
    wait_until(lambda: greeting(urls[third]) == "Third", "the third worktree greets", FIRST_COMPILE)
    for each in shown.values():
        each.interrupt()
        assert each.wait() == 130


def test_closing_the_terminal_leaves_no_tool_behind(monorepo, terminal, elsewhere):
    """The leak guard is the assertion: nobody of vite, next, tsx and esbuild is left."""
    shown = terminal([PROGRAM, "up"], cwd=monorepo.path)
    ready(shown)
    shown.hang_up()
    assert shown.wait() == 129


@pytest.mark.parametrize("parts", [["supervisor"], ["keeper"], ["supervisor", "keeper"]], ids=" and ".join)
def test_a_sigkill_leaves_no_tool_behind(parts, monorepo, terminal, elsewhere):
    shown = terminal([PROGRAM, "up"], cwd=monorepo.path)
    ready(shown)
    (supervisor,) = shown.process.children()
    tools = supervisor.children(recursive=True)
    names = " ".join(" ".join(tool.cmdline()) for tool in tools)
    assert all(name in names for name in ("vite", "next", "tsx", "esbuild"))
    killed = {"supervisor": supervisor, "keeper": shown.process}
    for part in parts:
        killed[part].kill()
    assert wait_gone([*tools, *killed.values()], 8) == []
    shown.wait()

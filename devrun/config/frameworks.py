"""Dev servers that do not read PORT, and the flag that tells them: facts only.

Each row: the words of the command line that mark the server, in this order and not necessarily
side by side; the flag; whether it stays where it is put (a server that moves on to the next free
port when its own is taken answers on a port nobody knows, so `--strictPort` belongs to the flag).
Servers that read PORT (next, nuxt, react-scripts, parcel, serve, puma, …) are in `READS_PORT`.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple


class Server(NamedTuple):
    """A dev server by its words, the flag for its port, and the port it takes by itself."""

    words: tuple[str, ...]
    flag: str
    usual: int


SERVERS = (
    Server(("storybook", "dev"), "-p ${PORT} --exact-port", 6006),
    Server(("start-storybook",), "-p ${PORT}", 6006),
    Server(("ng", "serve"), "--port ${PORT}", 4200),
    Server(("nx", "serve"), "--port ${PORT}", 4200),
    Server(("react-router", "dev"), "--port ${PORT} --strictPort", 5173),
    Server(("remix", "vite:dev"), "--port ${PORT} --strictPort", 5173),
    Server(("astro", "dev"), "--port ${PORT}", 4321),
    Server(("astro", "preview"), "--port ${PORT}", 4321),
    Server(("expo", "start"), "--port ${PORT}", 8081),
    Server(("react-native", "start"), "--port ${PORT}", 8081),
    Server(("mint", "dev"), "--port ${PORT}", 3000),
    Server(("mintlify", "dev"), "--port ${PORT}", 3000),
    Server(("gatsby", "develop"), "--port ${PORT}", 8000),
    Server(("vitepress", "dev"), "--port ${PORT}", 5173),
    Server(("vinxi", "dev"), "--port ${PORT}", 3000),
    Server(("rsbuild", "dev"), "--port ${PORT}", 3000),
    Server(("webpack", "serve"), "--port ${PORT}", 8080),
    Server(("webpack-dev-server",), "--port ${PORT}", 8080),
    Server(("wrangler", "dev"), "--port ${PORT}", 8787),
    Server(("ladle", "serve"), "--port ${PORT}", 61000),
    Server(("eleventy", "--serve"), "--port=${PORT}", 8080),
    Server(("json-server",), "--port ${PORT}", 3000),
    Server(("prisma", "studio"), "--port ${PORT}", 5555),
    Server(("ionic", "serve"), "--port ${PORT}", 8100),
    Server(("quasar", "dev"), "--port ${PORT}", 9000),
    Server(("slidev",), "--port ${PORT}", 3030),
    Server(("vite", "build"), "", 0),
    Server(("vite",), "--port ${PORT} --strictPort", 5173),
    Server(("uvicorn",), "--port ${PORT}", 8000),
    Server(("fastapi", "dev"), "--port ${PORT}", 8000),
    Server(("flask", "run"), "--port ${PORT}", 5000),
    Server(("manage.py", "runserver"), "${PORT}", 8000),
    Server(("http.server",), "${PORT}", 8000),
    Server(("streamlit", "run"), "--server.port ${PORT}", 8501),
    Server(("mkdocs", "serve"), "--dev-addr 127.0.0.1:${PORT}", 8000),
    Server(("hugo", "server"), "--port ${PORT}", 1313),
    Server(("hugo", "serve"), "--port ${PORT}", 1313),
    Server(("jekyll", "serve"), "--port ${PORT}", 4000),
    Server(("artisan", "serve"), "--port=${PORT}", 8000),
)
READS_PORT = (
    Server(("next", "dev"), "", 3000),
    Server(("next", "start"), "", 3000),
    Server(("nuxt", "dev"), "", 3000),
    Server(("nuxi", "dev"), "", 3000),
    Server(("react-scripts", "start"), "", 3000),
    Server(("rails", "server"), "", 3000),
    Server(("rails", "s"), "", 3000),
    Server(("puma",), "", 9292),
    Server(("parcel",), "", 1234),
)
_SEPARATORS = re.compile(r"[;&|()\n]+")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_LAUNCHERS = frozenset(
    [
        "npx",
        "bunx",
        "pnpx",
        "dlx",
        "exec",
        "pnpm",
        "yarn",
        "npm",
        "bun",
        "run",
        "x",
        "uv",
        "poetry",
        "python",
        "python3",
        "php",
        "env",
        "dotenv",
        "dotenvx",
        "cross-env",
        "nohup",
        "time",
        "--",
        "-m",
        "node",
    ]
)
_VALUED = frozenset(["--filter", "-F", "-C", "--dir", "--cwd", "--workspace", "--prefix", "--package", "-p", "-u"])
"""Options of launchers that take the next word; in their `--filter=site` form it is one word anyway."""


def find_server(command: str) -> Server | None:
    """Return the dev server a command line starts, when it is a known one that ignores PORT."""
    found = _find(command, SERVERS)
    return found if found is not None and found.flag else None


def find_reader(command: str) -> Server | None:
    """Return the dev server a command line starts, when it is a known one that reads PORT."""
    return _find(command, READS_PORT)


def _find(command: str, servers: tuple[Server, ...]) -> Server | None:
    for part in _SEPARATORS.split(command):
        words = [os.path.basename(word.strip("'\"")) for word in part.split()]
        while words and (_ASSIGNMENT.match(words[0]) or words[0] in _LAUNCHERS or words[0].startswith("-")):
            del words[: 2 if words[0] in _VALUED else 1]
        for server in servers:
            if words and _program(words[0]) == server.words[0] and _in_order(server.words[1:], words[1:]):
                return server
    return None


def _program(word: str) -> str:
    """Return a program's own name: `storybook@8` of `npx storybook@8` is storybook."""
    return word.partition("@")[0] or word


def _in_order(wanted: tuple[str, ...], words: list[str]) -> bool:
    rest = iter(words)
    return all(any(word == each for word in rest) for each in wanted)

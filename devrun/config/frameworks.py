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
    """A dev server by its words, and the flag for its port; "" where there is nothing to tell."""

    words: tuple[str, ...]
    flag: str = ""


SERVERS = (
    Server(("storybook", "dev"), "-p ${PORT} --exact-port"),
    Server(("start-storybook",), "-p ${PORT}"),
    Server(("ng", "serve"), "--port ${PORT}"),
    Server(("nx", "serve"), "--port ${PORT}"),
    Server(("react-router", "dev"), "--port ${PORT} --strictPort"),
    Server(("remix", "vite:dev"), "--port ${PORT} --strictPort"),
    Server(("astro", "dev"), "--port ${PORT}"),
    Server(("astro", "preview"), "--port ${PORT}"),
    Server(("expo", "start"), "--port ${PORT}"),
    Server(("react-native", "start"), "--port ${PORT}"),
    Server(("mint", "dev"), "--port ${PORT}"),
    Server(("mintlify", "dev"), "--port ${PORT}"),
    Server(("gatsby", "develop"), "--port ${PORT}"),
    Server(("vitepress", "dev"), "--port ${PORT}"),
    Server(("vinxi", "dev"), "--port ${PORT}"),
    Server(("rsbuild", "dev"), "--port ${PORT}"),
    Server(("webpack", "serve"), "--port ${PORT}"),
    Server(("webpack-dev-server",), "--port ${PORT}"),
    Server(("wrangler", "dev"), "--port ${PORT}"),
    Server(("ladle", "serve"), "--port ${PORT}"),
    Server(("eleventy", "--serve"), "--port=${PORT}"),
    Server(("json-server",), "--port ${PORT}"),
    Server(("prisma", "studio"), "--port ${PORT}"),
    Server(("ionic", "serve"), "--port ${PORT}"),
    Server(("quasar", "dev"), "--port ${PORT}"),
    Server(("slidev",), "--port ${PORT}"),
    Server(("vite", "build")),  # serves nothing
    Server(("vite",), "--port ${PORT} --strictPort"),
    Server(("uvicorn",), "--port ${PORT}"),
    Server(("fastapi", "dev"), "--port ${PORT}"),
    Server(("flask", "run"), "--port ${PORT}"),
    Server(("manage.py", "runserver"), "${PORT}"),
    Server(("http.server",), "${PORT}"),
    Server(("streamlit", "run"), "--server.port ${PORT}"),
    Server(("mkdocs", "serve"), "--dev-addr 127.0.0.1:${PORT}"),
    Server(("hugo", "server"), "--port ${PORT}"),
    Server(("hugo", "serve"), "--port ${PORT}"),
    Server(("jekyll", "serve"), "--port ${PORT}"),
    Server(("artisan", "serve"), "--port=${PORT}"),
)
READS_PORT = (
    Server(("next", "dev")),
    Server(("next", "start")),
    Server(("nuxt", "dev")),
    Server(("nuxi", "dev")),
    Server(("react-scripts", "start")),
    Server(("rails", "server")),
    Server(("rails", "s")),
    Server(("puma",)),
    Server(("parcel",)),
)
_SEPARATORS = re.compile(r"[;&|()\n]+")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_LAUNCHERS = frozenset(
    """
    npx bunx pnpx dlx exec pnpm yarn npm bun run x uv poetry python
    python3 php env dotenv dotenvx cross-env nohup time -- -m node
    """.split()
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

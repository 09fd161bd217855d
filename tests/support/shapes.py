"""Service shapes: the ways a dev server behaves, as one small program that reports its pids.

    python shapes.py SHAPE READY [--alive FIFO] [--port PORT] [--code N] [--drain SECONDS]

READY is a FIFO or a file.  Every process of the shape appends one line to it, `{"shape", "role",
"pid", "port"}`, once its handlers are installed, so a test reads pids instead of guessing.  ALIVE is
a FIFO whose write end every process of the shape holds and never uses: end-of-file on the read end
says that all of them are gone.  With `PORT` in the environment (or `--port`) the main process
listens there and answers each request with a JSON object (shape, pid, cwd, port).

Standard library only, so that it runs as a service under any launcher: `python -I shapes.py …`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from typing import NamedTuple, NoReturn

FORK_LIMIT = 500  # the shape that re-forks gives up here: a test must not become a fork bomb


class Scene(NamedTuple):
    """What the command line said."""

    shape: str
    ready: str
    alive: str | None
    port: int | None
    code: int
    drain: float


def report(scene: Scene, role: str, port: int | None = None) -> None:
    """Say that this process is ready.  Nobody reading (any more) is no reason to fail."""
    line = json.dumps({"shape": scene.shape, "role": role, "pid": os.getpid(), "port": port}) + "\n"
    with contextlib.suppress(OSError):
        fd = os.open(scene.ready, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o600)
        try:
            os.write(fd, line.encode())
        finally:
            os.close(fd)


def hold(scene: Scene) -> None:
    """Open the write end of ALIVE and keep it for life, over fork and exec."""
    if scene.alive:
        with contextlib.suppress(OSError):
            os.set_inheritable(os.open(scene.alive, os.O_WRONLY | os.O_NONBLOCK), True)


def listen(scene: Scene, *, wanted: bool = False) -> socket.socket | None:
    """Listen on the port asked for; on any free one when a port is `wanted` and none was named."""
    if scene.port is None and not wanted:
        return None
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", scene.port or 0))
    server.listen(64)
    return server


def rest(scene: Scene, server: socket.socket | None = None) -> NoReturn:
    """Live until a signal ends it, answering requests when there is a socket."""
    while True:
        if server is None:
            signal.pause()
            continue
        client, _ = server.accept()
        with client, contextlib.suppress(OSError):
            client.settimeout(5)
            client.recv(65536)
            facts = {"shape": scene.shape, "pid": os.getpid(), "cwd": os.getcwd(), "port": server.getsockname()[1]}
            body = json.dumps(facts).encode()
            client.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def settle(scene: Scene, role: str = "main", *, wanted: bool = False) -> NoReturn:
    """Listen if asked to, report, live on."""
    server = listen(scene, wanted=wanted)
    report(scene, role, server.getsockname()[1] if server else None)
    rest(scene, server)


def child(body: Callable[[], object]) -> int:
    """Fork; run `body` in the child, which never returns from here."""
    pid = os.fork()
    if pid:
        return pid
    try:
        body()
    finally:
        os._exit(0)


def quiet(scene: Scene, role: str) -> NoReturn:
    """Be a member of a tree that listens nowhere."""
    report(scene, role)
    rest(scene)


# ------------------------------------------------------------------ the eleven shapes of the matrix


def listener(scene: Scene) -> None:
    """One process that listens."""
    settle(scene, wanted=True)


def tree(scene: Scene) -> None:
    """`sh` → parent → 3 workers."""
    report(scene, "sh")
    words = [sys.executable, "-I", os.path.abspath(__file__), "_parent", scene.ready]
    words += ["--port", str(scene.port)] if scene.port is not None else []
    os.execv("/bin/sh", ["sh", "-c", '"$@" & wait', "sh", *words])


def parent(scene: Scene) -> None:
    """The middle of `tree`; ALIVE is held already, by inheritance."""
    for number in range(3):
        child(lambda: quiet(scene, f"worker {number}"))  # noqa: B023 - the child runs it at once
    settle(scene, "parent")


def stubborn(scene: Scene) -> None:
    """Ignores TERM and INT."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settle(scene)


def session(scene: Scene) -> None:
    """A child that called setsid."""

    def leave() -> None:
        os.setsid()
        quiet(scene, "left session")

    child(leave)
    settle(scene)


def daemon(scene: Scene) -> None:
    """A double-forked daemon with every descriptor closed."""

    def leave() -> None:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.closerange(0, 256)
        os.open(os.devnull, os.O_RDWR)
        os.dup2(0, 1)
        os.dup2(0, 2)
        hold(scene)
        quiet(scene, "daemon")

    os.waitpid(child(leave), 0)
    settle(scene)


def stopped(scene: Scene) -> None:
    """Stopped by SIGSTOP (the child that stands still reports first)."""

    def stand_still() -> None:
        report(scene, "stopped")
        os.kill(os.getpid(), signal.SIGSTOP)
        rest(scene)

    os.waitpid(child(stand_still), os.WUNTRACED)
    settle(scene)


def respawner(scene: Scene) -> None:
    """A parent that starts a new child whenever one dies."""
    server = listen(scene)
    if server is not None:
        child(lambda: rest(scene, server))
    report(scene, "main", server.getsockname()[1] if server else None)
    while True:
        pid = child(lambda: quiet(scene, "child"))
        while os.waitpid(-1, 0)[0] != pid:
            pass


def deep(scene: Scene) -> None:
    """Eight levels whose middle ones exited: the leaf was adopted."""
    reader, writer = os.pipe()

    def descend(level: int) -> None:
        if level < 8:
            child(lambda: descend(level + 1))
            os._exit(0)
        os.close(writer)
        os.read(reader, 1)  # end-of-file: everybody in between has gone
        quiet(scene, "leaf")

    os.waitpid(child(lambda: descend(2)), 0)
    os.close(writer)
    settle(scene)


def noisy(scene: Scene) -> None:
    """20 000 lines a second."""
    server = listen(scene)
    report(scene, "main", server.getsockname()[1] if server else None)
    block = b"".join(b"%s line %04d of the noisy service\n" % (scene.shape.encode(), n) for n in range(1000))
    while True:
        os.write(1, block)
        readable, _, _ = select.select([server] if server else [], [], [], 0.05)
        if readable:
            server.accept()[0].close()


def nohup(scene: Scene) -> None:
    """Ignores HUP."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    settle(scene)


def background(scene: Scene) -> None:
    """A background group in the session (`set -m`, `timeout`)."""

    def leave() -> None:
        os.setpgid(0, 0)
        quiet(scene, "background")

    child(leave)
    settle(scene)


# ------------------------------------------------------------------------- shapes of single stories


def drain(scene: Scene) -> None:
    """Needs a while after TERM or INT, then says `drained` and ends well."""

    def finish(signum: int, _frame: object) -> None:
        signal.signal(signum, signal.SIG_IGN)
        print(f"draining after {signal.Signals(signum).name}", flush=True)
        select.select([], [], [], scene.drain)
        print("drained", flush=True)
        os._exit(0)

    signal.signal(signal.SIGTERM, finish)
    signal.signal(signal.SIGINT, finish)
    settle(scene)


def exits(scene: Scene) -> None:
    """Reports and ends at once with `--code`."""
    report(scene, "main")
    print(f"ending with {scene.code}", flush=True)
    sys.exit(scene.code)


def spinner(scene: Scene) -> None:
    """The loser of a race for a port: listens nowhere, does not exit, keeps busy."""
    report(scene, "main")
    while True:
        select.select([], [], [], 0.01)


def reforker(scene: Scene, generation: int = 0) -> None:
    """Answers TERM with a child that takes its place: one pass over the tree never gets it."""

    def split(_signum: int, _frame: object) -> None:
        if generation < FORK_LIMIT:
            child(lambda: reforker(scene, generation + 1))
        os._exit(0)

    def grow() -> None:
        signal.signal(signal.SIGTERM, split)
        quiet(scene, f"generation {generation}")

    if generation:
        grow()
    child(grow)
    settle(scene)


def prompt(scene: Scene) -> None:
    """Asks on the terminal, as sudo and ssh do, and prints what it was told."""
    report(scene, "main")
    with open("/dev/tty", "r+b", buffering=0) as terminal:
        terminal.write(b"Password: ")
        answer = terminal.readline()
    print(f"told {answer.decode().strip()}", flush=True)
    rest(scene)


MATRIX = {  # shape → how many processes report
    "listener": 1,
    "tree": 5,
    "stubborn": 1,
    "session": 2,
    "daemon": 2,
    "stopped": 2,
    "respawner": 2,
    "deep": 2,
    "noisy": 1,
    "nohup": 1,
    "background": 2,
}
STORIES = {"drain": 1, "exits": 1, "spinner": 1, "reforker": 2, "prompt": 1}
COUNTS = {**MATRIX, **STORIES}


def main() -> None:
    """Be the shape that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", choices=[*COUNTS, "_parent"])
    parser.add_argument("ready")
    parser.add_argument("--alive")
    parser.add_argument("--port", type=int, default=os.environ.get("PORT"))
    parser.add_argument("--code", type=int, default=0)
    parser.add_argument("--drain", type=float, default=0.6)
    scene = Scene(**vars(parser.parse_args()))
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    hold(scene)
    body = parent if scene.shape == "_parent" else globals()[scene.shape]
    body(scene._replace(shape="tree") if body is parent else scene)


if __name__ == "__main__":
    main()

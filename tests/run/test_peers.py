"""Only the user's own processes are talked to."""

from __future__ import annotations

import os
import socket

from devrun.run.talk.peers import is_own_user


def test_our_own_process_is_ours(monkeypatch):
    one, two = socket.socketpair(socket.AF_UNIX)
    with one, two:
        assert is_own_user(one)
        monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)
        assert not is_own_user(one)


def test_who_cannot_be_asked_is_not_ours():
    one, two = socket.socketpair(socket.AF_UNIX)
    with two:
        one.close()
        assert not is_own_user(one)

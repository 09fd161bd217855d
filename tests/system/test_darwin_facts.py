"""What macOS would answer, packed by hand: the parts of `darwin_facts` that are not the system's own."""

from __future__ import annotations

import ctypes
import os
import struct

import pytest

from devrun.model import FileId
from devrun.system import darwin_facts


class Library:
    """The two functions of the C library, with answers a test packs."""

    def __init__(self, path, *, inode=None, links=2, size=2352):
        self.path, self.links, self.size = path, links, size
        self.inode = os.stat(".").st_ino if inode is None else inode

    def proc_pidinfo(self, _pid, flavor, _argument, buffer, size):
        assert (flavor, size) == (9, 2352)
        head = struct.pack("=IHHQ", os.stat(".").st_dev, 0o40755, self.links, self.inode)
        answer = head.ljust(152, b"\0") + os.fsencode(self.path).ljust(1024, b"\0")
        ctypes.memmove(buffer, answer, len(answer))
        return self.size

    def sysctlbyname(self, name, buffer, _size, _new, _new_size):
        assert name == b"kern.bootsessionuuid"
        ctypes.memmove(buffer, b"C0FFEE\0", 7)
        return 0


@pytest.fixture
def library(monkeypatch):
    def install(made):
        darwin_facts._agrees_with_stat.cache_clear()
        monkeypatch.setattr(darwin_facts, "_library", lambda: made)

    yield install
    darwin_facts._agrees_with_stat.cache_clear()


def test_the_folder_a_process_stands_in_has_device_and_inode(library):
    library(Library("/w/app"))
    found = darwin_facts.working_directory(os.getpid())
    here = os.stat(".")
    assert (found.path, found.deleted) == ("/w/app", False)
    assert found.file_id == FileId(here.st_dev, here.st_ino)


def test_a_folder_without_links_is_deleted(library):
    library(Library("/w/app", links=0))
    assert darwin_facts.working_directory(os.getpid()).deleted


@pytest.mark.parametrize(
    "made",
    [Library("/w/app", inode=1), Library("/w/app", size=0), Library(""), object()],
    ids=["another struct", "refused", "no path", "no such function"],
)
def test_an_answer_that_does_not_agree_with_stat_is_not_believed(library, made):
    library(made)
    assert darwin_facts.working_directory(os.getpid()) is None


def test_the_boot_session_is_read(library):
    library(Library("/"))
    assert darwin_facts.boot_session() == "C0FFEE"


def test_a_system_without_boot_sessions_has_none(library):
    library(object())
    assert darwin_facts.boot_session() is None

"""Listening TCP sockets from the kernel, and who holds them from /proc/PID/fd.

The sockets come from sock_diag(7), asked for state LISTEN only: /proc/net/tcp walks the whole hash
of connections (4 ms a file on an idle machine) where sock_diag walks the listeners.  Where a
sandbox refuses the netlink socket, /proc/net/tcp and tcp6 are parsed.

The kernel does not tell who holds a socket: the links in /proc/PID/fd do, one `readlink` each.
Only processes of the same user are looked at (another user's are closed, proc(5)); a socket whose
holder is not found - another user, another pid namespace, a container - has pid None.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Container, Iterable, Iterator
from typing import NamedTuple

from devrun.model import Listener

_AF_NETLINK = 16
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST_AND_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP, netlink(7)
_DONE, _ERROR = 3, 2
_LISTEN = 10  # TCP_LISTEN, include/net/tcp_states.h; 0A in /proc/net/tcp
_MESSAGE = struct.Struct("=IHHII")  # nlmsghdr
_REPLY_HEAD = struct.Struct(
    "!4xH2x16s"
)  # inet_diag_msg: family, state, timer, retransmits; source port; source address
_REPLY_TAIL = struct.Struct("=II")  # … uid, inode
_TAIL_OFFSET = 64


class Socket(NamedTuple):
    """A listening socket; `uid` made it, `inode` is what /proc/PID/fd links to (0: the kernel's own)."""

    port: int
    address: str
    uid: int
    inode: int


def read_sockets() -> tuple[Socket, ...] | None:
    """Return every listening TCP socket of this network namespace, None when neither way works."""
    try:
        return tuple(_from_netlink())
    except (OSError, struct.error):
        pass
    try:
        return tuple(_from_proc("/proc/net/tcp", socket.AF_INET)) + tuple(_from_proc("/proc/net/tcp6", socket.AF_INET6))
    except (OSError, ValueError):
        return None


def read_listeners() -> tuple[Listener, ...] | None:
    """Return every listener, one row for each holder."""
    return listeners_on(None)


def listeners_on(ports: Container[int] | None, pids: Iterable[int] | None = None) -> tuple[Listener, ...] | None:
    """Return the listeners on `ports` (None: on any), one row for each holder.

    With `pids` their descriptors are looked at first, and the others' only for sockets that none of
    these holds: whoever knows the likely holders pays for them alone.
    """
    sockets = read_sockets()
    if sockets is None:
        return None
    wanted = [each for each in sockets if ports is None or each.port in ports]
    euid = os.geteuid()
    targets = {b"socket:[%d]" % each.inode for each in wanted if each.inode and (euid in (0, each.uid))}
    holders: dict[bytes, list[int]] = {}
    if targets and pids is not None:
        _find_holders((b"%d" % pid for pid in pids), targets, holders)
        targets -= holders.keys()
    if targets:
        _find_holders(_own_pids(euid), targets, holders)
    rows = []
    for each in wanted:
        found: list[int] | list[None] = holders.get(b"socket:[%d]" % each.inode) or [None]
        rows += [Listener(port=each.port, address=each.address, pid=pid) for pid in found]
    return tuple(rows)


def _from_netlink() -> Iterator[Socket]:
    with socket.socket(_AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as netlink:
        netlink.settimeout(1)
        for family in (socket.AF_INET, socket.AF_INET6):
            query = struct.pack("=BBBxI48x", family, socket.IPPROTO_TCP, 0, 1 << _LISTEN)  # inet_diag_req_v2
            head = _MESSAGE.pack(_MESSAGE.size + len(query), _SOCK_DIAG_BY_FAMILY, _REQUEST_AND_DUMP, family, 0)
            netlink.sendto(head + query, (0, 0))
            yield from _replies(netlink, family)


def _replies(netlink: socket.socket, family: int) -> Iterator[Socket]:
    while True:
        data = netlink.recv(1 << 18)
        offset = 0
        while offset < len(data):
            length, kind, _, _, _ = _MESSAGE.unpack_from(data, offset)
            if kind == _DONE:
                return
            if kind == _ERROR or length < _MESSAGE.size:
                raise OSError("sock_diag was refused")
            body = offset + _MESSAGE.size
            port, address = _REPLY_HEAD.unpack_from(data, body)
            uid, inode = _REPLY_TAIL.unpack_from(data, body + _TAIL_OFFSET)
            raw = address[:4] if family == socket.AF_INET else address
            yield Socket(port, socket.inet_ntop(family, raw), uid, inode)
            offset += (length + 3) & ~3


def _from_proc(path: str, family: socket.AddressFamily) -> Iterator[Socket]:
    try:
        with open(path, "rb", buffering=1 << 16) as table:
            lines = table.read().splitlines()[1:]
    except FileNotFoundError:
        if family == socket.AF_INET6:
            return  # a kernel without IPv6
        raise
    for line in lines:
        if b" 0A " not in line:
            continue
        fields = line.split(None, 10)
        address, _, port = fields[1].partition(b":")
        if fields[3] == b"0A":
            yield Socket(int(port, 16), _address(address, family), int(fields[7]), int(fields[9]))


def _address(text: bytes, family: socket.AddressFamily) -> str:
    """Decode an address as the kernel prints it: words of 32 bits in the byte order of the machine."""
    raw = b"".join(struct.pack("=I", int(text[at : at + 8], 16)) for at in range(0, len(text), 8))
    return socket.inet_ntop(family, raw)


def _own_pids(euid: int) -> Iterator[bytes]:
    for name in os.listdir(b"/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                if euid == 0 or os.stat(b"/proc/" + name).st_uid == euid:
                    yield name


def _find_holders(names: Iterable[bytes], targets: set[bytes], holders: dict[bytes, list[int]]) -> None:
    """Add who holds the targets: all of them, a socket that was inherited over fork has several."""
    for name in names:
        folder = b"/proc/" + name + b"/fd/"
        try:
            descriptors = os.listdir(folder)
        except OSError:
            continue
        for descriptor in descriptors:
            try:
                link = os.readlink(folder + descriptor)
            except OSError:
                continue
            if link in targets:
                pids = holders.setdefault(link, [])
                if int(name) not in pids:
                    pids.append(int(name))

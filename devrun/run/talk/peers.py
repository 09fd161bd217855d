"""Who is at the other end of a Unix socket: only the user's own processes are talked to."""

from __future__ import annotations

import os
import socket
import struct
import sys


def is_own_user(connection: socket.socket) -> bool:
    """Check the peer's uid: SO_PEERCRED on Linux (unix(7)), LOCAL_PEERCRED on macOS and the BSDs.

    What cannot be told is not our own.
    """
    try:
        if sys.platform == "linux":
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            return bool(struct.unpack("3i", credentials)[1] == os.geteuid())
        # struct xucred { u_int cr_version; uid_t cr_uid; … }; SOL_LOCAL is 0, LOCAL_PEERCRED is 1.
        credentials = connection.getsockopt(0, 1, 76)
        return bool(struct.unpack_from("2I", credentials)[1] == os.geteuid())
    except (OSError, struct.error):
        return False

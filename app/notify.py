"""systemd's readiness and watchdog messages: a few lines over its datagram socket.

No library: the protocol is one datagram. Outside systemd this does nothing, and a full or vanished
socket is nobody's reason to stop.
"""

import os
import socket


def notify(*lines: str) -> bool:
    """Send `READY=1`, `STATUS=...` and the like; False where nobody listens or nobody took it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    message = "\n".join(" ".join(line.splitlines()) for line in lines).encode()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            sender.sendto(message, address)
    except OSError:
        return False
    return True

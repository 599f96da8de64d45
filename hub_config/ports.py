"""Whether a port can be had."""

from __future__ import annotations

import socket


def is_free(host: str, port: int) -> bool:
    """Whether something could listen on `port` of `host` ("" means every address of this machine)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError:
        return False
    return True

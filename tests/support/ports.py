"""Ports for servers that a test starts."""

import secrets

from regrow.hub_config.ports import is_free


def free_port(*offsets: int) -> int:
    """A TCP port that nothing listens on now, on any address, nor on those `offsets` above it.

    It is outside the range from which the kernel takes ports for connections, so nothing else takes it meanwhile.
    """
    while True:
        port = 20000 + secrets.randbelow(10000)
        if all(is_free("", port + offset) for offset in (0, *offsets)):
            return port

"""Where an image starts: a base that is here, one from a registry, or one of this machine's own packages."""

from __future__ import annotations

from collections.abc import Callable

import docker
from docker.errors import APIError, ImageNotFound

from regrow.images.debootstrap import can_make_base, make_base
from regrow.images.errors import BuildFailed

HOME_MADE = "regrow/base:latest"


def find_base(client: docker.APIClient, wanted: str | None, default: str, say: Callable[[str], object]) -> str:
    """The name of the base image to build from: `wanted`, or `default` when None.

    Without a registry, and when nothing else was asked for, a Debian or Ubuntu machine makes its own. Raises
    `BuildFailed`.
    """
    name = wanted or default
    if _is_here(client, name):
        return name
    replaceable = wanted is None and not default.startswith("nvidia/")
    if replaceable and _is_here(client, HOME_MADE):
        say(f"Base image: {HOME_MADE}, made earlier on this machine.")
        return HOME_MADE
    say(f"Base image: {name} is pulled.")
    try:
        _pull(client, name)
    except APIError as error:
        obstacle = can_make_base()
        if replaceable and not obstacle:
            say(f"{name} can't be pulled; {HOME_MADE} is made from this machine's own package sources.")
            make_base(client, HOME_MADE, say)
            return HOME_MADE
        raise BuildFailed(
            f"The base image {name!r} is not on this machine and can't be pulled: {error.explanation}\n"
            "Load it (docker load), or name another Debian or Ubuntu image with --base-image."
            + (f" Nor can one be made here: {obstacle}" if replaceable else "")
        ) from error
    return name


def _is_here(client: docker.APIClient, name: str) -> bool:
    try:
        client.inspect_image(name)
    except ImageNotFound:
        return False
    return True


def _pull(client: docker.APIClient, name: str) -> None:
    # A name without a tag would pull every tag.
    tagged = name if ":" in name.rsplit("/", 1)[-1] or "@" in name else f"{name}:latest"
    for message in client.pull(tagged, stream=True, decode=True):
        if "error" in message:
            raise APIError(message["error"], explanation=message["error"])

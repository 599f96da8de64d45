"""Which images can run a notebook server, and what the others lack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound

from regrow.images.errors import ImageError, ImageMissing, ImageUnfit

__all__ = [
    "LABEL_ABI",
    "LABEL_UID",
    "LABEL_VERSION",
    "ImageError",
    "ImageInfo",
    "inspect_image",
    "what_is_missing",
]

LABEL_VERSION = "io.regrow.version"
LABEL_ABI = "io.regrow.abi"
LABEL_UID = "io.regrow.uid"

_CHECK_TIMEOUT_S = 60

# Names, one to a line, what is not there. It uses what every POSIX shell has.
_CHECK = r"""
PATH=/opt/regrow/bin:$PATH
for program in bash sudo tini git g++ cmake ninja gdb python3 regrow-singleuser; do
  command -v "$program" >/dev/null 2>&1 || echo "$program"
done
if grep -q '^jovyan:' /etc/passwd 2>/dev/null; then
  ! command -v sudo >/dev/null 2>&1 || sudo -n -u jovyan sudo -n true >/dev/null 2>&1 ||
    echo "sudo without a password for jovyan"
else
  echo "a user jovyan"
fi
[ -d /opt/regrow/bin ] || echo "the virtual environment /opt/regrow"
"""


@dataclass(frozen=True)
class ImageInfo:
    """What the labels of an image say about it, and its size in bytes and time of creation (ISO 8601)."""

    name: str
    id: str
    version: str
    abi: str
    uid: int
    size: int
    created: str


def inspect_image(client: docker.APIClient, image: str) -> ImageInfo:
    """What `image` is. Raises `ImageMissing`, or `ImageUnfit` with the list of what it lacks."""
    try:
        found = client.inspect_image(image)
    except ImageNotFound as error:
        raise ImageMissing(
            f"There is no image {image!r} on this Docker engine. Build it (regrow images build) or pull it "
            "(docker pull), then start again."
        ) from error
    info = describe(image, found)
    if info is None:
        raise ImageUnfit(image, what_is_missing(client, image))
    return info


def describe(name: str, inspected: dict[str, Any]) -> ImageInfo | None:
    """The engine's answer about an image as an `ImageInfo`; None when it has not all of our labels."""
    labels = inspected["Config"].get("Labels") or {}
    uid = labels.get(LABEL_UID, "")
    if not (labels.get(LABEL_VERSION) and labels.get(LABEL_ABI) and uid.isdecimal()):
        return None
    return ImageInfo(
        name=name,
        id=inspected["Id"],
        version=labels[LABEL_VERSION],
        abi=labels[LABEL_ABI],
        uid=int(uid),
        size=inspected["Size"],
        created=inspected["Created"],
    )


def what_is_missing(client: docker.APIClient, image: str) -> list[str]:
    """What `image` lacks to run notebook servers; empty when nothing is.

    It runs a container without a network, and removes it. Raises `ImageError` when the engine refuses to.
    """
    labels = client.inspect_image(image)["Config"].get("Labels") or {}
    missing = [f"the label {label}" for label in (LABEL_VERSION, LABEL_ABI, LABEL_UID) if not labels.get(label)]
    container = client.create_container(
        image,
        entrypoint=["sh", "-c", _CHECK],
        command=[],
        user="0",
        working_dir="/",
        network_disabled=True,
        host_config=client.create_host_config(network_mode="none"),
        labels={"io.regrow.check": image},
    )["Id"]
    try:
        client.start(container)
        client.wait(container, timeout=_CHECK_TIMEOUT_S)
        said = client.logs(container, stdout=True, stderr=False).decode(errors="replace")
    except APIError as error:
        if "executable file not found" in str(error.explanation):
            return ["a shell (sh)", *missing]
        raise ImageError(f"The image {image!r} could not be looked into: {error.explanation}") from error
    finally:
        client.remove_container(container, force=True, v=True)
    return [*said.splitlines(), *missing]

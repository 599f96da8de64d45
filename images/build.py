"""Builds the notebook images. Called by `regrow images build` and by `regrow up`."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import re
import tempfile
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound

from regrow.images.base import find_base
from regrow.images.check import LABEL_ABI, LABEL_UID, LABEL_VERSION, ImageInfo, inspect_image
from regrow.images.context import DOCKERFILE, fill_context
from regrow.images.engine import connect
from regrow.images.errors import BuildFailed, ImageError

Progress = Callable[[str], object]

_STEP = re.compile(r"Step (\d+)/(\d+) : (.*)")
_LINES_TOLD = 20


@dataclass(frozen=True)
class Variant:
    """One kind of image: the base it starts from, and whose torch it gets."""

    base: str
    torch: str


VARIANTS = {
    "cpu": Variant(base="debian:bookworm-slim", torch="cpu"),
    "cuda": Variant(base="nvidia/cuda:13.0.2-devel-ubuntu24.04", torch="cuda"),
}


def image_name(variant: str) -> str:
    """The name that an image of this variant is given: `regrow/notebook:cpu`."""
    return f"regrow/notebook:{variant}"


def image_exists(image: str, client: docker.APIClient | None = None) -> bool:
    """Whether the engine has `image`. Raises `EngineMissing`."""
    client = client or connect()
    try:
        client.inspect_image(image)
    except ImageNotFound:
        return False
    return True


def build_image(
    variant: str,
    *,
    base_image: str | None = None,
    tag: str | None = None,
    uid: int = 1000,
    torch: bool = True,
    progress: Progress | None = None,
    client: docker.APIClient | None = None,
) -> ImageInfo:
    """Build an image of `variant` (a key of `VARIANTS`) and name it `tag`, by default `image_name(variant)`.

    `uid` is that of the image's user jovyan. `progress` is called with each line that the build prints. The
    name is given last: a build that fails leaves an image of that name as it was. Raises `ImageError`.
    """
    if variant not in VARIANTS:
        raise ImageError(f"There is no image variant {variant!r}. Variants: {', '.join(VARIANTS)}.")
    if not 1 <= uid < 2**31:
        raise ImageError(f"The user id of an image's user is between 1 and {2**31 - 1}; {uid} isn't.")
    say = progress or (lambda line: None)
    client = client or connect()
    tag = tag or image_name(variant)
    base = find_base(client, base_image, VARIANTS[variant].base, say)
    torch_kind = VARIANTS[variant].torch if torch else "none"
    with tempfile.TemporaryDirectory(prefix="regrow-image-") as folder:
        fill_context(Path(folder), torch=torch_kind)
        built = _build(
            client,
            say,
            path=folder,
            dockerfile=DOCKERFILE,
            buildargs={"BASE_IMAGE": base, "NB_UID": str(uid), "TORCH": torch_kind},
        )
    labels = {
        LABEL_VERSION: importlib.metadata.version("regrow"),
        LABEL_ABI: abi_of(client, built),
        LABEL_UID: str(uid),
    }
    replaced = client.inspect_image(tag)["Id"] if image_exists(tag, client) else ""
    _build(client, say, fileobj=io.BytesIO(f"FROM {built}\n".encode()), labels=labels, tag=tag)
    info = inspect_image(client, tag)
    if replaced and replaced != info.id:
        # The engine keeps one that has another name, or that a container or an image was made from.
        with contextlib.suppress(APIError):
            client.remove_image(replaced)
    return info


def abi_of(client: docker.APIClient, image: str) -> str:
    """The ABI key that a server in `image` would find. Raises `BuildFailed`."""
    container = client.create_container(
        image,
        entrypoint=["python", "-I", "-m", "regrow.server_extension.abi"],
        command=[],
        host_config=client.create_host_config(network_mode="none"),
    )["Id"]
    try:
        client.start(container)
        status = client.wait(container, timeout=60)["StatusCode"]
        output = str(client.logs(container).decode(errors="replace")).strip()
    finally:
        client.remove_container(container, force=True)
    if status:
        raise BuildFailed(f"The image was built, but its ABI key can't be worked out in it: {output}")
    return output


def _build(client: docker.APIClient, say: Progress, **arguments: Any) -> str:
    """Run one build and return the id of the image that it made."""
    # No timeout: a step may be silent for as long as a download takes. The host's network: some machines
    # reach their registries only from there.
    lines = client.build(rm=True, forcerm=True, decode=True, timeout=None, network_mode="host", **arguments)
    try:
        return follow(lines, say)
    except APIError as error:
        raise BuildFailed(f"The Docker engine refused to build the image: {error.explanation}") from error


def follow(messages: Iterable[dict[str, Any]], say: Progress) -> str:
    """Tell `say` each line of a build's `messages` and return the image's id.

    Raises `BuildFailed` with the step that failed and its last lines.
    """
    step = "before the first step"
    last: deque[str] = deque(maxlen=_LINES_TOLD)
    image = ""
    for message in messages:
        if "error" in message:
            told = "\n".join(f"  {line}" for line in last) or "  (it printed nothing)"
            raise BuildFailed(
                f"The image could not be built. It stopped {step}:\n{told}\n{message['error'].strip()}\n"
                "An image of this name that was there before is as it was."
            )
        image = message.get("aux", {}).get("ID", image)
        for line in message.get("stream", "").splitlines():
            found = _STEP.match(line)
            if found:
                step = f"in step {found[1]} of {found[2]}, {found[3]}"
                last.clear()
            elif line.strip():
                last.append(line.rstrip())
            if line.strip():
                say(line.rstrip())
    return image

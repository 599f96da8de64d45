"""`regrow images build` and `regrow images list`."""

from __future__ import annotations

import sys
from typing import Any

from traitlets import Bool, Integer, Unicode
from traitlets.config import Application, catch_config_error

from regrow.images.build import VARIANTS, build_image, image_name
from regrow.images.check import LABEL_VERSION, ImageInfo, describe
from regrow.images.engine import connect
from regrow.images.errors import ImageError
from regrow.images.progress import BuildProgress


class ImagesBuildApp(Application):
    """`regrow images build [cpu|cuda]`."""

    name = "regrow images build"
    description = "Build a notebook image: cpu (the default) or cuda."
    examples = """
    regrow images build                                   # regrow/notebook:cpu
    regrow images build cuda --no-torch
    regrow images build cpu --base-image ubuntu:24.04 --tag example/notebook:1
    """

    base_image = Unicode(
        "",
        config=True,
        help="The image to start from: Debian or Ubuntu with Python 3.11 or later. Empty: the variant's own.",
    )
    tag = Unicode("", config=True, help="The name of the new image. Empty: regrow/notebook:VARIANT.")
    uid = Integer(1000, config=True, help="The user id of the image's user, jovyan.")
    torch = Bool(True, config=True, help="Whether torch is installed.")
    verbose = Bool(False, config=True, help="Print all that the build prints.")

    aliases = {
        "base-image": "ImagesBuildApp.base_image",
        "tag": "ImagesBuildApp.tag",
        "uid": "ImagesBuildApp.uid",
    }
    flags = {
        "torch": ({"ImagesBuildApp": {"torch": True}}, "Install torch (the default)."),
        "no-torch": ({"ImagesBuildApp": {"torch": False}}, "Leave torch out."),
        "verbose": ({"ImagesBuildApp": {"verbose": True}}, "Print all that the build prints."),
    }

    @catch_config_error
    def initialize(self, argv: Any = None) -> None:
        super().initialize(argv)
        self.variant = self.extra_args[0] if self.extra_args else "cpu"
        if len(self.extra_args) > 1 or self.variant not in VARIANTS:
            print(
                f"{self.name}: one of {', '.join(VARIANTS)}, not {' '.join(self.extra_args)!r}.",
                file=sys.stderr,
            )
            self.exit(2)

    def start(self) -> None:
        try:
            with BuildProgress(verbose=self.verbose) as progress:
                info = build_image(
                    self.variant,
                    base_image=self.base_image or None,
                    tag=self.tag or None,
                    uid=self.uid,
                    torch=self.torch,
                    progress=progress,
                )
        except ImageError as error:
            print(f"{self.name}: {error}", file=sys.stderr)
            self.exit(1)
        print(f"Built {info.name}: version {info.version}, ABI {info.abi}, uid {info.uid}, {_size(info.size)}.")


class ImagesListApp(Application):
    """`regrow images list`."""

    name = "regrow images list"
    description = "List this engine's notebook images, and those that were built from them."

    def start(self) -> None:
        if self.extra_args:
            print(f"{self.name} takes no argument, not {' '.join(self.extra_args)!r}.", file=sys.stderr)
            self.exit(2)
        try:
            images = list_images()
        except ImageError as error:
            print(f"{self.name}: {error}", file=sys.stderr)
            self.exit(1)
        if not images:
            print(f"There are no notebook images. Build {image_name('cpu')}: regrow images build")
            return
        rows = [("NAME", "VERSION", "ABI", "UID", "SIZE", "CREATED")]
        rows += [
            (
                info.name,
                info.version,
                info.abi,
                str(info.uid),
                _size(info.size),
                info.created[:16].replace("T", " "),
            )
            for info in images
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


class ImagesApp(Application):
    """`regrow images`."""

    name = "regrow images"
    description = "Build and list notebook images."
    subcommands = {
        "build": (ImagesBuildApp, "Build a notebook image."),
        "list": (ImagesListApp, "List the notebook images of this Docker engine."),
    }

    @catch_config_error
    def initialize(self, argv: Any = None) -> None:
        super().initialize(argv)
        if self.subapp is None:
            self.print_help()
            self.exit(2 if self.extra_args else 0)

    def start(self) -> None:
        assert self.subapp is not None
        self.subapp.start()


def list_images() -> list[ImageInfo]:
    """The named images of this engine that have our labels, by name. Raises `EngineMissing`."""
    client = connect()
    found = []
    for image in client.images(filters={"label": LABEL_VERSION, "dangling": False}):
        inspected = client.inspect_image(image["Id"])
        for name in inspected["RepoTags"]:
            info = describe(name, inspected)
            if info:
                found.append(info)
    return sorted(found, key=lambda info: info.name)


def _size(size: int) -> str:
    return f"{size / 1e9:.2f} GB"

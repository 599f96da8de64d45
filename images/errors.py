"""What can go wrong with an image, in words for the person who has to do something about it."""

from __future__ import annotations


class ImageError(Exception):
    """The base of what this part raises; the message is for people."""


class EngineMissing(ImageError):
    """No Docker engine answers."""


class ImageMissing(ImageError):
    """There is no image of that name on this engine."""


class ImageUnfit(ImageError):
    """The image lacks what a notebook server needs; `missing` names it."""

    def __init__(self, image: str, missing: list[str]):
        self.image = image
        self.missing = missing
        super().__init__(
            f"The image {image!r} can't run notebook servers. It lacks: {', '.join(missing)}. "
            "Build it FROM regrow/notebook:cpu or regrow/notebook:cuda (see docs/images.md)."
        )


class BuildFailed(ImageError):
    """An image could not be built; the images that were there are untouched."""

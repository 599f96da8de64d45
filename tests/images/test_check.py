from __future__ import annotations

import uuid
from collections.abc import Callable

import docker
import pytest

from regrow.images.check import (
    LABEL_ABI,
    LABEL_UID,
    LABEL_VERSION,
    ImageError,
    describe,
    inspect_image,
    what_is_missing,
)
from regrow.images.errors import ImageMissing, ImageUnfit

Build = Callable[[str], str]

LABELS = {LABEL_VERSION: "1.0", LABEL_ABI: "debian12-x86_64-glibc2.36-gcc12", LABEL_UID: "1000"}


def inspected(labels: dict[str, str] | None) -> dict[str, object]:
    return {"Id": "sha256:1", "Config": {"Labels": labels}, "Size": 1, "Created": "2026-11-21T00:00:00Z"}


def test_an_image_is_ours_when_it_has_all_labels() -> None:
    info = describe("an:image", inspected(LABELS))
    assert info
    assert (info.version, info.abi, info.uid) == ("1.0", "debian12-x86_64-glibc2.36-gcc12", 1000)
    assert describe("an:image", inspected(None)) is None
    assert describe("an:image", inspected(LABELS | {LABEL_UID: "root"})) is None
    assert describe("an:image", inspected({LABEL_VERSION: "1.0"})) is None


@pytest.mark.docker
def test_ours_lacks_nothing(client: docker.APIClient, notebook_image: str) -> None:
    assert what_is_missing(client, notebook_image) == []
    assert inspect_image(client, notebook_image).uid == 1000


@pytest.mark.docker
def test_an_image_built_from_ours_is_accepted(client: docker.APIClient, notebook_image: str, build: Build) -> None:
    derived = build(f"FROM {notebook_image}\nUSER root\nRUN echo ours > /etc/ours\nUSER jovyan\n")
    ours, theirs = inspect_image(client, notebook_image), inspect_image(client, derived)
    assert (theirs.abi, theirs.version, theirs.uid) == (ours.abi, ours.version, ours.uid)
    assert what_is_missing(client, derived) == []


@pytest.mark.docker
def test_a_foreign_image_is_refused_with_all_that_it_lacks(client: docker.APIClient, foreign_image: str) -> None:
    with pytest.raises(ImageUnfit, match=r"It lacks: .*Build it FROM regrow/notebook:cpu") as caught:
        inspect_image(client, foreign_image)
    missing = caught.value.missing
    assert {"sudo", "g++", "cmake", "tini", "regrow-singleuser", "a user jovyan"} <= set(missing)
    assert "the label io.regrow.abi" in missing
    assert "bash" not in missing
    assert isinstance(caught.value, ImageError)


@pytest.mark.docker
def test_an_image_without_a_shell_is_refused(client: docker.APIClient, scratch_image: str) -> None:
    with pytest.raises(ImageUnfit) as caught:
        inspect_image(client, scratch_image)
    assert caught.value.missing[0] == "a shell (sh)"


@pytest.mark.docker
def test_an_image_that_is_not_there(client: docker.APIClient) -> None:
    with pytest.raises(ImageMissing, match=r"There is no image 'regrow-test/none:1' .*regrow images build"):
        inspect_image(client, "regrow-test/none:1")


@pytest.mark.docker
def test_looking_leaves_no_container(client: docker.APIClient, foreign_image: str, scratch_image: str) -> None:
    for image in (foreign_image, scratch_image):
        what_is_missing(client, image)
        assert client.containers(all=True, filters={"label": f"io.regrow.check={image}"}) == []


@pytest.mark.docker
def test_a_user_who_may_not_sudo_is_noticed(client: docker.APIClient, notebook_image: str, build: Build) -> None:
    tag = uuid.uuid4().hex
    crippled = build(f"FROM {notebook_image}\nUSER root\nRUN rm /etc/sudoers.d/regrow # {tag}\n")
    assert what_is_missing(client, crippled) == ["sudo without a password for jovyan"]

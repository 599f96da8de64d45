from __future__ import annotations

import os
import zipfile
from pathlib import Path

from regrow.images.context import local_wheels, make_wheel, source_checkout


def test_wheels_in_local_folders(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("torch-2.13.0-cp311.whl", "torchvision-1.whl", "torch-2.13.0.tar.gz"):
        (tmp_path / "a" / name).write_text("")
    places = f"{tmp_path}/a {tmp_path}/missing https://example.org/wheels file://{tmp_path}/a"
    found = local_wheels("torch", {"PIP_FIND_LINKS": places})
    assert {path.name for path in found} == {"torch-2.13.0-cp311.whl"}
    assert local_wheels("torch", {}) == []


def test_the_same_source_gives_the_same_wheel(tmp_path: Path) -> None:
    """Or every build of the image would miss the engine's cache."""
    assert source_checkout() == Path(__file__).parents[2]
    wheels = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        wheels.append(make_wheel(tmp_path / name))
        os.utime(wheels[-1])
    assert wheels[0].read_bytes() == wheels[1].read_bytes()
    names = zipfile.ZipFile(wheels[0]).namelist()
    assert "regrow/images/notebook.Dockerfile" in names
    assert "regrow/images/notebook.lock" in names
    assert "regrow/images/profile.sh" in names
    assert [name for name in names if "data/etc/ipython/ipython_kernel_config.py" in name]
    assert not [name for name in names if name.startswith(("regrow/tests", "tests/", "images/"))]
    assert sorted(path.name for path in wheels[0].parent.iterdir()) == [wheels[0].name]

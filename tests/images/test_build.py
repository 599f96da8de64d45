from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import docker
import pytest

from regrow.images.build import BuildFailed, abi_of, build_image, follow, image_exists
from regrow.images.check import ImageError, inspect_image


def messages(text: str) -> list[dict[str, Any]]:
    return [{"stream": f"{line}\n"} for line in text.splitlines()]


def test_the_lines_of_a_build_are_told_and_its_image_returned() -> None:
    said: list[str] = []
    built = follow([*messages("Step 1/1 : FROM x\n\n ---> 1"), {"aux": {"ID": "sha256:1"}}], said.append)
    assert built == "sha256:1"
    assert said == ["Step 1/1 : FROM x", " ---> 1"]


def test_a_failed_build_names_the_step_and_its_last_lines() -> None:
    output = "Step 1/2 : FROM x\nsomething earlier\nStep 2/2 : RUN make\n" + "\n".join(map(str, range(50)))
    failed = [*messages(output), {"error": "make returned a non-zero code: 2"}]
    with pytest.raises(BuildFailed) as caught:
        follow(failed, lambda line: None)
    said = str(caught.value)
    assert "stopped in step 2 of 2, RUN make:" in said
    assert "  49\nmake returned a non-zero code: 2" in said
    assert "  30\n" in said
    assert "  29\n" not in said
    assert "earlier" not in said
    assert "is as it was" in said


def test_an_unknown_variant_and_an_odd_uid_are_refused() -> None:
    with pytest.raises(ImageError, match=r"no image variant 'tpu'. Variants: cpu, cuda"):
        build_image("tpu")
    with pytest.raises(ImageError, match=r"between 1 and 2147483647; 0 isn't"):
        build_image("cpu", uid=0)


@pytest.mark.docker
def test_a_base_that_is_nowhere(client: docker.APIClient) -> None:
    with pytest.raises(BuildFailed, match=r"'regrow-test/none:1' is not on this machine and can't be pulled"):
        build_image("cpu", base_image="regrow-test/none:1", client=client)


@pytest.mark.docker
def test_a_base_that_is_no_debian_fails_in_a_named_step(client: docker.APIClient, scratch_image: str) -> None:
    with pytest.raises(BuildFailed, match=r"stopped in step \d+ of \d+, RUN .*apt-get"):
        build_image("cpu", base_image=scratch_image, tag="regrow-test/never:1", torch=False, client=client)
    assert not image_exists("regrow-test/never:1", client)


@pytest.mark.docker
def test_building_again_takes_everything_from_the_cache(client: docker.APIClient, notebook_image: str) -> None:
    before = inspect_image(client, notebook_image)
    said: list[str] = []
    assert build_image("cpu", tag=notebook_image, progress=said.append, client=client).id == before.id
    assert not [line for line in said if "Running in" in line]


@pytest.mark.docker
def test_the_label_is_the_abi_key_that_a_server_finds(client: docker.APIClient, notebook_image: str) -> None:
    info = inspect_image(client, notebook_image)
    assert info.abi == abi_of(client, notebook_image)
    assert re.fullmatch(r"(debian|ubuntu)[\d.]+-\w+-glibc[\d.]+-gcc\d+", info.abi)


def run(client: docker.APIClient, image: str, command: str, **environment: str) -> str:
    """What `command` prints, run by bash as the image's own user."""
    container = client.create_container(
        image, ["bash", "-c", command], environment=environment, host_config=client.create_host_config()
    )["Id"]
    try:
        client.start(container)
        status = client.wait(container, timeout=120)["StatusCode"]
        output = str(client.logs(container).decode())
    finally:
        client.remove_container(container, force=True)
    assert status == 0, output
    return output


@pytest.mark.docker
def test_the_image_is_a_machine_of_its_own(client: docker.APIClient, notebook_image: str) -> None:
    output = run(
        client,
        notebook_image,
        """
        set -e
        id -un; sudo id -un
        g++ --version >/dev/null; cmake --version >/dev/null; ninja --version >/dev/null; gdb --version >/dev/null
        git lfs version >/dev/null; curl --version >/dev/null; openssl version >/dev/null; perl -v >/dev/null
        pkg-config --version >/dev/null; fusermount3 --version >/dev/null; tini --version >/dev/null
        python -m venv --without-pip /tmp/venv
        stat -c %U /opt/regrow /opt/regrow/lib/python3*/site-packages/* | sort -u
        python -c 'import numpy, sklearn, matplotlib, ipywidgets, torch; print(torch.ones(2).sum().item())'
        pip check
        ps -o comm= -p 1
        """,
    )
    assert output.split("\n")[:3] == ["jovyan", "root", "jovyan"]
    assert output.split("\n")[3:] == ["2.0", "No broken requirements found.", "tini", ""]


@pytest.mark.docker
def test_everything_in_it_is_compiled(client: docker.APIClient, notebook_image: str) -> None:
    code = """
import importlib.util, pathlib
site = pathlib.Path(importlib.util.find_spec("tornado").origin).parents[1]
sources = [path for part in ("regrow", "jupyter_server", "jupyterhub", "torch/nn") for path in (site / part).rglob("*.py")]
print(len(sources) > 100, [path for path in sources if not pathlib.Path(importlib.util.cache_from_source(path)).exists()])
"""
    assert run(client, notebook_image, 'python -c "$CODE"', CODE=code) == "True []\n"


@pytest.mark.docker
def test_a_login_shell_keeps_the_servers_path(client: docker.APIClient, notebook_image: str) -> None:
    path = "/build/user/abi/local/bin:/opt/regrow/bin:/usr/bin:/bin"
    assert run(client, notebook_image, "bash -lc 'echo $PATH'", REGROW_PATH=path) == f"{path}\n"
    assert run(client, notebook_image, "bash -lc 'command -v python'") == "/opt/regrow/bin/python\n"


def test_every_lock_has_the_same_torch() -> None:
    images = Path(__file__).parents[2] / "images"
    dockerfile = (images / "notebook.Dockerfile").read_text()
    version = re.search(r"ARG TORCH_VERSION=(\S+)", dockerfile)
    assert version
    assert f"\ntorch=={version[1]} " in (images / "torch-cuda.lock").read_text()


def pins(lock: str) -> dict[str, set[str]]:
    text = (Path(__file__).parents[2] / "images" / lock).read_text()
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9_.-]+)==(\S+)", text, re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


@pytest.mark.parametrize("lock", ["torch-cpu.lock", "torch-cuda.lock"])
def test_torch_changes_no_version_of_what_is_there(lock: str) -> None:
    notebook, torch = pins("notebook.lock"), pins(lock)
    assert {name for name in notebook.keys() & torch.keys() if notebook[name] != torch[name]} == set()


@pytest.mark.parametrize("lock", ["notebook.lock", "torch-cpu.lock", "torch-cuda.lock"])
def test_every_pin_has_a_hash(lock: str) -> None:
    text = (Path(__file__).parents[2] / "images" / lock).read_text()
    requirements = re.split(r"\n(?=\S)", text.strip())
    assert [line for line in requirements if "--hash=sha256:" not in line] == []

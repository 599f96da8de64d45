"""What a fork is told of what its parent stands on."""

import json
import shutil
import subprocess
from importlib import metadata

import pytest

from regrow.client.environment import canonical, lacking


def test_a_snapshot_names_image_and_build_prefixes_and_no_credential(hub, new_project, command, monkeypatch):
    new_project("ada", "faces", {"a": b"1"})
    secrets = {
        "REGROW_API_TOKEN": "ada",
        "JUPYTERHUB_API_TOKEN": "secret-of-the-server",
        "AWS_SECRET_ACCESS_KEY": "secret-of-a-disk",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("JUPYTER_IMAGE_SPEC", "regrow/notebook:cpu")
    monkeypatch.setenv("REGROW_BUILD_PREFIXES", "/build/user/abi/local:/build/groups/team/abi/local")
    command("ada", "project publish", "faces")
    with hub.client("ada") as client:
        published = client.project("ada", "faces")["published"]["environment"]
    assert published["image"] == "regrow/notebook:cpu"
    assert published["build_prefixes"] == ["/build/user/abi/local", "/build/groups/team/abi/local"]
    assert published.keys() == {"image", "python", "apt", "pip", "build_prefixes"}
    assert "secret" not in json.dumps(published)
    command("bob", "fork ada/faces as mine")
    with hub.client("bob") as client:
        assert client.snapshots("bob", "mine")[0]["environment"] == published


def test_a_fork_of_ones_own_is_told_of_what_was_added_since_it_was_published(hub, new_project, command, monkeypatch):
    new_project("ada", "faces", {"a": b"1"})
    monkeypatch.setenv("JUPYTER_IMAGE_SPEC", "regrow/notebook:cpu")
    command("ada", "project publish", "faces")
    command("ada", "fork ada/faces as same")
    monkeypatch.setenv("JUPYTER_IMAGE_SPEC", "regrow/notebook:cuda")
    command("ada", "fork ada/faces as mine")
    with hub.client("ada") as client:
        images = {name: client.snapshots("ada", name)[0]["environment"]["image"] for name in ("same", "mine")}
    assert images == {"same": "regrow/notebook:cpu", "mine": "regrow/notebook:cuda"}


def test_every_distribution_that_is_installed_is_known(tmp_path, monkeypatch):
    there = sorted({canonical(each.metadata["Name"]) for each in metadata.distributions()})
    assert lacking({"pip": there}) == {"apt": [], "pip": []}
    monkeypatch.syspath_prepend(str(tmp_path))
    assert lacking({"pip": ["a-new-one", "old"]})["pip"] == ["a-new-one", "old"]
    for name in ("A_new.One-1.0.dist-info", "~ld-1.0.dist-info"):
        (tmp_path / name).mkdir()
    assert lacking({"pip": ["a-new-one", "old"]})["pip"] == ["old"]


@pytest.mark.skipif(not shutil.which("apt-mark"), reason="no Debian")
def test_what_apt_said_is_kept_and_asked_again_where_it_is_of_another_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    manual = subprocess.run(["apt-mark", "showmanual"], capture_output=True, text=True).stdout.split()
    wanted = {"apt": [*manual, "not-there"]}
    assert lacking(wanted)["apt"] == ["not-there"]
    kept = tmp_path / "regrow/apt.json"
    about = json.loads(kept.read_text())
    kept.write_text(json.dumps({**about, "manual": []}))
    assert lacking(wanted)["apt"] == sorted(wanted["apt"])
    for content in (json.dumps({"of": [[1, 2, 3, 4], []], "manual": ["not-there"]}), "[]", "nothing"):
        kept.write_text(content)
        assert lacking(wanted)["apt"] == ["not-there"]
        assert json.loads(kept.read_text()) == about

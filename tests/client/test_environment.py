"""What a fork is told of what its parent stands on."""

import json


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

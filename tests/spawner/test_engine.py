"""What is read from the engine's and the host's own answers."""

import os
import subprocess

import pytest
from docker.errors import APIError
from requests import Response

from regrow.spawner.engine import EngineError, explain, propagates, remapped_root, share_mounts


def api_error(explanation, status=500):
    response = Response()
    response.status_code = status
    return APIError("failed", response=response, explanation=explanation)


@pytest.mark.parametrize(
    ("info", "root"),
    [
        ({"SecurityOptions": ["name=seccomp,profile=default"], "DockerRootDir": "/var/lib/docker"}, 0),
        ({"SecurityOptions": None, "DockerRootDir": "/var/lib/docker"}, 0),
        ({"SecurityOptions": ["name=userns"], "DockerRootDir": "/var/lib/docker/100000.100000"}, 100000),
    ],
)
def test_the_user_that_root_is_on_the_host(info, root):
    assert remapped_root(info) == root


def test_a_remapped_engine_that_does_not_tell_its_range_is_refused():
    with pytest.raises(EngineError, match="doesn't say to which range"):
        remapped_root({"SecurityOptions": ["name=userns"], "DockerRootDir": "/srv/docker"})


@pytest.mark.parametrize(
    ("error", "message", "reason"),
    [
        (api_error('could not select device driver "" with capabilities: [[gpu]]'), "no GPU that containers", "gpu"),
        (api_error("mkdir /var/lib/docker/x: no space left on device"), "disk is full", "disk"),
        (api_error("the cat is asleep"), "the cat is asleep", "engine"),
        (ConnectionError(), "doesn't answer", "engine"),
    ],
)
def test_what_the_engine_says_is_told_to_the_user(error, message, reason):
    told = explain(error, "started the server of alice")
    assert message in str(told)
    assert told.reason == reason


@pytest.mark.skipif(os.geteuid() != 0, reason="only root shares mounts")
@pytest.mark.parametrize("name", ["plain", "with space", "régrow"])
def test_a_folder_is_shared_once_and_then_stays_so(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    subprocess.run(["mount", "--make-private", folder], check=True)
    try:
        assert not propagates(folder)
        assert share_mounts(folder)
        assert propagates(folder)
        mounts = subprocess.run(["findmnt", "-rn", "-o", "TARGET"], capture_output=True, text=True).stdout
        assert share_mounts(folder)
        assert subprocess.run(["findmnt", "-rn", "-o", "TARGET"], capture_output=True, text=True).stdout == mounts
    finally:
        subprocess.run(["umount", folder], check=True)
        subprocess.run(["umount", folder], check=False)

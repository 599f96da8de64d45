"""Projects as people have them: a large package's source, and a file of several gigabytes."""

import subprocess
import sys
import tarfile

import pytest

from regrow.client.working import fork, publish, register
from regrow.projects.create import create_from_folder

from support.service import own, quiet, state

GIB = 1024**3


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """The source of Django: some 7,000 files."""
    folder = tmp_path_factory.mktemp("source")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--no-binary=:all:",
        "--no-build-isolation",
    ]
    subprocess.run([*command, "django==5.2.8", "--dest", str(folder)], check=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return next(path for path in folder.iterdir() if path.is_dir())


def test_a_large_packages_source_is_forked_whole(source, hub, acting):
    folder = hub.projects("ada") / "django"
    create_from_folder(folder, source)
    own(folder)
    with acting("ada") as client:
        publish(client, register(client, folder), "hub", "", quiet)
    with acting("bob") as client:
        mine = fork(client, "ada", "django", "django", quiet).working.folder
    assert len(state(mine)) > 5000
    assert state(mine) == state(folder) == state(source)
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=mine, capture_output=True, text=True, check=True)
    assert changed.stdout == ""


def test_a_file_of_several_gigabytes_is_forked_without_being_copied(new_project, hub, acting):
    project = new_project("ada", "weights")
    file = project.folder / "weights.bin"
    with file.open("wb") as written:
        subprocess.run(["head", "--bytes", str(5 * GIB // 2), "/dev/urandom"], stdout=written, check=True)
    with acting("ada") as client:
        publish(client, project, "hub", "", quiet)
    with acting("bob") as client:
        mine = fork(client, "ada", "weights", "mine", quiet).working.folder
    subprocess.run(["cmp", str(file), str(mine / "weights.bin")], check=True)
    (changes,) = hub.places.trees.iterdir()
    assert sum(each.lstat().st_blocks * 512 for each in changes.rglob("*")) < 2 * 1024**2

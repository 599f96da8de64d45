import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.spawner.volumes import (
    Owner,
    VolumeError,
    discard_user_volumes,
    group_build_path,
    make_group_build,
    make_user_volumes,
    purge_deleted,
    safe_name,
    user_volumes,
)

ME = Owner(os.getuid(), os.getgid())


@given(st.text(min_size=1), st.text(min_size=1))
def test_two_names_never_share_a_folder(one, other):
    assert (safe_name(one) == safe_name(other)) == (one == other)


@given(st.text(min_size=1))
def test_no_name_leads_out_of_the_folder(name):
    safe = safe_name(name)
    assert safe and set(safe) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_the_folder_around_a_users_files_is_the_hubs_alone(tmp_path):
    volumes = user_volumes(tmp_path, "../../etc")
    make_user_volumes(volumes, ME)
    assert volumes.root.parent == tmp_path / "users"
    assert volumes.root.stat().st_mode & 0o777 == 0o700
    assert volumes.home.is_dir() and volumes.projects.is_dir() and volumes.build.is_dir()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
def test_a_users_folders_belong_to_the_user_of_the_image(tmp_path):
    volumes = user_volumes(tmp_path, "alice")
    make_user_volumes(volumes, Owner(101000, 101000))
    assert volumes.home.stat().st_uid == 101000
    make_user_volumes(volumes, Owner(1000, 1000))
    assert volumes.home.stat().st_uid == 1000


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk")
def test_a_full_disk_is_said_what_is_there_is_whole_and_with_room_it_goes_on(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    # Room for users, users/alice and one folder below it.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=4", "tmpfs", disk], check=True)
    try:
        volumes = user_volumes(disk, "alice")
        with pytest.raises(VolumeError, match="No space left on device.*An administrator can make room"):
            make_user_volumes(volumes, Owner(1000, 1000))
        made = list(volumes.root.iterdir())
        assert made == [volumes.home]
        assert (volumes.home.stat().st_uid, volumes.home.stat().st_gid) == (1000, 1000)
        assert volumes.root.stat().st_mode & 0o777 == 0o700
        subprocess.run(["mount", "-o", "remount,nr_inodes=100", disk], check=True)
        make_user_volumes(volumes, Owner(1000, 1000))
        assert {folder.stat().st_uid for folder in (volumes.home, volumes.projects, volumes.build)} == {1000}
        assert len(volumes.id) == 32
        assert volumes.projects.is_dir() and volumes.build.is_dir()
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_deleted_users_files_are_kept_aside_and_a_new_user_of_the_name_starts_empty(tmp_path):
    volumes = user_volumes(tmp_path, "alice")
    make_user_volumes(volumes, ME)
    (volumes.home / "thesis.ipynb").write_text("years of work")
    kept = discard_user_volumes(volumes, tmp_path / "deleted")
    assert kept and (kept / "home/thesis.ipynb").read_text() == "years of work"
    assert not volumes.root.exists()
    assert discard_user_volumes(volumes, tmp_path / "deleted") is None


def test_folders_in_which_nothing_was_made_are_removed_at_once(tmp_path):
    volumes = user_volumes(tmp_path, "smoke")
    make_user_volumes(volumes, ME)
    (volumes.home / ".local/share/jupyter").mkdir(parents=True)
    (volumes.build / "abi/local/lib").mkdir(parents=True)
    assert discard_user_volumes(volumes, tmp_path / "deleted") is None
    assert not volumes.root.exists()


def test_deleted_files_go_for_good_when_their_time_is_over(tmp_path):
    deleted = tmp_path / "deleted"
    for name, age_s in [("old", 100), ("new", 1)]:
        (deleted / name).mkdir(parents=True)
        os.utime(deleted / name, (1000 - age_s, 1000 - age_s))
    assert purge_deleted(deleted, keep_s=50, now=1000) == [deleted / "old"]
    assert [path.name for path in deleted.iterdir()] == ["new"]


def test_a_groups_build_is_not_in_anybodys_folder(tmp_path):
    path = group_build_path(tmp_path, "vision/team")
    make_group_build(path, ME)
    assert path.is_dir() and path.parent.parent == tmp_path / "groups"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
def test_files_of_another_uid_are_refused_with_the_command_that_gives_them_over(tmp_path):
    volumes = user_volumes(tmp_path, "alice")
    make_user_volumes(volumes, Owner(1000, 1000))
    (volumes.home / "work.txt").write_text("mine")
    with pytest.raises(VolumeError, match="chown -R --from=1000 101000:101000"):
        make_user_volumes(volumes, Owner(101000, 101000))
    assert volumes.home.stat().st_uid == 1000


def test_a_home_with_only_dot_files_of_the_user_is_kept(tmp_path):
    volumes = user_volumes(tmp_path, "alice")
    make_user_volumes(volumes, ME)
    (volumes.home / ".ssh").mkdir()
    (volumes.home / ".ssh/id_ed25519").write_text("key")
    assert discard_user_volumes(volumes, tmp_path / "deleted")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_what_is_mounted_in_a_deleted_home_is_never_purged(tmp_path):
    data = tmp_path / "deleted/old/projects/faces/data"
    data.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", data], check=True)
    try:
        (data / "bucket.txt").write_text("somebody else's")
        os.utime(tmp_path / "deleted/old", (0, 0))
        assert purge_deleted(tmp_path / "deleted", keep_s=1, now=1000) == []
        assert (data / "bucket.txt").exists()
    finally:
        subprocess.run(["umount", data], check=True)
    assert purge_deleted(tmp_path / "deleted", keep_s=1, now=1000) == [tmp_path / "deleted/old"]

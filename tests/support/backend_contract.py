"""What every backend of a store promises. A new one inherits `BackendContract` and gives a `backend` fixture."""

import pytest


class BackendContract:
    def test_what_is_written_is_read(self, backend):
        backend.write("names/a.recipe", b"0123456789")
        assert backend.read("names/a.recipe") == b"0123456789"
        assert backend.read("names/a.recipe", 2, 3) == b"234"
        assert backend.read("names/a.recipe", 8, 100) == b"89"
        assert backend.size("names/a.recipe") == 10

    def test_a_buffer_is_filled_as_far_as_the_file_goes(self, backend):
        backend.write("packs/p", b"0123456789")
        buffer = memoryview(bytearray(4))
        assert backend.read_into("packs/p", 3, buffer) == 4
        assert bytes(buffer) == b"3456"
        assert backend.read_into("packs/p", 8, buffer) == 2
        assert bytes(buffer[:2]) == b"89"

    def test_a_second_write_replaces_the_first_whole(self, backend):
        backend.write("names/a.recipe", b"long before")
        backend.write("names/a.recipe", b"now")
        assert backend.read("names/a.recipe") == b"now"
        assert backend.size("names/a.recipe") == 3

    def test_an_empty_file_is_a_file(self, backend):
        backend.write("names/a.recipe", b"")
        assert backend.read("names/a.recipe") == b""
        assert list(backend.list("names")) == ["names/a.recipe"]

    def test_what_is_not_there_is_not_found(self, backend):
        with pytest.raises(FileNotFoundError):
            backend.read("names/none.recipe")
        with pytest.raises(FileNotFoundError):
            backend.read_into("packs/none", 0, memoryview(bytearray(1)))
        with pytest.raises(FileNotFoundError):
            backend.size("names/none.recipe")

    def test_files_are_listed_at_every_depth_and_only_below_the_folder(self, backend):
        for path in ["names/a.recipe", "names/b/c.recipe", "namesake/d", "packs/p"]:
            backend.write(path, b"x")
        assert sorted(backend.list("names")) == ["names/a.recipe", "names/b/c.recipe"]
        assert list(backend.list("nothing")) == []

    def test_a_list_is_of_now(self, backend):
        assert list(backend.list("names")) == []
        backend.write("names/a.recipe", b"x")
        assert list(backend.list("names")) == ["names/a.recipe"]
        backend.remove("names/a.recipe")
        assert list(backend.list("names")) == []

    def test_only_one_creates_a_file(self, backend):
        assert backend.create("locks/gc", b"first")
        assert not backend.create("locks/gc", b"second")
        assert backend.read("locks/gc") == b"first"
        backend.remove("locks/gc")
        assert backend.create("locks/gc", b"third")

    def test_a_finished_file_is_published_and_leaves_the_scratch_folder(self, backend):
        file = backend.scratch() / "new"
        file.write_bytes(b"content")
        backend.publish(file, "packs/p")
        assert backend.read("packs/p") == b"content"
        assert list(backend.scratch().iterdir()) == []

    def test_removing_twice_is_no_error(self, backend):
        backend.write("names/a.recipe", b"x")
        backend.remove("names/a.recipe")
        backend.remove("names/a.recipe")
        with pytest.raises(FileNotFoundError):
            backend.read("names/a.recipe")

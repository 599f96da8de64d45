"""A folder, and what fsspec reaches: memory, a folder whose files appear while they are written, a real S3 server."""

import secrets
import threading

import pytest

from regrow.store import Store
from regrow.store.folder import FolderBackend
from regrow.store.remote import RemoteBackend

from support.backend_contract import BackendContract


class TestFolder(BackendContract):
    @pytest.fixture
    def backend(self, tmp_path):
        return FolderBackend(tmp_path)

    def test_of_many_who_create_a_file_at_once_one_does(self, backend):
        won = []
        threads = [
            threading.Thread(target=lambda n=n: backend.create("locks/gc", b"%d" % n) and won.append(n))
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert backend.read("locks/gc") == b"%d" % won[0]


class TestMemory(BackendContract):
    @pytest.fixture
    def backend(self):
        return RemoteBackend(f"memory://{secrets.token_hex(8)}")


class TestFilesByFsspec(BackendContract):
    @pytest.fixture
    def backend(self, tmp_path):
        return RemoteBackend(f"file://{tmp_path}")


class TestS3(BackendContract):
    @pytest.fixture
    def backend(self, s3_bucket):
        url, options = s3_bucket
        return RemoteBackend(url, **options)


def test_a_store_in_a_bucket_is_the_same_from_two_machines(s3_bucket, tmp_path, clock):
    url, options = s3_bucket
    data = secrets.token_bytes(5_000_000)
    with Store.create(url, tmp_path / "one", now=clock, **options) as one:
        with one.writer() as writer:
            writer.keep("data", writer.put(data))
        with Store.open(url, tmp_path / "two", now=clock, **options) as two:
            assert two.read(two.recipe("data")) == data
            with two.writer() as writer:
                writer.keep("again", writer.put(data))
        assert sum(1 for _ in one.backend.list("packs")) == 1

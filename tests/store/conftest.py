"""Stores in folders of their own, with a clock that the test moves."""

import secrets

import fsspec
import pytest
from moto.server import ThreadedMotoServer

from regrow.store import Store

DAY_S = 24 * 3600.0


class Clock:
    """Seconds since 1970, as the test has them."""

    def __init__(self):
        self.seconds = 1_800_000_000.0

    def __call__(self):
        return self.seconds

    def pass_(self, seconds):
        self.seconds += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def open_store(tmp_path, clock):
    """`open_store()` opens the test's store, as a machine of its own where `machine` is another."""
    opened = []

    def make(machine="one"):
        store = Store.create(str(tmp_path / "store"), tmp_path / "cache" / machine, grace_s=DAY_S, now=clock)
        opened.append(store)
        return store

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store):
    return open_store()


@pytest.fixture(scope="session")
def s3_server():
    """A real S3 server on loopback."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_bucket(s3_server):
    """The URL of a bucket of the test's own, and fsspec's options for it."""
    options = {
        "key": "test",
        "secret": "test",
        "client_kwargs": {"endpoint_url": s3_server},
    }
    bucket = secrets.token_hex(8)
    fsspec.filesystem("s3", **options).mkdir(bucket)
    return f"s3://{bucket}/store", options

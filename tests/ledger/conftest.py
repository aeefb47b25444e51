"""Both hot stores: what one promises the other keeps."""

import secrets
import socket
import subprocess
import sys
import time

import pytest

from baseload.ledger.hot import open_store
from postgres_server import Server

_S3 = """
import sys
from moto.server import main
main(["-H", "127.0.0.1", "-p", sys.argv[1]])
"""


@pytest.fixture(scope="session")
def postgres():
    server = Server()
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="session")
def s3_server():
    """A server that speaks S3 over HTTP, in a process of its own; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", _S3, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait()


@pytest.fixture
def bucket(s3_server, monkeypatch, tmp_path):
    """The address of a bucket that nobody else uses, with what is needed to reach it in the environment."""
    import fsspec

    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    name = f"calls-{secrets.token_hex(6)}"
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir(name)
    return f"s3://{name}"


class Ledgers:
    """Where empty ledgers come from; `open` opens the same one again."""

    def __init__(self, kind, factory, postgres) -> None:
        self.kind = kind
        self._factory = factory
        self._postgres = postgres
        self._stores = []
        self.renew()

    def renew(self):
        """Another ledger, that nothing was ever recorded in."""
        self._where = (
            (self._factory.mktemp("ledger"), "")
            if self.kind == "sqlite"
            else (self._factory.mktemp("spool"), self._postgres.database())
        )
        return self

    @property
    def directory(self):
        return self._where[0]

    @property
    def url(self):
        return self._where[1]

    def open(self, **how: object):
        store = open_store(*self._where, **how)
        self._stores.append(store)
        return store

    def close(self) -> None:
        for store in self._stores:
            store.close()


@pytest.fixture(params=["sqlite", "postgres"])
def ledgers(request, tmp_path_factory):
    found = Ledgers(
        request.param,
        tmp_path_factory,
        request.getfixturevalue("postgres") if request.param == "postgres" else None,
    )
    yield found
    found.close()

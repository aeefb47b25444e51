"""Both hot stores: what one promises the other keeps."""

import pytest

from baseload.ledger.hot import open_store
from postgres_server import Server


@pytest.fixture(scope="session")
def postgres():
    server = Server()
    server.start()
    yield server
    server.close()


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

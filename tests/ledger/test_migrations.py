"""A store of an older version is brought up to date, and every call of it stays as it was."""

import pytest
from sqlalchemy import text

from baseload.errors import LedgerUnavailable
from baseload.ledger.query import totals
from samples import call


@pytest.fixture
def old(ledgers):
    """A store as version 1 wrote it."""
    store = ledgers.open()
    store.record([call("a"), call("b")])
    with store.writing() as connection:
        connection.execute(text("ALTER TABLE attempts DROP COLUMN service_tier"))
        connection.execute(text("DROP TABLE ledger_identity"))
        connection.execute(text("UPDATE ledger_schema SET version = 1"))
    store.close()
    return ledgers


def test_a_writer_brings_it_up_to_date(old):
    store = old.open()
    assert store.record([call("a"), call("c")]) == 1
    assert [each.id for each in store.calls()] == ["a", "b", "c"]
    assert totals(old.open(read_only=True)).calls == 3


def test_a_reader_leaves_it_alone_and_says_what_to_do(old):
    with pytest.raises(LedgerUnavailable, match="schema version 1, this program reads version 3") as refused:
        old.open(read_only=True)
    assert "ledger migrate" in refused.value.remedy

"""Every error has an exit code from the tree and a remedy."""

from __future__ import annotations

import pytest

from baseload import errors


def _tree(root: type[errors.BaseloadError]) -> list[type[errors.BaseloadError]]:
    return [root, *(each for child in root.__subclasses__() for each in _tree(child))]


OURS = [each for each in _tree(errors.BaseloadError) if each.__module__ == "baseload.errors"]
CODES = {
    "BaseloadError": 1,
    "BadInput": 2,
    "BadConfig": 2,
    "UnknownModel": 2,
    "Breach": 3,
    "NotEnoughData": 4,
    "UpstreamUnreachable": 5,
    "Unpriced": 1,
    "LedgerUnavailable": 1,
    "AddressTaken": 1,
    "ChildFailed": 1,
}


def test_the_tree_and_its_exit_codes():
    assert {each.__name__: each.exit_code for each in OURS} == CODES


@pytest.mark.parametrize("name", CODES)
def test_the_docstring_draws_every_error_with_its_exit_code(name):
    drawn = next(line for line in (errors.__doc__ or "").splitlines() if name in line.split())
    assert f"exit {CODES[name]}" in drawn


def test_a_message_reads_as_one_sentence_and_its_remedy():
    error = errors.UnknownModel("no book knows gpt-99", remedy="Try gpt-5.")
    assert str(error) == "no book knows gpt-99. Try gpt-5."
    assert (error.message, error.remedy) == ("no book knows gpt-99", "Try gpt-5.")


def test_a_remedy_cannot_be_left_out():
    with pytest.raises(TypeError):
        errors.BadInput("what was asked")

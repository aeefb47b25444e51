"""The exception tree. Pure.

    BaseloadError                 exit 1
    |-- BadInput                  exit 2   what was typed, sent or configured cannot be understood
    |   |-- BadConfig             exit 2   ... in a configuration file
    |   `-- UnknownModel          exit 2   ... a model, machine or route that no book or policy knows
    |-- Breach                    exit 3   a check was breached
    |-- NotEnoughData             exit 4   the question is fair, the evidence is missing
    |-- UpstreamUnreachable       exit 5   every route failed
    |-- Unpriced                  exit 1   a figure that would have been a silent zero
    |-- LedgerUnavailable         exit 1   a call could not be made durable
    |-- AddressTaken              exit 1   the address to listen on is not free
    `-- ChildFailed               exit 1   a process of ours ended before it was ready

A message says what was asked and what was found; `remedy` says what to do next.
"""

from __future__ import annotations


class BaseloadError(Exception):
    """Root of every error this project raises on purpose. `remedy` is one sentence the reader can act on."""

    exit_code = 1

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}. {self.remedy}"


class BadInput(BaseloadError):
    """Something from outside does not parse or does not make sense."""

    exit_code = 2


class BadConfig(BadInput):
    """A configuration or data file is unreadable or wrong."""


class UnknownModel(BadInput):
    """A name that no book, machine table or policy knows."""


class Breach(BaseloadError):
    """A check the user asked for was breached."""

    exit_code = 3


class NotEnoughData(BaseloadError):
    """There is too little evidence for an answer."""

    exit_code = 4


class UpstreamUnreachable(BaseloadError):
    """No upstream could be reached."""

    exit_code = 5


class Unpriced(BaseloadError):
    """A price is not known. Never answered with zero."""


class LedgerUnavailable(BaseloadError):
    """A call could not be written down durably."""


class AddressTaken(BaseloadError):
    """The address to listen on is not free."""


class ChildFailed(BaseloadError):
    """A child process ended before it was ready: with its own message and remedy where it could still say them."""

"""The command line as a person types it, in this process."""

from __future__ import annotations

import sys

import pytest

from baseload.cli.main import main


@pytest.fixture
def baseload(monkeypatch, capsys, tmp_path):
    """Run a line of words with `|` between them and check its exit code; what it printed comes back."""
    monkeypatch.setenv("BASELOAD_HOME", str(tmp_path / "home"))

    def run(line, code=0):
        monkeypatch.setattr(sys, "argv", ["baseload", *line.split("|")])
        found = 0
        try:
            main()
        except SystemExit as ended:
            found = ended.code or 0
        assert found == code
        return capsys.readouterr()

    return run

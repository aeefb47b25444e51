"""Slots hold over workers: over tables in one process, and over processes that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from baseload.errors import BadConfig
from baseload.gateway import slots
from baseload.gateway.slots import Slots, Table

# A worker that takes slots until it is told to stop: it says how many it got, waits for a line, gives them all back.
WORKER = """
import sys
from pathlib import Path
from baseload.gateway.slots import Slots, Table

own = Slots(Table(Path(sys.argv[1])))
for line in sys.stdin:
    word, *rest = line.split()
    if word == "take":
        print(sum(own.take("pool", int(rest[0])) for _ in range(int(rest[1]))), flush=True)
    elif word == "churn":
        most = 0
        for _ in range(int(rest[1])):
            if own.take("pool", int(rest[0])):
                most = max(most, own.busy("pool"))
                own.give("pool")
        print(most, flush=True)
"""


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[list[Slots]]:
    made = [Slots(Table(tmp_path / "slots")) for _ in range(3)]
    yield made
    for each in made:
        each.close()


@contextmanager
def worker(folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", WORKER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def ask(process: subprocess.Popen[str], line: str) -> int:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return int(process.stdout.readline())


def test_alone_it_is_a_count() -> None:
    alone = Slots()
    assert [alone.take("pool", 2) for _ in range(3)] == [True, True, False]
    assert alone.take("api", None)
    alone.give("pool")
    assert (alone.busy("pool"), alone.busy("api"), alone.busy("other")) == (1, 1, 0)
    assert alone.in_flight["pool"] == 1
    assert not alone.shared


def test_a_limit_holds_over_all_workers(shared: list[Slots]) -> None:
    one, two, three = shared
    assert [each.take("pool", 2) for each in (one, two, three)] == [True, True, False]
    assert [each.busy("pool") for each in shared] == [2, 2, 2]
    one.give("pool")
    assert three.take("pool", 2)
    assert not one.take("pool", 2)
    assert one.take("other", 2), "another name has slots of its own"
    assert (two.in_flight["pool"], two.in_flight["other"]) == (2, 1)


def test_without_a_limit_it_is_only_counted(shared: list[Slots]) -> None:
    assert all(each.take("api", None) for each in shared * 3)
    assert shared[0].busy("api") == 9


def test_a_worker_that_ends_gives_back_what_it_held(tmp_path: Path) -> None:
    one, two = Slots(Table(tmp_path)), Slots(Table(tmp_path))
    assert one.take("pool", 1)
    one.close()
    assert two.take("pool", 1)
    two.close()


def test_a_worker_that_is_killed_holds_nothing_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "RECLAIM_SECONDS", 0.0)
    own = Slots(Table(tmp_path))
    with worker(tmp_path) as other:
        assert ask(other, "take 4 3") == 3
        assert own.take("pool", 4)
        assert not own.take("pool", 4), "the other one lives"
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
        assert own.take("pool", 4)
    assert own.busy("pool") == 2
    own.close()


def test_processes_that_race_never_pass_the_limit(tmp_path: Path) -> None:
    with worker(tmp_path) as one, worker(tmp_path) as two:
        for each in (one, two):
            assert each.stdin is not None
            each.stdin.write("churn 1 20000\n")
            each.stdin.flush()
        most = []
        for each in (one, two):
            assert each.stdout is not None
            most.append(int(each.stdout.readline()))
    assert max(most) == 1  # on a busy machine one of them may find the slot taken every time: 0


def test_rows_are_used_again_and_are_not_endless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "ROWS", 2)
    one, two = Table(tmp_path), Table(tmp_path)
    assert {one.row, two.row} == {0, 1}
    with pytest.raises(BadConfig, match="2 workers already share"):
        Table(tmp_path)
    one.close()
    again = Table(tmp_path)
    assert again.row == 0
    for each in (again, two):
        each.close()


def test_names_are_the_same_columns_whoever_comes_first(shared: list[Slots]) -> None:
    one, two, _ = shared
    one.take("a", None)
    two.take("b", None)
    two.take("a", None)
    assert (one.busy("a"), one.busy("b")) == (2, 1)


def test_a_table_of_another_shape_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "table").write_bytes(b"something else")
    own = Slots(Table(tmp_path))
    assert own.take("pool", 1)
    assert not own.take("pool", 1)
    own.close()


def test_more_names_than_columns_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "COLUMNS", 3)
    own = Slots(Table(tmp_path))
    for name in "abc":
        own.take(name, None)
    with pytest.raises(BadConfig, match="more than 3"):
        own.take("d", None)
    own.close()

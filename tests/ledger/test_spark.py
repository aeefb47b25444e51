"""A real Spark, a master and two workers that the test starts, answers what DuckDB does, to the nano-dollar."""

import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from baseload.clock import to_ns
from baseload.errors import BadInput, LedgerUnavailable
from baseload.ledger.ask import Question, ask
from baseload.ledger.hot import open_store
from baseload.ledger.lake import HOUR_NS, lake_at
from baseload.ledger.spark import engine_of
from baseload.usage import Usage
from samples import FAILED, START_NS, attempt, call

HOURS = 3_600
CLUSTER = {
    "SPARK_LOCAL_IP": "127.0.0.1",
    "SPARK_NO_DAEMONIZE": "1",
    "SPARK_DAEMON_MEMORY": "256m",
    "SPARK_WORKER_OPTS": "-Dspark.worker.cleanup.enabled=true",
}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def master(tmp_path_factory):
    """A standalone cluster, each part in a process of its own."""
    import pyspark

    home, folder = Path(pyspark.__file__).parent, tmp_path_factory.mktemp("spark")
    environment = os.environ | CLUSTER | {"SPARK_HOME": str(home), "SPARK_WORKER_DIR": str(folder)}
    port, page = free_port(), free_port()
    kind = "org.apache.spark.deploy"
    at = f"spark://127.0.0.1:{port}"
    started = []

    def start(*words: str) -> None:
        command = [str(home / "bin" / "spark-class"), *words]
        with (folder / f"{len(started)}.log").open("wb") as log:
            started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))

    start(f"{kind}.master.Master", "-h", "127.0.0.1", "-p", str(port), "--webui-port", str(page))
    for _ in range(2):
        start(f"{kind}.worker.Worker", "-c", "1", "-m", "600m", "-h", "127.0.0.1", "--webui-port", "0", at)
    deadline = time.monotonic() + 300
    try:
        while sum("Successfully registered" in log.read_text() for log in folder.glob("*.log")) < 2:
            said = [log.read_text()[-2_000:] for log in folder.glob("*.log")]
            assert all(each.poll() is None for each in started), said
            assert time.monotonic() < deadline, said
            time.sleep(0.1)
        yield at
    finally:
        for each in started:
            each.terminate()
        for each in started:
            each.wait()


@pytest.fixture(scope="module")
def engine(master, tmp_path_factory):
    """A session of that cluster."""
    conf = tmp_path_factory.mktemp("conf")
    (conf / "spark-defaults.conf").write_text(
        "spark.driver.host 127.0.0.1\nspark.driver.memory 512m\nspark.executor.memory 512m\nspark.executor.cores 1\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_CONF_DIR", str(conf))
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        with engine_of(master) as found:
            yield found


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    """Hours of a night on which clocks go back, long ones that are rolled up and short ones; one is still hot."""
    directory = tmp_path_factory.mktemp("it's [a] {b} *?")
    first = (to_ns_of_berlin() - START_NS) // 10**9
    teams = ("red", "x\"'\\ é", "")
    store = open_store(directory)
    for hour, each in ((0, 1_500), (1, 5), (2, 5), (3, 5), (26, 5)):
        store.record(
            call(
                f"h{hour}-{n}",
                *tries(n),
                seconds=first + hour * HOURS + n * 2,
                tags={"team": teams[n % 3], "project": "p", "customer": f"c{n % 2}", "feature": "f", "key": str(n)},
            )
            for n in range(each)
        )
    store.record([call("nothing", seconds=first + 7)])
    lake = lake_at(directory)
    lake.seal(store, START_NS + (first + 20 * HOURS) * 10**9)
    yield lake, store
    store.close()


def tries(n: int):
    """One that cost much, one that has no price, or one that failed before another."""
    if n % 3:
        return FAILED, attempt(2, cost=n, usage=Usage(input_tokens=n))
    return (attempt(cost=None if n == 3 else 2**40),)


def to_ns_of_berlin() -> int:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    return to_ns(datetime(2026, 10, 25, 0, 0, tzinfo=ZoneInfo("Europe/Berlin")))


@pytest.mark.parametrize(
    "by",
    [
        *((name,) for name in ("team", "project", "customer", "feature", "key", "model", "upstream", "bucket")),
        *(("hour",), ("day", "team"), ("week",), ("month", "model"), ()),
    ],
    ids=",".join,
)
def test_spark_answers_as_duckdb_does(engine, ledger, by):
    for zone in ("UTC", "Europe/Berlin", "Asia/Kathmandu") if set(by) & {"hour", "day"} else ("UTC",):
        question = Question(by=by, zone=zone)
        expected = ask(question, *ledger)
        assert ask(question, *ledger, engine) == expected
        assert sum(line.counts["calls"] for line in expected) == 1_521


def test_bounds_and_odd_values_are_the_same(engine, ledger):
    lake, _ = ledger
    start = lake.manifest.living[0].start_ns
    for question in (
        Question(by=("model",), where={"team": "x\"'\\ é"}),
        Question(by=("day",), since_ns=start + HOUR_NS // 4, until_ns=start + HOUR_NS + 3),
        Question(by=("team",), since_ns=start + 1),
    ):
        expected = ask(question, *ledger)
        assert ask(question, *ledger, engine) == expected
        assert 0 < sum(line.counts["calls"] for line in expected) < 1_521


def test_a_file_that_is_not_there_is_told(engine, tmp_path):
    store = open_store(tmp_path)
    store.record([call("a")])
    lake = lake_at(tmp_path)
    (made,) = lake.seal(store, START_NS + 10 * HOUR_NS)
    store.close()
    lake.shelf.remove(made.path)
    with pytest.raises(LedgerUnavailable, match="Spark cannot answer"):
        ask(Question(), lake, None, engine)


def test_who_is_no_engine_or_does_not_answer_is_told():
    with pytest.raises(BadInput, match="no engine is called 'hadoop'"), engine_of("hadoop"):
        pass
    with pytest.raises(LedgerUnavailable, match="no Spark master answers"), engine_of("spark://127.0.0.1:9"):
        pass

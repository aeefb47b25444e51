"""`baseload replay` on a real ledger: figures exact, every misuse a clear message and its exit code."""

import json
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from baseload.cli.main import main
from baseload.documents import load_catalog
from baseload.ledger.hot import open_store
from baseload.load.calls import Call
from baseload.load.facts import Bucket
from baseload.units import nanousd
from baseload.usage import Usage
from samples import attempt, call

MILLION = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
# What the books say of one million tokens in and one million out.
RATES = {key: load_catalog().offer(key).schedule[-1].rates for key in ("openai/gpt-5-mini", "openai/gpt-5-nano")}
COST = {key: nanousd((rates.input or Decimal(0)) + (rates.output or Decimal(0))) for key, rates in RATES.items()}
MINI, NANO = COST["openai/gpt-5-mini"], COST["openai/gpt-5-nano"]

POLICY = """
name: thrift
aliases: {auto: judgment}
routes:
  - {name: nano, upstream: small, model: gpt-5-nano, offer: openai/gpt-5-nano, success: {bandwidth: 0.9}}
  - {name: mini, upstream: mid, model: gpt-5-mini, offer: openai/gpt-5-mini, success: {bandwidth: 1, judgment: 1}}
"""
POOLED = """
upstreams:
  - {name: small, base_url: "http://127.0.0.1:1/v1", api_key: "${A_SECRET_THAT_IS_NOT_SET}"}
  - {name: pool, base_url: "http://127.0.0.1:2/v1", kind: own, deployment: qwen3-32b-2xh100-vllm0.12,
     usd_per_gpu_hour: "2.40"}
prices:
  - {offer: mine/tiny, input: "0.01", output: "0.02"}
policy:
  name: pooled
  aliases: {auto: judgment}
  routes:
    - {name: pool, upstream: pool, model: qwen3-32b, offer: own/qwen3-32b, own: true, slots: 1,
       success: {judgment: 1}}
    - {name: tiny, upstream: small, model: tiny, offer: mine/tiny, success: {bandwidth: 1, judgment: 1}}
"""


def metered(id: str, bucket: Bucket, run: str = "one", **fields: object) -> Call:
    mini = attempt(route="mini", upstream="mid", model="gpt-5-mini", usage=MILLION, cost=MINI)
    return call(id, mini, bucket=bucket, tags={"run": run}, **fields)


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A home with a ledger of three calls, and the demo's with two runs."""
    monkeypatch.setenv("BASELOAD_HOME", str(tmp_path))
    record(tmp_path, metered("a", Bucket.BANDWIDTH), metered("b", Bucket.BANDWIDTH), metered("c", Bucket.JUDGMENT))
    old, new = metered("d", Bucket.JUDGMENT, run="old"), metered("e", Bucket.BANDWIDTH, run="new", seconds=-9_000)
    record(tmp_path / "demo", old, new)
    (tmp_path / "thrift.yaml").write_text(POLICY)
    return tmp_path


def record(directory: Path, *calls: Call) -> None:
    store = open_store(directory)
    store.record(calls)
    store.close()


def run(monkeypatch, capsys, *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout, stderr of the command as it is typed."""
    monkeypatch.setattr(sys, "argv", ["baseload", "replay", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


@pytest.fixture
def answer(monkeypatch, capsys):
    """The JSON document of a call of the command."""

    def ask(*arguments: object):
        code, out, err = run(monkeypatch, capsys, *arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out, parse_float=Decimal, parse_int=Decimal)

    return ask


def test_the_difference_is_exact_in_total_and_by_bucket(home, answer):
    found = answer("--policy", home / "thrift.yaml")
    assert found["schema"] == "baseload.replay/1"
    assert (found["calls"], found["moved"], found["refused"], found["run"]) == (3, 2, 0, None)
    assert found["difference_nanousd"] == 2 * (NANO - MINI)
    assert nanousd(found["total"]["now_usd"]) == 3 * MINI
    assert nanousd(found["total"]["then_usd"]) == MINI + 2 * NANO
    assert {each["bucket"]: nanousd(each["difference_usd"]) for each in found["buckets"]} == {
        "bandwidth": 2 * (NANO - MINI),
        "judgment": 0,
    }
    assert found["routes"] == [{"route": "nano", "now": 0, "then": 2}, {"route": "mini", "now": 3, "then": 1}]


def test_a_person_reads_a_table_with_totals(home, monkeypatch, capsys):
    code, out, err = run(monkeypatch, capsys, "--policy", home / "thrift.yaml")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert next(line for line in lines if line[:1] == ["total"])[1:] == [
        "3",
        "6.7500",
        "3.1500",
        "-3.6000",
        "-53.3",
        "%",
    ]
    assert "  next: " in out


def test_the_demo_is_its_latest_run_unless_another_is_named(home, answer):
    found = answer("--demo", "--policy", home / "thrift.yaml")
    assert (found["run"], found["calls"], found["difference_nanousd"]) == ("new", 1, NANO - MINI)
    assert answer("--demo", "--run", "old", "--policy", home / "thrift.yaml")["difference_nanousd"] == 0
    assert answer("--ledger", home / "demo", "--policy", home / "thrift.yaml")["calls"] == 2


@pytest.mark.parametrize("beside", [False, True], ids=["a whole configuration", "the configuration beside the ledger"])
def test_a_configuration_prices_pools_and_own_offers_and_needs_no_secret(home, answer, beside):
    """The pool has one slot: of three calls of the same second it takes one, the others go to a price of our own."""
    (home / ("baseload.yaml" if beside else "whole.yaml")).write_text(POOLED)
    if beside:
        (home / "bare.yaml").write_text("\n".join(line[2:] for line in POOLED.partition("policy:\n")[2].splitlines()))
    record(home, metered("f", Bucket.JUDGMENT))
    found = answer("--policy", home / ("bare.yaml" if beside else "whole.yaml"))
    assert found["policy"].startswith("pooled@")
    assert {each["route"]: each["then"] for each in found["routes"]} == {"pool": 1, "tiny": 3, "mini": 0}
    total = found["total"]
    assert total["then_usd"] == Decimal("0.09") + total["own_then_usd"]
    assert total["own_then_usd"] > 0
    assert total["bought_difference_usd"] == Decimal("0.09") - total["now_usd"]


def test_calls_that_find_no_route_stand_apart(home, monkeypatch, capsys, answer):
    (home / "small.yaml").write_text("\n".join(POLICY.strip().splitlines()[:4]))
    found = answer("--policy", home / "small.yaml")
    assert (found["refused"], nanousd(found["refused_usd"])) == (1, MINI)
    assert found["difference_nanousd"] == 2 * (NANO - MINI)
    _, out, _ = run(monkeypatch, capsys, "--policy", home / "small.yaml")
    assert "1 of 3 calls find no route; now they cost 2.2500 USD, in no sum above" in out


def test_a_route_without_a_price_makes_the_total_unknown_and_says_which(home, monkeypatch, capsys):
    (home / "dark.yaml").write_text(POLICY.replace("openai/gpt-5-nano", "nobody/knows"))
    (home / "dark.yaml").write_text((home / "dark.yaml").read_text().replace("bandwidth: 1, ", ""))
    code, out, err = run(monkeypatch, capsys, "--policy", home / "dark.yaml")
    assert code == 0
    assert next(line.split() for line in out.splitlines() if "total" in line)[1:] == [
        "3",
        "6.7500",
        "unknown",
        "unknown",
    ]
    assert "no book has a price for nobody/knows" in err
    assert "next:" not in out


# Two H100 at 2.40 USD for half an hour.
LEASE = Decimal("2.40")
BARE = "\n".join(line[2:] for line in POOLED.partition("policy:\n")[2].splitlines())


@pytest.fixture
def pooled(home) -> Path:
    """A ledger of half an hour, metered with an own pool: two calls on it, 0.50 USD each by busy time, one bought."""
    (home / "pooled").mkdir()
    (home / "pooled" / "baseload.yaml").write_text(POOLED.replace("slots: 1,", "slots: 9,"))
    (home / "bare.yaml").write_text(BARE.replace("slots: 1,", "slots: 9,"))
    own = attempt(
        route="pool", upstream="pool", model="qwen3-32b", offer="own/qwen3-32b", usage=MILLION, cost=5 * 10**8
    )
    tags = {"run": "one"}
    record(
        home / "pooled",
        call("p", own, bucket=Bucket.JUDGMENT, tags=tags),
        call("q", own, bucket=Bucket.JUDGMENT, tags=tags, seconds=900),
        metered("r", Bucket.JUDGMENT, seconds=1_799),
    )
    return home


def test_a_lease_ends_with_the_last_route_to_the_pool(pooled, answer, monkeypatch, capsys):
    """Now 2.25 bought and 2.40 leased; then three million tokens each way on a small model, and no lease."""
    arguments = ("--ledger", pooled / "pooled", "--policy", pooled / "thrift.yaml", "--config", pooled / "whole.yaml")
    upstreams = '  - {name: mid, base_url: "http://127.0.0.1:3/v1"}\n'
    (pooled / "whole.yaml").write_text(POOLED.replace("upstreams:\n", f"upstreams:\n{upstreams}"))
    found = answer(*arguments)
    assert (found["lease_usd"], found["lease_then_usd"]) == (LEASE, 0)
    assert found["paid_now_usd"] == Decimal("2.25") + LEASE
    assert nanousd(found["paid_then_usd"]) == 3 * MINI
    assert found["total"]["now_usd"] == Decimal("3.25")
    _, out, err = run(monkeypatch, capsys, *arguments)
    assert "  paid       now 4.6500, then 6.7500 USD (the own pool's lease of 2.4000 ends)\n" in out
    assert (err, "  next: " in out) == ("", True)


def test_a_lease_stays_while_a_route_leads_to_the_pool(pooled, answer, monkeypatch, capsys):
    arguments = ("--ledger", pooled / "pooled", "--policy", pooled / "bare.yaml")
    found = answer(*arguments)
    assert (found["lease_usd"], found["lease_then_usd"]) == (LEASE, LEASE)
    assert (found["paid_now_usd"], found["paid_then_usd"]) == (Decimal("4.65"), LEASE)
    _, out, _ = run(monkeypatch, capsys, *arguments)
    assert "  paid       now 4.6500, then 2.4000 USD (the own pool's lease of 2.4000 stays)\n" in out


def test_a_lease_begins_with_a_whole_configuration_that_has_a_pool(pooled, answer, monkeypatch, capsys):
    """The calls of an API alone: three seconds' worth of a pool is leased, on top of what still is bought."""
    (pooled / "baseload.yaml").write_text(
        'upstreams:\n  - {name: mid, base_url: "http://127.0.0.1:3/v1"}\npolicy:\n  routes:\n'
        "    - {name: mini, upstream: mid, model: gpt-5-mini, offer: openai/gpt-5-mini, success: {judgment: 1}}\n"
    )
    (pooled / "whole.yaml").write_text(POOLED)
    found = answer("--ledger", pooled, "--policy", pooled / "whole.yaml")
    assert found["lease_usd"] == 0
    assert nanousd(found["paid_now_usd"]) == 3 * MINI
    assert nanousd(found["lease_then_usd"]) == round(Decimal(4_800_000_000) / 3600)
    bought = found["total"]["then_usd"] - found["total"]["own_then_usd"]
    assert found["paid_then_usd"] == bought + found["lease_then_usd"]
    _, out, _ = run(monkeypatch, capsys, "--ledger", pooled, "--policy", pooled / "whole.yaml")
    assert "(an own pool's lease of 0.0013 begins)" in out


def test_a_lease_that_no_configuration_names_is_unknown_and_not_zero(pooled, answer, monkeypatch, capsys):
    (pooled / "pooled" / "baseload.yaml").unlink()
    arguments = ("--ledger", pooled / "pooled", "--policy", pooled / "thrift.yaml")
    found = answer(*arguments)
    assert (found["lease_usd"], found["paid_now_usd"], nanousd(found["paid_then_usd"])) == (None, None, 3 * MINI)
    _, out, _ = run(monkeypatch, capsys, *arguments)
    assert "now unknown, then 6.7500 USD (what the own pool's hours cost is not known" in out


def test_without_a_pool_both_bases_are_one_and_no_line_says_so(home, monkeypatch, capsys):
    _, out, _ = run(monkeypatch, capsys, "--policy", home / "thrift.yaml")
    assert "paid" not in out


def test_a_route_to_nowhere_is_said_and_not_put_in_force(pooled, monkeypatch, capsys):
    code, out, err = run(monkeypatch, capsys, "--ledger", pooled / "pooled", "--policy", pooled / "thrift.yaml")
    assert code == 0
    assert "the configuration has no upstream mid, to which a route leads" in err
    assert "no upstream small" not in err
    assert "next:" not in out


def test_nothing_compared_is_too_little(home, monkeypatch, capsys):
    dark = POLICY.replace("openai/gpt-5-nano", "nobody/knows").replace("openai/gpt-5-mini", "nobody/else")
    (home / "dark.yaml").write_text(dark)
    (home / "none.yaml").write_text(POLICY.replace("bandwidth", "flagship").replace(", judgment: 1", ""))
    for name, says in (("dark", "0 find no route, 3 have no price"), ("none", "3 find no route, 0 have no price")):
        code, out, err = run(monkeypatch, capsys, "--policy", home / f"{name}.yaml")
        assert (code, "next:" in out) == (4, False)
        assert says in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--policy", "{home}/none.yaml"), 2, "there is no {home}/none.yaml"),
        (("--policy", "{home}/list.yaml"), 2, "list.yaml: Expected `object`, got `array`"),
        (("--policy", "{home}/wrong.yaml"), 2, "wrong.yaml: Object missing required field `offer`"),
        (("--policy", "{home}/broken.yaml"), 2, "broken.yaml is not YAML"),
        (("--policy", "{home}/thrift.yaml", "--ledger", "{home}/empty"), 4, "there is no ledger in {home}/empty"),
        (
            ("--policy", "{home}/thrift.yaml", "--run", "two"),
            4,
            "holds no call of run two\n next: Name one of its runs: one",
        ),
        (("--policy", "{home}/thrift.yaml", "--demo", "--ledger", "."), 2, "--demo and --ledger name two ledgers"),
        (("--policy", "{home}/thrift.yaml", "--config", "{home}/no.yaml"), 2, "there is no {home}/no.yaml"),
        ((), 2, "Missing option"),
    ],
)
def test_misuse_is_named_with_its_exit_code(home, monkeypatch, capsys, arguments, code, message):
    (home / "list.yaml").write_text("[1, 2]")
    (home / "wrong.yaml").write_text("routes: [{name: x, upstream: y, model: z}]")
    (home / "broken.yaml").write_text("routes: [")
    found, out, err = run(monkeypatch, capsys, *(argument.format(home=home) for argument in arguments))
    assert found == code
    assert message.format(home=home) in err
    assert out == ""

"""Data files that ship are read whole; a broken one is an error that names the file and the field."""

import shutil
from decimal import Decimal

import pytest

from baseload.capacity.deployment import Saturated
from baseload.catalog.entries import Precedence
from baseload.documents import DATA, load_architectures, load_catalog, load_deployments
from baseload.errors import BadConfig
from baseload.settings import OwnPrice
from baseload.usage import Usage


@pytest.fixture
def data(tmp_path):
    for path in DATA.glob("*.yaml"):
        shutil.copy(path, tmp_path)
    return tmp_path


def broken(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_deployments_hold_the_measured_points():
    known = load_deployments()
    dense = known["qwen3-32b-2xh100-vllm0.12"]
    assert round(dense.curve.tokens_per_second(8), 1) == 418.8
    assert round(dense.curve.tokens_per_second(128), 1) == 1505.3
    # A request of each measured mix keeps the machine busy for output / rate seconds.
    for read, written, rate in ((1024, 128, "1505.3"), (1024, 1024, "3330.1")):
        seconds = dense.seconds(Usage(input_tokens=read, output_tokens=written))
        assert round(seconds, 9) == round(written / Decimal(rate), 9)
    mixture = known["deepseek-671b-8xh100-vllm0.7.3"]
    assert (round(mixture.curve.tokens_per_second(1)), round(mixture.curve.tokens_per_second(100))) == (33, 620)
    assert mixture.saturated is None


def test_every_deployment_stands_on_a_known_machine_and_model():
    catalog, sizes = load_catalog(), load_architectures()
    for deployment in load_deployments().values():
        machine = catalog.machine(deployment.machine)
        assert (machine.gpu, machine.count) == (deployment.gpu, deployment.gpus)
        assert deployment.model in sizes


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("articles.yaml", "books:", "books: [", "articles.yaml is not YAML"),
        ("articles.yaml", 'input: "0.01"', 'input: "cheap"', r"\$\.offers.*input"),
        ("articles.yaml", 'input: "0.01"', 'input: "-0.01"', "qwen3-8b has the price -0.01"),
        ("articles.yaml", 'input: "0.01"', 'input: "Infinity"', "qwen3-8b has the price Infinity"),
        ("articles.yaml", 'input: "0.01"', 'input: "0.0000001"', "more than six decimals"),
        (
            "articles.yaml",
            "{provider: glm, model: glm-4-9b",
            "{provider: qwen, model: qwen3-8b",
            "qwen/qwen3-8b stands",
        ),
        ("articles.yaml", "as_of: 2026-04-24", "as_of: 2026-02-30", "articles.yaml is not YAML"),
        ("articles.yaml", "  article-2:\n    reference", "  article-0:\n    reference", "articles.yaml is not YAML"),
        ("articles.yaml", "rank 1:", 'rank 1", colour: "', "colour"),
        ("articles.yaml", "  article-3:\n    reference", "  article-9:\n    reference", "'article-3' is not one of"),
        ("leases.yaml", 'usd_per_gpu_hour: ["2.00", "3.00"]', 'usd_per_gpu_hour: ["3.00", "2.00"]', "must rise"),
        ("leases.yaml", 'usd_per_gpu_hour: ["1.65"]', "usd_per_gpu_hour: []", "a range of 0 figures"),
        ("leases.yaml", 'usd_per_gpu_hour: ["1.65"], ', "", "exactly one price"),
        ("leases.yaml", "precedence: market", "precedence: gossip", "precedence 'gossip'"),
        ("leases.yaml", "kind: spot", "kind: stolen", "kind"),
        ("machines.yaml", "counts: [1, 2, 4, 8], ", "", "counts"),
    ],
)
def test_a_broken_file_is_named_with_its_field(data, file, old, new, says):
    broken(data / file, old, new)
    with pytest.raises(BadConfig, match=says) as caught:
        load_catalog(directory=data)
    assert file in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("source: article-3", "source: hearsay", "'hearsay' is not one of"),
        ("in_flight: 8,", "in_flight: 128,", "rising concurrency"),
        ('      - {in_flight: 8, output_tokens_per_second: "418.8"}\n', "", "needs points at two or more"),
        ("experts: false", "experts: maybe", "experts"),
    ],
)
def test_a_broken_deployment_is_named(data, old, new, says):
    broken(data / "deployments.yaml", old, new)
    with pytest.raises(BadConfig, match=says):
        load_deployments(directory=data)


YOURS = """sources:
  measured: {reference: "mine", as_of: 2026-11-20, licence: yours, precedence: yours}
deployments:
  - {name: NAME, model: m, machine: rack-x1, gpu: rack, gpus: 1, engine: e, quantization: fp8, experts: false,
     mix: {input: 100, output: 10}, max_in_flight: 4, measured: 2026-11-20, source: measured,
     points: [{in_flight: 1, output_tokens_per_second: "100"}, {in_flight: 2, output_tokens_per_second: "190"},
              {in_flight: 4, output_tokens_per_second: "340"}],
     saturated: {input_tokens_per_second: "READ", output_tokens_per_second: "400"},
     probes: [{in_flight: 1, input: 100.5, output: 10, requests: 9, output_tokens_per_second: "100",
               ttft_seconds: {mean: 0.1, p50: 0.1, p90: 0.2, p99: 0.3}}]}
"""


def test_your_measured_deployments_stand_over_those_that_ship(tmp_path):
    shipped = load_deployments(yours=tmp_path)
    name = next(iter(shipped))
    (tmp_path / "a.yaml").write_text(YOURS.replace("NAME", "rack").replace("READ", "5000"))
    (tmp_path / "b.yaml").write_text(YOURS.replace("NAME", name).replace("READ", "5000"))
    found = load_deployments(yours=tmp_path)
    assert found.keys() == {*shipped, "rack"}
    assert found["rack"].curve.tokens_per_second(4) == pytest.approx(340, rel=0.02)
    assert found["rack"].saturated == Saturated(Decimal(5000), Decimal(400))
    assert found[name].gpu == "rack"
    assert found[name].source.precedence is Precedence.YOURS


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("READ", "0", "not above zero"),
        ('"190"', '"0"', "no throughput"),
        ("in_flight: 2", "in_flight: 1", "two or more concurrencies"),
        ("mean: 0.1", "mean: soon", "mean"),
        ("sources:", "sources: {", "not YAML"),
    ],
)
def test_a_broken_file_of_yours_is_named(tmp_path, old, new, says):
    (tmp_path / "rack.yaml").write_text(YOURS.replace(old, new, 1).replace("NAME", "rack").replace("READ", "5000"))
    with pytest.raises(BadConfig, match=says) as caught:
        load_deployments(yours=tmp_path)
    assert "rack.yaml" in caught.value.message


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BadConfig, match=r"there is no .*articles\.yaml"):
        load_catalog(directory=tmp_path)


@pytest.mark.parametrize(
    ("offer", "figure", "says"), [("acme", "1", "offer is 'acme'"), ("acme/large", "0.00000001", "six decimals")]
)
def test_a_price_of_your_own_that_does_not_make_sense(offer, figure, says):
    with pytest.raises(BadConfig, match=says):
        load_catalog((OwnPrice(offer=offer, input=Decimal(figure), output=Decimal(1)),))

"""GPU offers: the shipped set, odd rows, machines of your own, and what each mistake is told."""

import json
from collections import Counter
from datetime import date
from decimal import Decimal

import msgspec
import pytest

from baseload.catalog.entries import LeaseKind, Precedence
from baseload.catalog.gpus import Hardware, OwnLease, gpu_named
from baseload.errors import BadConfig, UnknownModel
from baseload.pricebooks import GPU_OFFERS, load_gpu_offers, your_leases
from baseload.ranges import Range

OFFERS = load_gpu_offers()


def test_the_set_is_whole_and_every_row_has_its_source():
    assert len(OFFERS) == 310
    assert len({row.provider for row in OFFERS}) == 21
    assert all(row.source.reference.startswith("https://") for row in OFFERS)
    assert {(row.source.as_of, row.source.licence, row.source.precedence) for row in OFFERS} == {
        (date(2026, 5, 24), "MIT", Precedence.MARKET)
    }
    assert Counter(row.kind for row in OFFERS) == {
        LeaseKind.RENTED: 172,
        LeaseKind.SPOT: 92,
        LeaseKind.BROKERED: 46,
    }


def test_spot_that_is_not_cheaper_than_firm_is_kept_and_flagged():
    odd = {(row.provider, row.gpu): row.usd_per_hour for row in OFFERS if row.flag}
    assert odd == {
        ("runpod", "rtx-4090"): Decimal("0.77"),
        ("runpod", "a100-80gb"): Decimal("2.17"),
        ("runpod", "h100-80gb"): Decimal("4.76"),
        ("dataoorts", "a100-80gb"): Decimal("1.06"),
    }
    assert all("firm price" in row.flag for row in OFFERS if row.flag)


@pytest.mark.parametrize(
    ("model", "memory", "gpu"),
    [
        ("NVIDIA H100 SXM5", 80, "h100-80gb"),
        ("NVIDIA HGX H100 SXM", 80, "h100-80gb"),
        ("NVIDIA H100 NVL", 94, "h100-94gb"),
        ("NVIDIA A100 SXM4 80GB", 80, "a100-80gb"),
        ("NVIDIA A100 SXM4", 40, "a100-40gb"),
        ("NVIDIA H200 SXM", 141, "h200-141gb"),
        ("NVIDIA GeForce RTX 4090", 24, "rtx-4090"),
        ("RTX 4090 (48 GB mod)", 48, "rtx-4090-48gb"),
        ("NVIDIA RTX A6000", 48, "a6000-48gb"),
        ("NVIDIA RTX PRO 6000 CC", 96, "rtx-pro-6000"),
    ],
)
def test_names_of_one_gpu_become_one(model, memory, gpu):
    assert {row.gpu for row in OFFERS if (row.model, row.memory_gb) == (model, memory)} == {gpu}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda document: document["offers"].append(document["offers"][0]), "stands there twice"),
        (lambda document: document["offers"][0].update(usd_per_hour="-1"), "costs -1"),
        (lambda document: document["offers"][0].update(usd_per_hour="0"), "costs 0"),
        (lambda document: document["offers"][0].update(tier="barter"), "the tier 'barter'"),
        (lambda document: document["offers"][0].update(collected_at="2026-02-30"), r"offers\[0\]\.collected_at|offers"),
        (lambda document: document["offers"][0].pop("gpu"), "gpu"),
    ],
)
def test_a_broken_set_is_named_with_its_row(tmp_path, change, says):
    document = json.loads(GPU_OFFERS.read_text())
    change(document)
    path = tmp_path / "gpus.json"
    path.write_text(json.dumps(document))
    with pytest.raises(BadConfig, match=says) as caught:
        load_gpu_offers(path)
    assert str(path) in caught.value.message
    assert caught.value.remedy


def test_a_missing_set_is_named(tmp_path):
    with pytest.raises(BadConfig, match="cannot read"):
        load_gpu_offers(tmp_path / "nothing.json")


def test_machines_of_your_own_stand_first():
    leases = msgspec.convert(
        [
            {"gpu": "h100-80gb", "provider": "acme", "usd_per_gpu_hour": ["1.80", "2.10"]},
            {"gpu": "h100-80gb", "kind": "reserved", "usd_per_month": ["9000"], "count": 8},
        ],
        tuple[OwnLease, ...],
        strict=False,
    )
    hardware = (Hardware(gpu="h100-80gb", purchase_usd=Decimal(26000), count=8, pue=Decimal("1.2")),)
    hourly, monthly, bought = your_leases(leases, hardware)
    assert hourly.usd_per_gpu_hour == Range.between("1.80", "2.10")
    assert (monthly.kind, monthly.usd_per_month, monthly.count) == (LeaseKind.RESERVED, Range.exact(9000), 8)
    assert (bought.kind, bought.purchase_usd) == (LeaseKind.OWNED, Range.exact(26000))
    assert {each.source.precedence for each in (hourly, monthly, bought)} == {Precedence.YOURS}
    assert hardware[0].figures == {"card_usd": Decimal(26000), "pue": Decimal("1.2")}


@pytest.mark.parametrize(
    ("lease", "says"),
    [
        ({}, "exactly one price"),
        ({"usd_per_gpu_hour": ["1"], "usd_per_month": ["1"]}, "exactly one price"),
        ({"usd_per_gpu_hour": ["3", "2"]}, "must rise"),
        ({"usd_per_gpu_hour": ["1", "2", "3", "4"]}, "a range of 4 figures"),
        ({"usd_per_gpu_hour": ["-1"]}, "negative"),
        ({"usd_per_month": ["5"], "count": 0}, "no card"),
        ({"kind": "owned", "usd_per_gpu_hour": ["1"]}, "hardware|owned is not leased"),
    ],
)
def test_a_lease_that_makes_no_sense_is_named_with_its_row(lease, says):
    row = msgspec.convert({"gpu": "h100-80gb", **lease}, OwnLease, strict=False)
    with pytest.raises(BadConfig, match=says) as caught:
        your_leases([row], ())
    assert caught.value.message.startswith("leases: row 1, h100-80gb: ")
    assert caught.value.remedy


def test_hardware_with_a_negative_figure_is_refused():
    with pytest.raises(BadConfig, match="hardware: row 1, x"):
        your_leases((), (Hardware(gpu="x", purchase_usd=Decimal(1), watts_per_card=Decimal(-1)),))


NAMES = sorted({row.gpu for row in OFFERS})


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("h100-80gb", "h100-80gb"),
        ("H100", "h100-80gb"),
        ("NVIDIA H100", "h100-80gb"),
        ("H100 NVL", "h100-94gb"),
        ("4090", "rtx-4090"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("L4", "l4-24gb"),
        ("rtx a6000", "a6000-48gb"),
        ("MI300X", "mi300x-192gb"),
        ("gb300", "gb300-288gb"),
    ],
)
def test_the_gpu_that_a_person_means(asked, meant):
    assert gpu_named(asked, NAMES) == meant


def test_every_name_means_itself_in_any_spelling():
    for name in NAMES:
        assert gpu_named(name, NAMES) == gpu_named(name.upper().replace("-", " "), NAMES) == name


@pytest.mark.parametrize(
    ("asked", "listed"),
    [
        ("a100", "Name one: a100-40gb, a100-80gb."),
        ("b200", "Name one: b200-180gb, b200-192gb."),
        ("b300", "b300-180gb, b300-262gb, b300-288gb"),
        ("h101", "Did you mean h100-80gb"),
        ("abacus", "baseload gpu list"),
        ("", "baseload gpu list"),
    ],
)
def test_a_name_that_fits_several_or_none(asked, listed):
    with pytest.raises(UnknownModel) as caught:
        gpu_named(asked, NAMES)
    assert listed in caught.value.remedy

"""The parameter table: whole, sourced and dated; and what may be laid over it."""

import shutil
from decimal import Decimal

import pytest

from baseload.cost.parameters import Assumptions
from baseload.documents import COST_DATA, load_parameters
from baseload.errors import BadConfig, BadInput, Unpriced
from baseload.ranges import Range

TABLE = load_parameters()


def test_every_component_has_its_number_and_every_figure_its_unit_source_and_date():
    assert [component.number for component in TABLE.components] == list(range(1, 37))
    assert all(component.pays and component.formula for component in TABLE.components)
    for parameter in TABLE.parameters:
        assert parameter.unit
        assert parameter.source.reference
        assert parameter.source.as_of.year >= 2024
        assert (parameter.shape == "exact") == (parameter.figure is not None and parameter.figure.is_exact)
        assert not parameter.group or 0 < TABLE.groups[parameter.group] < 1


def test_the_articles_hidden_stack_is_in_the_table():
    known = Assumptions(TABLE)
    assert known["gateway_usd_per_month"] == Range.between(50, 200)
    assert known["model_updates_usd_per_month"] == Range.between(100, 500)
    assert known["gpu_usd_per_hour"].likely == Decimal("2.40")


def test_an_override_keeps_its_origin():
    default = Assumptions(TABLE)
    typed = default.over({"pue": Range.exact(Decimal("1.2"))}).over({"engineer_fte": Range.exact(0)}, "config")
    assert [typed.origin(name) for name in ("pue", "engineer_fte", "residual_share")] == ["typed", "config", "default"]
    assert typed["pue"].likely == Decimal("1.2")
    assert default["pue"].likely == Decimal("1.54")
    assert dict(typed)["pue"] == typed["pue"]
    assert len(typed) == len(list(typed))


def test_what_only_the_option_knows_is_never_made_up():
    with pytest.raises(Unpriced, match="api_output_usd_per_mtok"):
        Assumptions(TABLE)["api_output_usd_per_mtok"]
    assert "api_output_usd_per_mtok" not in Assumptions(TABLE)


@pytest.mark.parametrize(
    ("name", "figure", "says"),
    [
        ("pie", Range.exact(1), "pue"),
        ("pue", Range.exact(Decimal("0.9")), "from 1 up"),
        ("engineer_fte", Range.exact(-1), "from 0 up"),
        ("target_fill", Range.exact(0), "above 0"),
        ("reserved_discount", Range.exact(30), "0.3 for 30 %"),
        ("spare_replicas", Range.exact(Decimal("0.5")), "whole number"),
        ("pue", Range(Decimal(1), Decimal(1), Decimal("Infinity")), "from 0 up"),
    ],
)
def test_a_figure_that_makes_no_sense_is_refused(name, figure, says):
    with pytest.raises(BadInput) as caught:
        Assumptions(TABLE).over({name: figure})
    assert says in caught.value.remedy


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("group: tokens", "group: herds", "'herds'"),
        ("name: pue", "name: node_factor", "node_factor stands there twice"),
        ('"0.20", "0.30", "0.55"', '"0.55", "0.30", "0.20"', "must rise"),
        ('"0.20", "0.30", "0.55"', '"20", "30", "55"', "more than the whole"),
        ("source: skyserve", "source: hearsay", "'hearsay'"),
        ("scale: R", "scale: X", "scale"),
    ],
)
def test_a_broken_table_is_named(tmp_path, old, new, says):
    shutil.copy(COST_DATA / "parameters.yaml", tmp_path)
    path = tmp_path / "parameters.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(BadConfig, match=says):
        load_parameters(directory=tmp_path)

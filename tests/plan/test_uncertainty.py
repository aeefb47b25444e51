from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baseload.errors import BadInput
from baseload.plan.sensitivity import swings, variance_shares, worth_knowing, worth_knowing_all
from baseload.plan.uncertainty import (
    MOST_INPUTS,
    Input,
    Tie,
    drawn,
    normal_quantile,
    normal_share,
    spread,
    weigh,
)

NORMAL = statistics.NormalDist()
COUNT = 1 << 12


def uniform(name, low, high):
    return Input(name, low, (low + high) / 2, high, "uniform")


def linear(weights):
    """Option -> constant and weights of inputs."""

    def cost(option, values):
        constant, by = weights[option]
        return constant + sum(
            (weight * values[name] for name, weight in by.items()), np.zeros(len(next(iter(values.values()))))
        )

    return cost


def test_normal_scores_both_ways():
    scores = np.linspace(-5, 5, 401)
    shares = np.array([NORMAL.cdf(score) for score in scores.tolist()])
    assert np.abs(normal_share(scores) - shares).max() < 1e-7
    assert np.abs(normal_quantile(shares) - scores).max() < 1e-6


@pytest.mark.parametrize("ends", [(1, 2, 4), (1, 1, 4), (1, 4, 4), (0, 3, 10)])
def test_a_triangular_figure_has_its_quantiles(ends):
    low, likely, high = ends
    figure = Input("x", low, likely, high)
    shares = np.linspace(0, 1, 101)
    found = figure.at(shares)
    below = np.where(
        found <= likely,
        (found - low) ** 2 / ((high - low) * max(likely - low, 1e-300)),
        1 - (high - found) ** 2 / ((high - low) * max(high - likely, 1e-300)),
    )
    inner = slice(1, -1)
    assert np.allclose(below[inner], shares[inner], atol=1e-9)
    assert math.isclose(float(figure.at(drawn([figure])[:, 0]).mean()), (low + likely + high) / 3, rel_tol=1e-4)


def test_a_lognormal_figure_has_its_ends_as_percentiles():
    figure = Input("x", 2, 3, 10, "lognormal")
    assert np.allclose(figure.at(np.array([0.05, 0.5, 0.95])), [2, 3, 10], rtol=1e-6)


def test_an_exact_figure_stays():
    assert (Input("x", 3, 3, 3).at(np.array([0.0, 0.3, 1.0])) == 3).all()


@pytest.mark.parametrize("correlation", [-0.8, 0.0, 0.3, 0.9])
def test_tied_inputs_move_together_and_keep_their_own_spread(correlation):
    inputs = [uniform("a", 0, 1), uniform("b", 0, 1), uniform("c", 0, 1)]
    shares = drawn(inputs, [Tie("a", "b", correlation)], count=COUNT, seed=5)
    ranked = np.corrcoef(shares[:, 0], shares[:, 1])[0, 1]
    assert math.isclose(ranked, 6 / math.pi * math.asin(correlation / 2), abs_tol=0.01)
    assert abs(np.corrcoef(shares[:, 0], shares[:, 2])[0, 1]) < 0.01
    for column in shares.T:
        assert np.allclose(np.quantile(column, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.01)


def test_two_even_options():
    """a costs U(0,1), b costs 0.5: each wins half, regret is 1/8, knowing a is worth 1/8."""
    inputs = [uniform("u", 0, 1), uniform("idle", 5, 6)]
    cost = linear({"a": (0, {"u": 1}), "b": (0.5, {})})
    found = weigh(["a", "b"], inputs, cost, baseline="b", count=COUNT)
    a, b = found.prospects
    assert math.isclose(a.cheapest, 0.5, abs_tol=1e-3)
    assert math.isclose(a.cheapest + b.cheapest, 1)
    assert math.isclose(a.regret, 1 / 8, abs_tol=1e-4)
    assert math.isclose(b.regret, 1 / 8, abs_tol=1e-4)
    assert np.allclose([a.cost.p5, a.cost.p50, a.cost.p95], [0.05, 0.5, 0.95], atol=1e-3)
    assert np.allclose([a.saving.p5, a.saving.p95], [-0.45, 0.45], atol=1e-3)
    known = worth_knowing(found)
    assert known[0].name == "u"
    assert math.isclose(known[0].usd_per_month, 1 / 8, abs_tol=1e-3)
    assert known[1].usd_per_month < 1e-3
    assert math.isclose(worth_knowing_all(found), 1 / 8, abs_tol=1e-3)


def test_options_that_tie_share_the_case():
    cost = linear({"a": (1, {}), "b": (1, {}), "c": (2, {})})
    found = weigh(["a", "b", "c"], [uniform("u", 0, 1)], cost, baseline="a", count=64)
    assert [each.cheapest for each in found.prospects] == [0.5, 0.5, 0]
    assert found.robust.regret == 0


def test_normal_difference_in_closed_form():
    """Two lognormals, tied: P(a < b) is a normal probability."""
    inputs = [Input("a", 0.8, 1, 1.25, "lognormal"), Input("b", 0.7, 1.1, 1.1**2 / 0.7, "lognormal")]
    cost = linear({"a": (0, {"a": 1}), "b": (0, {"b": 1})})
    found = weigh(["a", "b"], inputs, cost, baseline="b", ties=[Tie("a", "b", 0.6)], count=1 << 14)
    z95 = NORMAL.inv_cdf(0.95)
    one, two = math.log(1.25) / z95, math.log(1.1 / 0.7) / z95
    sigma = math.sqrt(one**2 + two**2 - 2 * 0.6 * one * two)
    assert math.isclose(found.prospect("a").cheapest, NORMAL.cdf(math.log(1.1) / sigma), abs_tol=2e-3)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20), st.integers(0, 20)), min_size=2, max_size=4))
def test_what_always_holds(rows):
    weights = {str(place): (constant, {"u": one, "v": two}) for place, (constant, one, two) in enumerate(rows)}
    found = weigh(list(weights), [uniform("u", 0, 1), Input("v", 1, 2, 5)], linear(weights), baseline="0", count=1024)
    assert math.isclose(sum(each.cheapest for each in found.prospects), 1)
    assert all(each.regret >= 0 for each in found.prospects)
    assert found.robust.cost.mean == min(each.cost.mean for each in found.prospects)
    assert found.prospect("0").saving.mean == 0
    known = worth_knowing(found)
    assert all(0 <= each.usd_per_month <= worth_knowing_all(found) + 1e-9 for each in known)
    brute = found.costs.argmin(axis=0)
    for place, each in enumerate(found.prospects):
        assert each.cheapest <= (found.costs[place] <= found.costs.min(axis=0)).mean() + 1e-12
        assert (
            each.cheapest == (brute == place).mean()
            or len(set(rows)) < len(rows)
            or (found.costs == found.costs.min(axis=0)).sum() > 1024
        )


def test_the_same_seed_gives_the_same_and_another_a_close_answer():
    inputs = [uniform("u", 0, 1), uniform("v", 0, 1)]
    cost = linear({"a": (0, {"u": 1}), "b": (0.1, {"v": 1})})
    one, again, other = (weigh(["a", "b"], inputs, cost, baseline="a", seed=seed) for seed in (1, 1, 2))
    assert one.prospects == again.prospects
    assert one.prospects != other.prospects
    exact = 1 - 0.9**2 / 2
    assert math.isclose(one.prospect("a").cheapest, exact, abs_tol=1e-3)
    assert math.isclose(other.prospect("a").cheapest, exact, abs_tol=1e-3)


def test_the_tornado_is_widest_first():
    inputs = [uniform("small", 0, 1), uniform("large", 0, 10), Input("sure", 4, 4, 4)]
    cost = linear({"own": (0, {"small": 1, "large": 1, "sure": 1}), "api": (9, {})})
    found = swings("own", "api", inputs, cost)
    assert [each.name for each in found] == ["large", "small"]
    assert np.allclose([found[0].saving_at_low, found[0].saving_at_high], [9 - 0.5 - 0.5 - 4, 9 - 0.5 - 9.5 - 4])
    assert found[0].flips
    assert not found[1].flips
    assert math.isclose(found[1].width, 0.9)


def test_variance_shares_of_the_ishigami_function():
    """The usual yardstick, by its closed form: x1 0.5576, x2 0.4424, x3 0.2437."""
    inputs = [uniform(name, 0, 2 * math.pi) for name in ("x1", "x2", "x3")]

    def cost(option, values):
        if option == "api":
            return np.zeros_like(values["x1"])
        x1, x2, x3 = (values[name] - math.pi for name in ("x1", "x2", "x3"))
        return np.sin(x1) + 7 * np.sin(x2) ** 2 + 0.1 * x3**4 * np.sin(x1)

    found = variance_shares("own", "api", inputs, cost)
    assert np.allclose([found["x1"], found["x2"], found["x3"]], [0.5576, 0.4424, 0.2437], atol=0.01)


def test_variance_shares_of_a_sum_are_the_variances():
    inputs = [uniform("a", 0, 1), uniform("b", 0, 2), Input("sure", 1, 1, 1)]
    found = variance_shares("own", "api", inputs, linear({"own": (0, {"a": 1, "b": 1}), "api": (0, {})}))
    assert np.allclose([found["a"], found["b"]], [0.2, 0.8], atol=0.005)
    assert "sure" not in found
    assert variance_shares("api", "api", inputs, linear({"api": (0, {"a": 1})})) == {}
    assert variance_shares("api", "api", [Input("sure", 1, 1, 1)], linear({"api": (0, {})})) == {}


def test_percentiles_are_those_of_the_ordered_figures():
    figures = np.arange(101.0)[::-1]
    found = spread(figures)
    assert (found.p5, found.p50, found.p95, found.mean) == (5, 50, 95, 50)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Input("x", 2, 1, 3),
        lambda: Input("x", 3, 2, 1),
        lambda: Input("x", -1, 2, 3),
        lambda: Input("x", 0, 2, 3, "lognormal"),
        lambda: Input("x", 0, 1, math.inf),
        lambda: Input("x", math.nan, 1, 2),
        lambda: drawn([]),
        lambda: drawn([uniform("a", 0, 1), uniform("a", 0, 1)]),
        lambda: drawn([uniform(str(each), 0, 1) for each in range(MOST_INPUTS + 1)]),
        lambda: drawn([uniform("a", 0, 1), uniform("b", 0, 1)], [Tie("a", "b", 1.0)]),
        lambda: drawn([uniform("a", 0, 1)], [Tie("a", "a", 0.5)]),
        lambda: drawn(
            [uniform(name, 0, 1) for name in "abc"], [Tie("a", "b", 0.9), Tie("b", "c", 0.9), Tie("a", "c", -0.9)]
        ),
        lambda: weigh(["a", "a"], [uniform("u", 0, 1)], linear({"a": (0, {})}), baseline="a"),
        lambda: weigh(["a"], [uniform("u", 0, 1)], linear({"a": (0, {})}), baseline="b"),
        lambda: weigh(["a"], [uniform("u", 0, 1)], linear({"a": (math.inf, {})}), baseline="a"),
        lambda: worth_knowing(weigh(["a"], [uniform("u", 0, 1)], linear({"a": (0, {})}), baseline="a", count=64)),
    ],
)
def test_absurd_inputs_are_refused_with_a_remedy(wrong):
    with pytest.raises(BadInput) as caught:
        wrong()
    assert caught.value.remedy

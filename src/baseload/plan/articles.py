"""Every figure of the articles, recomputed: `recompute(id, books)`. Pure.

Each id has one small function that computes it from the books and curves: prices and leases, the hidden stack, measured
deployments, the fit of a model to a machine, break-evens. What an article states and no engine can compute has none.
"""

from __future__ import annotations

from dataclasses import dataclass

from baseload.errors import BadInput
from baseload.plan import (
    articles_fit,
    articles_machines,
    articles_node,
    articles_prices,
    articles_rules,
    articles_volumes,
)
from baseload.plan.articles_figures import Books, Recipe, Value

RECIPES: dict[str, Recipe] = {
    **articles_prices.RECIPES,
    **articles_machines.RECIPES,
    **articles_fit.RECIPES,
    **articles_volumes.RECIPES,
    **articles_node.RECIPES,
    **articles_rules.RECIPES,
}


@dataclass(frozen=True, slots=True)
class Recomputed:
    """`ours` is not rounded, `printed` is as coarse as the article; `exact` says that it is what the article says."""

    id: str
    ours: Value
    printed: Value
    exact: bool
    how: str
    reason: str


def recompute(figure_id: str, books: Books) -> Recomputed:
    """One figure from the books. Raises BadInput for an id that no article has or that nothing can compute."""
    figure = books.figures.get(figure_id)
    recipe = RECIPES.get(figure_id)
    if figure is None or recipe is None:
        raise BadInput(
            f"{figure_id!r} is not a figure that can be recomputed", remedy="See docs/articles.md for the ids."
        )
    ours = recipe(figure, books)
    printed = figure.printed(ours.value)
    return Recomputed(figure_id, ours.value, printed, printed == figure.wanted, ours.how, ours.reason)

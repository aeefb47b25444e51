"""What a configuration or a policy can reach, and so needs a price for. Acts (reads files)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from baseload.cli.policy_file import AnyVariable, read_policy

if TYPE_CHECKING:
    from baseload.policy.policy import Policy
    from baseload.settings import Settings


def reached(config: str | None, policy: str | None) -> tuple[Settings | None, tuple[str, ...]]:
    """The configuration that adds books, and the offers that need a price in them: the routes' and `compare`'s.

    A pool of your own is priced by its hours. Of a policy alone nobody knows which pools there are, so its own routes
    are left out.
    """
    from baseload.configuration import read_settings

    settings = read_settings(Path(config), AnyVariable()) if config is not None else None
    wanted = settings.policy if settings is not None else None
    if policy is not None:
        wanted, whole = read_policy(Path(policy))
        settings = settings or whole
    if wanted is None:
        return settings, ()
    compared = settings.compare if settings is not None else ()
    return settings, tuple(dict.fromkeys((*_offers(wanted, settings), *compared)))


def _offers(wanted: Policy, settings: Settings | None) -> list[str]:
    from datetime import UTC, datetime

    from baseload.documents import load_deployments
    from baseload.gateway.offers import own_offers

    if settings is None:
        return [route.offer for route in wanted.routes if not route.own]
    pools = own_offers(settings, load_deployments(), datetime.now(UTC).date())
    return [route.offer for route in wanted.routes if route.offer not in pools]

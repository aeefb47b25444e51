"""The demo's gateway: what `baseload serve` runs, as a child that ends with the demo. Acts."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec

from baseload.child import Parent, work_for_parent


class Orders(msgspec.Struct, frozen=True):
    """The configuration to serve, and the run that the console shows first."""

    config: str
    run: str


class Ready(msgspec.Struct, frozen=True):
    """Where the gateway answers; `recovered` calls of an earlier, killed process were written down first."""

    url: str
    recovered: int


async def _serve(parent: Parent) -> None:
    from baseload.configuration import read_settings
    from baseload.console.process import start
    from baseload.gateway.run import serving

    orders = msgspec.json.decode(parent.orders, type=Orders)
    config = Path(orders.config)
    settings = read_settings(config)
    async with serving(settings, partial(start, settings.directory, config, orders.run)) as served:
        parent.say_ready(Ready(served.url, served.recovered))
        await parent.ended()


if __name__ == "__main__":
    work_for_parent(_serve)

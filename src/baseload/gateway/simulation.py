"""A process of simulated upstreams, one port each. Acts. `python -m baseload.gateway.simulation`

Started by `simulate`, as every child of ours: see `child.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from baseload.capacity.deployment import Deployment
from baseload.child import Child, Parent, work_for_parent
from baseload.documents import load_deployments
from baseload.errors import UnknownModel
from baseload.gateway.http import serve
from baseload.gateway.simulated import Simulated, api_pace, pool_pace

HOST = "127.0.0.1"


class SimulatedUpstream(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one upstream serves and how fast: an own `deployment` on its curve, or an API at a fixed pace."""

    name: str
    model: str
    deployment: str = ""
    first_token_seconds: Decimal = Decimal("0.4")
    tokens_per_second: Decimal = Decimal(80)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """The upstreams a simulation is asked to serve; `speed` divides every wait."""

    upstreams: tuple[SimulatedUpstream, ...]
    speed: float = 1.0


def simulate(order: Order) -> Child:
    """Start the upstreams; the child's `ready` is a dict of port by upstream name."""
    return Child("baseload.gateway.simulation", order)


async def _serve(parent: Parent) -> None:
    order = msgspec.json.decode(parent.orders, type=Order)
    deployments = load_deployments()
    servers = {
        each.name: await serve(simulated(each, order.speed, deployments).handle, HOST, 0) for each in order.upstreams
    }
    parent.say_ready({name: server.address[1] for name, server in servers.items()})
    await parent.ended()
    for server in servers.values():
        server.close()


def simulated(upstream: SimulatedUpstream, speed: float, deployments: Mapping[str, Deployment]) -> Simulated:
    """One simulated upstream. Raises UnknownModel on a deployment that nobody measured."""
    if not upstream.deployment:
        pace = api_pace(float(upstream.first_token_seconds), float(upstream.tokens_per_second))
        return Simulated(upstream.model, pace, speed=speed)
    if upstream.deployment not in deployments:
        raise UnknownModel(
            f"no deployment is named {upstream.deployment}", remedy=f"Known are {', '.join(deployments)}."
        )
    deployment = deployments[upstream.deployment]
    return Simulated(upstream.model, pool_pace(deployment), speed=speed, max_in_flight=deployment.max_in_flight)


if __name__ == "__main__":
    work_for_parent(_serve)

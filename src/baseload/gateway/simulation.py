"""A process of simulated upstreams, one port each. Acts. `python -m baseload.gateway.simulation`

It reads its upstreams as one JSON line on stdin, answers with their ports as one JSON line on stdout, serves until
stdin ends, and so never outlives whoever started it.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from decimal import Decimal
from typing import Self

import msgspec

from baseload.capacity.deployment import Deployment
from baseload.documents import load_deployments
from baseload.errors import UnknownModel, UpstreamUnreachable
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


class Simulation:
    """Simulated upstreams in a child process: `urls` by upstream name. Leave the `with` block and they are gone."""

    def __init__(self, order: Order) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "baseload.gateway.simulation"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        if self._child.stdin is None or self._child.stdout is None:
            raise UpstreamUnreachable("the simulated upstreams have no pipe", remedy="Start them again.")
        self._child.stdin.write(msgspec.json.encode(order) + b"\n")
        self._child.stdin.flush()
        ready = self._child.stdout.readline()
        if not ready:
            self.stop()
            raise UpstreamUnreachable("the simulated upstreams did not start", remedy="See their message above.")
        ports = msgspec.json.decode(ready, type=dict[str, int])
        self.urls = {name: f"http://{HOST}:{port}" for name, port in ports.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the child and wait for it."""
        if self._child.stdin is not None:
            self._child.stdin.close()
        self._child.wait()
        if self._child.stdout is not None:
            self._child.stdout.close()


async def _main() -> None:
    loop = asyncio.get_running_loop()
    stdin = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    order = msgspec.json.decode(await stdin.readline(), type=Order)
    deployments = load_deployments()
    servers = {
        each.name: await serve(_simulated(each, order.speed, deployments).handle, HOST, 0) for each in order.upstreams
    }
    ports = {name: server.address[1] for name, server in servers.items()}
    sys.stdout.write(msgspec.json.encode(ports).decode() + "\n")
    sys.stdout.flush()
    await stdin.read()
    for server in servers.values():
        server.close()


def _simulated(upstream: SimulatedUpstream, speed: float, deployments: Mapping[str, Deployment]) -> Simulated:
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
    import uvloop

    uvloop.run(_main())

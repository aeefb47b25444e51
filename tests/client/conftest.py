"""The gateway's own bench: real upstreams and a real gateway on loopback."""

from tests.gateway.conftest import bench, pytest_asyncio_loop_factories

__all__ = ["bench", "pytest_asyncio_loop_factories"]

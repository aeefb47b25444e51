"""The demo's scene: who is simulated, what the traffic is like, what the gateway is told. Acts (reads data)."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from importlib.resources import files
from typing import Any

import msgspec

from baseload.gateway.simulation import Order, SimulatedUpstream
from baseload.load.facts import Bucket
from baseload.load.trace import Trace, parse_trace
from baseload.measure.traffic import Manner

# Coprime to 100: stepping by it visits every residue, so that shares are kept in every hundred requests.
STRIDE = 61
HUNDRED = 100
# Real time beyond the trace's own, for starting and for the last answers, in which the clock still runs fast.
GRACE = timedelta(seconds=30)


class Traffic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shares of a hundred requests by bucket, the feature each stands for, and every how-manieth is streamed."""

    shares: dict[Bucket, int]
    features: dict[Bucket, str]
    streamed_every: int


class Scene(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The demo's data file. `configuration` is a settings document whose upstream addresses are still to be filled."""

    simulated: tuple[SimulatedUpstream, ...]
    traffic: Traffic
    day: date
    configuration: dict[str, Any]

    def order(self, speed: float) -> Order:
        """What the simulation is asked to serve."""
        return Order(upstreams=self.simulated, speed=speed)

    def bucket(self, index: int) -> Bucket:
        """The bucket of the index-th request: fixed shares, evenly spread, the same in every run."""
        place = index * STRIDE % HUNDRED
        for bucket, share in self.traffic.shares.items():
            if place < share:
                return bucket
            place -= share
        return Bucket.FLAGSHIP

    def manner(self, index: int, run: str) -> Manner:
        """How the index-th request is asked."""
        bucket = self.bucket(index)
        headers = {
            "x-baseload-bucket": bucket.value,
            "x-baseload-tag-run": run,
            "x-baseload-tag-feature": self.traffic.features[bucket],
        }
        return Manner("auto", index % self.traffic.streamed_every == 0, headers)

    def settings(
        self, ports: dict[str, int], trace: Trace, *, listen: str, data_dir: str, speed: float
    ) -> dict[str, Any]:
        """The settings document with every address filled in, and time that runs as the trace's did."""
        start = moved(trace.started, self.day)
        upstreams = [
            {**upstream, "base_url": f"http://127.0.0.1:{ports[upstream['name']]}/v1"}
            for upstream in self.configuration["upstreams"]
        ]
        until = start + timedelta(seconds=trace.seconds) + GRACE * speed
        replay_time = {"start": start.isoformat(), "until": until.isoformat(), "speed": speed}
        place = {"listen": listen, "data_dir": data_dir, "replay_time": replay_time}
        return {**place, **self.configuration, "upstreams": upstreams}


def moved(started: datetime, day: date) -> datetime:
    """The same time of day on another day.

    >>> moved(datetime(2023, 11, 16, 18, 15), date(2026, 11, 19)).isoformat()
    '2026-11-19T18:15:00'
    """
    return started + (day - started.date())


def read_scene() -> Scene:
    """The scene that ships."""
    from ruamel.yaml import YAML

    text = files("baseload.cli").joinpath("data/demo.yaml").read_text(encoding="utf-8")
    return msgspec.convert(YAML(typ="safe", pure=True).load(text), Scene, strict=False)


def bundled_trace() -> Trace:
    """The Azure 2023 conversation trace, whole (CC-BY 4.0; see load/data/SOURCE.md)."""
    import gzip

    packed = files("baseload.load").joinpath("data/azure_conv_2023.csv.gz").read_bytes()
    return parse_trace(gzip.decompress(packed).decode().splitlines(), origin="azure_conv_2023.csv.gz")

"""The demo under way: children started, the trace replayed, what was found gathered from the ledger. Acts."""

from __future__ import annotations

import os
import socket
import time
import urllib.request
from contextlib import ExitStack
from typing import Self

import msgspec

from baseload.audit.paid import pools_of
from baseload.child import Child
from baseload.cli import demo_report
from baseload.cli.demo_gateway import Orders, Ready
from baseload.cli.demo_report import Opening, Replayed, Report
from baseload.cli.output import progress
from baseload.cli.scene import read_scene
from baseload.clock import SystemClock, now
from baseload.configuration import parse_settings
from baseload.cost.parameters import Assumptions
from baseload.documents import catalog_of, load_deployments, load_parameters, write_yaml
from baseload.errors import AddressTaken, LedgerUnavailable, NotEnoughData, UpstreamUnreachable
from baseload.gateway.simulation import simulate
from baseload.home import demo_home
from baseload.ledger.hot import HotStore, open_store
from baseload.ledger.query import Filter, totals
from baseload.load.trace import Trace
from baseload.measure.senders import Progress, send_from_processes
from baseload.plan.measured import decide_on_calls
from baseload.settings import parse_address

# How long the last calls may take from the spool into the store.
LEDGER_SECONDS = 30.0
BUNDLED = "azure-conv-2023"
POLL_SECONDS = 0.05


class Stage:
    """Upstreams and gateway running; leave the `with` block and they are gone."""

    def __init__(self, trace: Trace, *, name: str, listen: str, speed: float) -> None:
        self._trace = trace
        self._name = name
        self._listen = listen
        self._speed = speed
        self._scene = read_scene()
        self._stack = ExitStack()
        self._answered = 0
        self._late_seconds = 0.0
        self.run = f"demo-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        self._directory = demo_home()
        _check_free(self._listen)
        self._ports: dict[str, int] = stack.enter_context(simulate(self._scene.order(self._speed))).ready
        document = self._scene.settings(
            self._ports, self._trace, listen=self._listen, data_dir=str(self._directory), speed=self._speed
        )
        config = self._directory / "baseload.yaml"
        write_yaml(config, document)
        self._settings = parse_settings(document, {}, origin=str(config))
        orders = Orders(config=str(config), run=self.run)
        gateway = stack.enter_context(Child("baseload.cli.demo_gateway", orders))
        self._served = msgspec.convert(gateway.ready, Ready)

    @property
    def opening(self) -> Opening:
        """What is said before the first request."""
        return Opening(
            upstreams=tuple((each.name, each.model, each.deployment) for each in self._scene.simulated),
            trace=self._replayed(),
            recovered=self._served.recovered,
            console=self._served.url,
        )

    def replay(self) -> None:
        """Send every request at its time; raises UpstreamUnreachable when one of them got no answer."""
        arrivals = self._trace.arrivals
        manners = [self._scene.manner(index, self.run) for index in range(len(arrivals))]
        errors: list[str] = []
        with progress(f"replaying at {self._speed:g}x", len(arrivals)) as advance:

            def on_progress(done: Progress) -> None:
                self._answered += done.answered
                errors.extend(done.errors)
                self._late_seconds = max(self._late_seconds, done.late_seconds)
                advance(done.answered)

            send_from_processes(self._served.url + "/v1", arrivals, manners, speed=self._speed, on_progress=on_progress)
        if errors or self._answered < len(arrivals):
            raise UpstreamUnreachable(
                f"{len(arrivals) - self._answered + len(errors):,} of {len(arrivals):,} requests got no answer"
                f"{'; the first: ' + errors[0] if errors else ''}",
                remedy="Replay slower with --speed, or fewer with --sample.",
            )

    def report(self, *, seconds: float) -> Report:
        """Everything the demo found."""
        store = open_store(self._directory, read_only=True)
        try:
            where = Filter(tags={"run": self.run})
            self._await_ledger(store, where)
            calls = list(store.calls(where))
            catalog, deployments = catalog_of(self._settings), load_deployments()
            pools = pools_of(self._settings.upstreams, deployments)
            upstreams = demo_report.counted(store, where, self._counts(), self._models)
            decision, undecided = None, ""
            try:
                decision = decide_on_calls(
                    calls,
                    catalog,
                    deployments,
                    self._settings,
                    Assumptions(load_parameters()),
                    now(SystemClock()).date(),
                )
            except NotEnoughData as error:
                undecided = error.message
            return Report(
                run=self.run,
                trace=self._replayed(),
                metered=demo_report.metered(store, where, self._own_routes, pools),
                upstreams=upstreams,
                agrees=all(each.agrees for each in upstreams),
                compared=demo_report.compared(calls, catalog, self._settings.compare),
                verdict=decision.verdict if decision is not None else None,
                decision=decision,
                undecided=undecided,
                gateway=f"{self._served.url}/v1",
                console=self._served.url,
                ledger=str(store.name),
                seconds=round(seconds, 1),
            )
        finally:
            store.close()

    def _replayed(self) -> Replayed:
        arrivals = self._trace.arrivals
        return Replayed(
            name=self._name,
            licence="CC-BY 4.0" if self._name == BUNDLED else "",
            requests=len(arrivals),
            input_tokens=sum(arrival.input_tokens for arrival in arrivals),
            output_tokens=sum(arrival.output_tokens for arrival in arrivals),
            seconds=self._trace.seconds,
            speed=self._speed,
            late_seconds=round(self._late_seconds * self._speed, 1),
            broken_rows=tuple(f"line {row.line}: {row.reason}" for row in self._trace.broken),
        )

    def _await_ledger(self, store: HotStore, where: Filter) -> None:
        """Until every answered call is in the store; the spool drains on its own."""
        deadline = time.monotonic() + LEDGER_SECONDS
        while (found := totals(store, where).calls) < self._answered:
            if time.monotonic() > deadline:
                raise LedgerUnavailable(
                    f"{store.name} holds {found:,} of {self._answered:,} answered calls after {LEDGER_SECONDS:g} s",
                    remedy="They are safe in the spool beside it: see /healthz, and free the database.",
                )
            time.sleep(POLL_SECONDS)

    @property
    def _own_routes(self) -> tuple[str, ...]:
        return tuple(route.name for route in self._settings.policy.routes if route.own)

    @property
    def _models(self) -> dict[str, str]:
        return {each.name: each.model for each in self._scene.simulated}

    def _counts(self) -> dict[str, tuple[int, int, int]]:
        return {name: _own_count(port) for name, port in self._ports.items()}


def _check_free(listen: str) -> None:
    """Raise BadInput or AddressTaken before anything is started or written."""
    host, port = parse_address(listen)
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        raise AddressTaken(
            f"cannot listen on {listen}: {error.strerror or error}",
            remedy="Stop what listens there, or choose another with --listen 127.0.0.1:PORT (port 0: any free one).",
        ) from error


def _own_count(port: int) -> tuple[int, int, int]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/count") as answer:
        count = msgspec.json.decode(answer.read(), type=dict[str, int])
    return count["requests"], count["prompt_tokens"], count["completion_tokens"]

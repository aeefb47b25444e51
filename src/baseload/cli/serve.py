"""`baseload serve`: the gateway and the console on one port, until it is told to stop. Acts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from baseload.cli.output import hint, how_many, note, print_json, say

if TYPE_CHECKING:
    from baseload.gateway.run import Serving
    from baseload.settings import Settings

SCHEMA = "baseload.serve/1"
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 (what people write, not what we bind)


def command(
    config: Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")] = Path("baseload.yaml"),
    listen: Annotated[str | None, typer.Option("--listen", help="host:port, instead of the configuration's.")] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, max=64, help="Processes on the port, likewise.")
    ] = None,
    no_console: Annotated[bool, typer.Option("--no-console", help="Serve the API alone.")] = False,
    run: Annotated[str, typer.Option("--run", help="Tag of the run that the console shows first.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document once it serves.")] = False,
) -> None:
    """Run the gateway and the console on one port."""
    import msgspec
    import uvloop

    from baseload.configuration import NO_CONFIGURATION, read_settings
    from baseload.errors import BadConfig
    from baseload.gateway.keys import KeyRing, check_open
    from baseload.gateway.logs import write_logs
    from baseload.home import demo_home

    if not config.exists():
        remedy = f"{NO_CONFIGURATION} The demo leaves one in {demo_home()}."
        raise BadConfig(f"there is no {config}", remedy=remedy)
    settings = read_settings(config)
    given = {name: value for name, value in {"listen": listen, "workers": workers}.items() if value is not None}
    settings = msgspec.structs.replace(settings, **given)
    write_logs(settings.log)
    check_host(settings.listen)
    check_open(settings, KeyRing(settings))
    uvloop.run(_serve(settings, config, console=not no_console, run=run, as_json=as_json))


def check_host(listen: str) -> None:
    """Raise BadConfig where the host to listen on is the name of no machine."""
    import socket

    from baseload.errors import BadConfig
    from baseload.settings import parse_address

    host, port = parse_address(listen)
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise BadConfig(
            f"cannot listen on {listen}: no address is known for {host!r}",
            remedy="Write an address of this machine: 127.0.0.1 for itself alone, 0.0.0.0 for every network.",
        ) from error


def reachable(host: str, port: int) -> tuple[str, str]:
    """The base address for this machine, and for others where it listens on every network: nobody can ask 0.0.0.0.

    >>> reachable("127.0.0.1", 8790)
    ('http://127.0.0.1:8790', '')
    """
    import socket

    if host not in _EVERYWHERE:
        return f"http://{f'[{host}]' if ':' in host else host}:{port}", ""
    return f"http://{_EVERYWHERE[host]}:{port}", f"http://{socket.gethostname()}:{port}"


async def _serve(settings: Settings, config: Path, *, console: bool, run: str, as_json: bool) -> None:
    """Serve until SIGINT or SIGTERM, then drain; a second signal ends at once. SIGHUP reads the configuration again."""
    import asyncio
    import signal

    from baseload.console.process import start
    from baseload.gateway.run import Console
    from baseload.gateway.supervisor import supervising

    def start_console(settings: Settings) -> Console:
        return start(settings.directory, config, run)

    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signal_number, told.set)
    if settings.replay_time is not None:
        note(f"time is replayed from {settings.replay_time.start:%Y-%m-%d %H:%M} on: remove replay_time for today's")
    async with supervising(settings, config, start_console if console else None) as supervisor:
        reloads: set[asyncio.Task[object]] = set()

        def reload() -> None:
            task: asyncio.Task[object] = asyncio.create_task(supervisor.reload())
            reloads.add(task)
            task.add_done_callback(reloads.discard)

        loop.add_signal_handler(signal.SIGHUP, reload)
        _announce(supervisor.serving, as_json=as_json)
        await told.wait()
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(signal_number)
        note("stopping: requests under way may end; once more to stop at once")


def _announce(served: Serving, *, as_json: bool) -> None:
    """One line per listener, or one JSON document."""
    here, there = reachable(served.host, served.port)
    console = here if served.console else None
    if as_json:
        print_json(
            {
                "schema": SCHEMA,
                "gateway": f"{here}/v1",
                "console": console,
                "policy": served.policy,
                "recovered_calls": served.recovered,
                "unpriced_offers": served.unpriced,
            }
        )
        return
    say(f"gateway  {here}/v1  (policy {served.policy})")
    if console is not None:
        say(f"console  {console}")
    if there:
        say(f"others   {there}/v1  (it listens on {served.host}: every network of this machine)")
    if served.recovered:
        say(f"recovered {how_many(served.recovered, 'call')} of a process that had died")
    hint(f"export OPENAI_BASE_URL={here}/v1 and use any OpenAI client; Ctrl-C stops")

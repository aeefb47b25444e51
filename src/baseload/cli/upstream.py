"""`baseload upstream`: an upstream to try a configuration on, without a key or a bill. Acts (listens)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from baseload.cli.output import hint, note, print_json, say

if TYPE_CHECKING:
    from baseload.gateway.simulation import SimulatedUpstream

SCHEMA = "baseload.upstream/1"


def command(
    model: Annotated[str, typer.Argument(help="The one model that it serves.")] = "gpt-5-mini",
    listen: Annotated[str, typer.Option("--listen", help="host:port; port 0 is any free one.")] = "127.0.0.1:8791",
    first_token_seconds: Annotated[float, typer.Option(help="Seconds until an answer begins.", min=0)] = 0.4,
    tokens_per_second: Annotated[float, typer.Option(help="How fast it writes then.", min=0.001)] = 80,
    deployment: Annotated[
        str, typer.Option(help="Serve as this own deployment does, on its measured curve, in place of that pace.")
    ] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help=f"One JSON document once it serves, schema {SCHEMA}.")
    ] = False,
) -> None:
    """Serve one simulated model until Ctrl-C: OpenAI's and Anthropic's endpoints, no key, nothing leaves.

    A word is a token, and an answer is as long as its cap. It fails as it is told: docs/endpoints.md.
    """
    from decimal import Decimal

    import uvloop

    from baseload.cli.serve import check_host
    from baseload.gateway.simulation import SimulatedUpstream

    check_host(listen)
    upstream = SimulatedUpstream(
        name=model,
        model=model,
        deployment=deployment,
        first_token_seconds=Decimal(str(first_token_seconds)),
        tokens_per_second=Decimal(str(tokens_per_second)),
    )
    uvloop.run(_serve(upstream, listen, as_json=as_json))


async def _serve(upstream: SimulatedUpstream, listen: str, *, as_json: bool) -> None:
    """Serve until SIGINT or SIGTERM."""
    import asyncio
    import signal

    from baseload.documents import load_deployments
    from baseload.gateway.http import serve
    from baseload.gateway.port import taken
    from baseload.gateway.simulation import simulated
    from baseload.settings import parse_address

    host, port = parse_address(listen)
    serving = simulated(upstream, 1.0, load_deployments())
    try:
        server = await serve(serving.handle, host, port)
    except OSError as error:
        raise taken(host, port, error) from error
    told = asyncio.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signal_number, told.set)
    url = f"http://{f'[{host}]' if ':' in host else host}:{server.address[1]}/v1"
    if as_json:
        print_json({"schema": SCHEMA, "url": url, "model": upstream.model})
    else:
        say(f"simulated  {url}  serves {upstream.model}")
        hint(f'upstreams: [{{name: simulated, base_url: "{url}"}}] in a configuration; Ctrl-C stops')
    await told.wait()
    await server.drain(0.0)
    count = serving.count
    note(f"served {count.requests:,} requests, {count.prompt_tokens:,} tokens in, {count.completion_tokens:,} out")

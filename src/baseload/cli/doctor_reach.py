"""Whether every upstream can be reached and takes its key: name, connection, TLS, HTTP. Acts (connects)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urlsplit

import msgspec

from baseload.cli.doctor_checks import Check
from baseload.errors import BaseloadError
from baseload.gateway.credentials import Credentials
from baseload.gateway.upstream import AttemptFailed, Client
from baseload.settings import Settings
from baseload.upstreams import Key, Timeouts, Upstream
from baseload.wire.passage import Dialect

MODELS = "/models"
# Further apart than this, and prices by the hour, expiry and logs of both sides no longer fit together.
MOST_SKEW_SECONDS = 60
# Anthropic wants its version said; a provider that asks for another one has it among its headers.
_VERSION = (b"anthropic-version", b"2023-06-01")
_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.FORBIDDEN)
_NO_LIST = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED)


def reach(settings: Settings, timeout: float) -> list[Check]:
    """A check for each server and key of each upstream, all asked at once."""
    return asyncio.run(_reach(settings, timeout))


async def _reach(settings: Settings, seconds: float) -> list[Check]:
    asked = [_ask(*each, seconds) for upstream in settings.upstreams for each in _each(upstream)]
    return [check for found in await asyncio.gather(*asked) for check in found]


def _each(upstream: Upstream) -> Iterator[tuple[Upstream, str, str]]:
    """The upstream with one key and one server at a time, and what to call that."""
    keys: tuple[Key | None, ...] = upstream.keys or (None,)
    for number, key in enumerate(keys, 1):
        one = msgspec.structs.replace(upstream, api_key="", api_keys=(key,) if key is not None else ())
        for url in upstream.urls:
            which = f" with key {number} of {len(keys)}" if len(keys) > 1 else ""
            yield one, url, f"{upstream.name}: {urlsplit(url).netloc.rpartition('@')[2]}{which}"


async def _ask(upstream: Upstream, url: str, title: str, seconds: float) -> list[Check]:
    """Look the name up, then ask for the list of models."""
    address = urlsplit(url)
    try:
        await asyncio.wait_for(asyncio.to_thread(socket.getaddrinfo, address.hostname, None), seconds)
    except (OSError, UnicodeError, TimeoutError) as error:
        remedy = "Check base_url, and that this machine can look names up."
        return [Check("upstream", "fail", f"{title}: no address is known for it ({error or 'too slow'})", remedy)]
    client = Client(url, Timeouts(connect=seconds, first_byte=seconds, idle=seconds), ca_file=upstream.ca_file)
    try:
        with await client.send("GET", MODELS, _headers(upstream)) as answer:
            return [_judged(answer.status, title, upstream), *_skew(answer.header(b"date").decode("latin-1"), title)]
    except AttemptFailed as failure:
        tls = "CERTIFICATE" in failure.message or "SSL" in failure.message
        remedy = (
            "Check that the certificate is for that name; name its authority in ca_file when it is your own."
            if tls
            else "Check base_url, that the server runs, and that no firewall stands between."
        )
        return [Check("upstream", "fail", f"{upstream.name}: {failure.message}", remedy)]
    except BaseloadError as error:
        return [Check("upstream", "fail", f"{title}: {error.message}", error.remedy)]
    finally:
        client.close()


def _headers(upstream: Upstream) -> list[tuple[bytes, bytes]]:
    own = [(name.lower().encode(), value.encode()) for name, value in upstream.headers.items()]
    key = Credentials(upstream).pick(0).header
    found = [*own, *([key] if key is not None else [])]
    if upstream.dialect is Dialect.ANTHROPIC and not any(name == _VERSION[0] for name, _ in found):
        found.append(_VERSION)
    return found


def _judged(status: int, title: str, upstream: Upstream) -> Check:
    """What an answer says of the server and the key."""
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return Check("upstream", "ok", f"{title} answers" + (" and takes the key" if upstream.keys else ""))
    if status in _REFUSED:
        what = "refuses the key" if upstream.keys else "wants a key"
        remedy = "Check the key (api_key, api_key_file or the preset's variable) and the account behind it."
        return Check("upstream", "fail", f"{title} {what} (HTTP {status})", remedy)
    if status in _NO_LIST:
        found = f"{title} answers, but has no list of models (HTTP {status}): the key was not checked"
        return Check("upstream", "ok", found)
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Check("upstream", "warn", f"{title} answers HTTP {status}", "Look at its status page, and ask again.")
    return Check("upstream", "warn", f"{title} answers HTTP {status}", "Check where base_url ends.")


def _skew(said: str, title: str) -> list[Check]:
    """Whether the server's clock and ours agree."""
    try:
        theirs = parsedate_to_datetime(said)
    except ValueError:
        return []
    apart = abs((datetime.now(UTC) - theirs.astimezone(UTC)).total_seconds())
    if apart <= MOST_SKEW_SECONDS:
        return []
    remedy = "Set this machine's clock: `timedatectl set-ntp true` on most machines."
    return [Check("clock", "warn", f"the clock of {title} is {apart:,.0f} s apart from ours", remedy)]

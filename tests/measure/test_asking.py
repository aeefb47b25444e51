"""One request against a server that does as it is told: times, usage, and what went wrong by its kind."""

import asyncio
import ssl
import subprocess

import msgspec
import pytest

from baseload.errors import UpstreamUnreachable
from baseload.gateway.http import serve
from baseload.measure.asking import Asker, Dialect, Words
from baseload.measure.endpoint import Endpoint
from baseload.measure.running import Bounds
from baseload.measure.sweep import warm_up

SSE = [(b"content-type", b"text/event-stream")]
JSON = [(b"content-type", b"application/json")]
DONE = b"data: [DONE]\n\n"


def event(text=None, usage=None):
    choices = [] if text is None else [{"index": 0, "delta": {"content": text}}]
    return b"data: " + msgspec.json.encode({"choices": choices, "usage": usage}) + b"\n\n"


def usage(read, written):
    return event(usage={"prompt_tokens": read, "completion_tokens": written})


@pytest.fixture
async def scripted():
    """A server of one script at a time, and an asker for it."""
    asked = []

    async def handle(request, exchange):
        asked.append(request)
        await scripted.script(request, exchange)

    server = await serve(handle, "127.0.0.1", 0)
    endpoint = Endpoint(f"http://127.0.0.1:{server.address[1]}")
    scripted = Scripted(Asker(endpoint, "m", Words(1), Dialect(), timeout=0.5), asked)
    yield scripted
    endpoint.close()
    server.close()


class Scripted:
    def __init__(self, asker, asked) -> None:
        self.asker, self.asked, self.script = asker, asked, None

    def answers(self, pieces, status=200, headers=SSE, pause=0.0, cut=False):
        async def script(_request, exchange):
            await exchange.start(status, headers)
            for piece in pieces:
                await exchange.send(piece)
                await asyncio.sleep(pause)
            if cut:
                exchange.abort()
            else:
                await exchange.end()

        self.script = script


async def test_a_stream_is_timed_and_counted(scripted):
    scripted.answers([event("a"), event("b"), event(""), event("c"), usage(30, 3), DONE], pause=0.02)
    sample = await scripted.asker.ask(20, 3)
    assert (sample.error, sample.input_tokens, sample.output_tokens) == ("", 30, 3)
    assert len(sample.events) == 3
    assert sample.started < sample.first < sample.events[-1] < sample.ended


async def test_events_that_come_in_bytes_of_chance_are_the_same(scripted):
    whole = (event("é") + event("b") + usage(1, 2) + DONE).replace(b"\n", b"\r\n")
    scripted.answers([whole[at : at + 1] for at in range(len(whole))])
    sample = await scripted.asker.ask(20, 3)
    assert (sample.error, len(sample.events), sample.output_tokens) == ("", 2, 2)


async def test_reasoning_is_the_first_token_too(scripted):
    thought = b'data: {"choices":[{"delta":{"reasoning_content":"hm"}}]}\n\n'
    scripted.answers([b": a comment\n\n", thought, event("b"), usage(1, 2), DONE])
    assert len((await scripted.asker.ask(20, 3)).events) == 2


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ({"pieces": [b'{"error":{"message":"slow down"}}'], "status": 429, "headers": JSON}, "429"),
        ({"pieces": [b"<html>no</html>"], "status": 503, "headers": []}, "503"),
        ({"pieces": [event("a"), DONE]}, "no usage"),
        ({"pieces": [usage(1, 0), DONE]}, "nothing written"),
        ({"pieces": [event("a"), b"data: {nonsense\n\n", usage(1, 1), DONE]}, "unreadable"),
        ({"pieces": [event("a"), b'data: {"error":{"message":"out of memory"}}\n\n', DONE]}, "error in the stream"),
        ({"pieces": [event("a")], "cut": True}, "broken stream"),
        ({"pieces": [event("a"), event("b")], "pause": 1.0}, "timeout"),
        ({"pieces": [b'{"choices":[{"message":{"content":"x"}}]}'], "headers": JSON}, "no usage"),
    ],
)
async def test_what_goes_wrong_has_a_kind(scripted, script, kind):
    scripted.answers(**script)
    sample = await scripted.asker.ask(20, 3)
    assert sample.error == kind


async def test_a_refusal_is_quoted(scripted):
    scripted.answers([b'{"error":{"message":"slow down"}}'], status=429, headers=JSON)
    assert (await scripted.asker.ask(20, 3)).said == "slow down"


async def test_no_server_is_an_error_of_its_own():
    asker = Asker(Endpoint("http://127.0.0.1:1/v1"), "m", Words(1), Dialect(), timeout=1)
    assert (await asker.ask(20, 3)).error == "connect"


async def test_a_connection_is_kept_and_one_gone_cold_is_replaced(scripted):
    scripted.answers([event("a"), usage(1, 1), DONE])
    endpoint = scripted.asker.endpoint
    first = await scripted.asker.ask(20, 3)
    again = await scripted.asker.ask(20, 3)
    assert first.connect_seconds > 0
    assert again.connect_seconds == 0
    for connection in endpoint._idle:
        connection._transport.abort()  # as a server does that closes what is idle
    assert (await scripted.asker.ask(20, 3)).error == ""
    assert len(scripted.asked) == 3


async def test_warming_up_learns_the_tokens_of_a_word_and_the_cap_that_is_taken(scripted):
    """Three tokens a word and eleven beside, and only the newer name of the cap."""

    async def script(request, exchange):
        body = msgspec.json.decode(request.body)
        if "max_tokens" in body:
            await exchange.respond(400, JSON, b'{"error":{"message":"use max_completion_tokens"}}')
            return
        words = len(body["messages"][0]["content"].split())
        await exchange.start(200, SSE)
        await exchange.send(event("a") + usage(3 * words + 11, body["max_completion_tokens"]) + DONE)
        await exchange.end()

    scripted.script = script
    await warm_up(scripted.asker, Bounds())
    dialect = scripted.asker.dialect
    assert (dialect.cap, dialect.tokens_per_word, dialect.tokens_beside) == ("max_completion_tokens", 3, 11)
    assert (await scripted.asker.ask(311, 5)).input_tokens == 311


def test_prompts_do_not_open_alike_unless_asked():
    words = Words(1)
    openings = {words.text(50)[:30] for _ in range(100)}
    assert len(openings) == 100
    shared = Words(1, shared=10)
    assert len({" ".join(shared.text(50).split()[:10]) for _ in range(20)}) == 1
    assert all(len(shared.text(count).split()) == count for count in (5, 11, 50))


@pytest.fixture
def certified(tmp_path):
    """A certificate for localhost that nobody has signed, and its key."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    subprocess.run([*new, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


@pytest.mark.parametrize("trusted", [True, False])
async def test_tls_is_verified(certified, monkeypatch, trusted):
    certificate, key = certified
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    async def speak(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0, ssl=context)
    endpoint = Endpoint(f"https://localhost:{server.sockets[0].getsockname()[1]}/v1")
    if trusted:
        assert (await endpoint.get("/version")).body == b"hi"
    else:
        with pytest.raises(UpstreamUnreachable, match=r"(?i)certificate verify failed"):
            await endpoint.get("/version")
    endpoint.close()
    server.close()

"""Who serves: what engines say of themselves in their own places, and what hostile ones say."""

import msgspec
import pytest

from baseload.errors import BadInput, UnknownModel, UpstreamUnreachable
from baseload.gateway.http import serve
from baseload.measure.endpoint import Endpoint
from baseload.measure.engine import ask_engine

JSON = [(b"content-type", b"application/json")]


def cards(*models: tuple):
    return {"object": "list", "data": [{"id": name, "object": "model", **more} for name, more in models]}


async def asked(places, model=None):
    """What an endpoint with these answers by path is found to be."""

    async def handle(request, exchange):
        held = places.get(request.path)
        status, body = (404, {"error": "none"}) if held is None else held if isinstance(held, tuple) else (200, held)
        await exchange.respond(status, JSON, body if isinstance(body, bytes) else msgspec.json.encode(body))

    server = await serve(handle, "127.0.0.1", 0)
    endpoint = Endpoint(f"http://127.0.0.1:{server.address[1]}/v1")
    try:
        return await ask_engine(endpoint, model)
    finally:
        endpoint.close()
        server.close()


VLLM = {"/v1/models": cards(("m", {"owned_by": "vllm", "max_model_len": 4096})), "/version": {"version": "0.12.0"}}
SGLANG = {"/v1/models": cards(("m", {"owned_by": "sglang"})), "/get_server_info": {"version": "0.5.6", "tp_size": 2}}
LLAMA = {
    "/v1/models": cards(("m", {"owned_by": "llamacpp", "meta": {"n_ctx": 2048}})),
    "/props": {"build_info": "b7000-abc", "total_slots": 4},
}
GATEWAY = {"/v1/models": cards(("m", {"owned_by": "acme", "routes": ["a"]}))}


@pytest.mark.parametrize(
    ("places", "named", "context", "extra", "resells"),
    [
        (VLLM, "vLLM 0.12.0", 4096, {"ignore_eos": True}, False),
        (SGLANG, "SGLang 0.5.6", None, {"ignore_eos": True}, False),
        (LLAMA, "llama.cpp b7000-abc", 2048, {"ignore_eos": True, "cache_prompt": False}, False),
        ({"/v1/models": VLLM["/v1/models"]}, "vLLM", 4096, {"ignore_eos": True}, False),
        (GATEWAY, "", None, {}, True),
    ],
)
async def test_an_engine_is_known_by_what_it_says(places, named, context, extra, resells):
    served, model = await asked(places)
    assert (model, served.named, served.context_tokens, served.resells) == ("m", named, context, resells)
    assert served.dialect().extra == extra
    assert served.dialect(ignore_end=True).extra.get("ignore_eos") is True
    assert "ignore_eos" not in served.dialect(ignore_end=False).extra


async def test_a_model_that_is_named_need_not_be_listed_where_nothing_is():
    assert (await asked({}, "m"))[1] == "m"


@pytest.mark.parametrize(
    ("places", "model", "error", "says"),
    [
        ({"/v1/models": cards(("a", {}), ("b", {}))}, None, UnknownModel, "2 models are served there: a, b"),
        ({"/v1/models": cards(("a", {}))}, "m", UnknownModel, "does not serve 'm'"),
        ({"/v1/models": b"[[[["}, None, UnknownModel, "lists no models"),
        ({"/v1/models": {"data": [{"id": 7}]}}, None, UnknownModel, "lists no models"),
        ({"/v1/models": (401, {"error": "who?"})}, None, BadInput, "wants a key"),
    ],
)
async def test_what_cannot_be_measured_says_why(places, model, error, says):
    with pytest.raises(error, match=says) as caught:
        await asked(places, model)
    assert caught.value.remedy


@pytest.mark.parametrize("version", [{"version": ["no"]}, b"\xff\xfe", b"{}", {"version": "\x1b[2J1.0"}])
async def test_a_version_that_is_none_is_left_out(version):
    served, _ = await asked({**VLLM, "/version": version})
    assert served.named.isprintable()
    assert served.engine == "vLLM"


async def test_a_server_that_hangs_up_is_unreachable():
    async def handle(_request, exchange):
        exchange.abort()

    server = await serve(handle, "127.0.0.1", 0)
    endpoint = Endpoint(f"http://127.0.0.1:{server.address[1]}/v1")
    with pytest.raises(UpstreamUnreachable):
        await ask_engine(endpoint, None)
    server.close()

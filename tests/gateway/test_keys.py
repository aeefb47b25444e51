"""Who is let in, as whom, and what they may ask for: real clients before a real gateway."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2 as httpx
import msgspec
import openai
import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from tests.gateway.conftest import Bench, Running, question, route

from baseload.clock import to_ns
from baseload.errors import BadConfig
from baseload.gateway import keys as ring_module
from baseload.gateway.keyfile import KeyFile, mint
from baseload.gateway.keys import KeyRing, Unknown, check_open
from baseload.policy.keys import ClientKey
from baseload.policy.policy import Policy
from baseload.settings import Settings

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)


def make(directory: Path, **fields: object) -> tuple[ClientKey, str]:
    """A key in the file of a directory, and its token."""
    blank = msgspec.to_builtins(mint(at=AT).key)
    template = msgspec.convert(blank | {"name": "web", **fields}, ClientKey)
    made = KeyFile(directory).create(template, at=AT)
    return made.key, made.token


def settings(directory: Path, **more: object) -> Settings:
    return Settings(upstreams=(), policy=Policy(routes=()), data_dir=str(directory), **more)


class At:
    """A clock that stands still until it is moved."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def time_ns(self) -> int:
        return to_ns(self.moment)

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


@pytest.fixture(autouse=True)
def looking_always(monkeypatch):
    """A change of the file is seen at the next request."""
    monkeypatch.setattr(ring_module, "LOOK_SECONDS", 0.0)


@pytest.fixture
async def guarded(bench: Bench, tmp_path: Path) -> tuple[Running, Path]:
    """A gateway whose keys stand in a folder, with an upstream in the EU and a cheaper one in the US."""
    urls = [(await bench.upstream()).url for _ in range(2)]
    routes = (route(0, residency="us"), route(1, residency="eu", model="other"))
    make(tmp_path, name="somebody")
    return await bench.gateway(*urls, routes=routes, data_dir=str(tmp_path)), tmp_path


def client(gateway: Running, token: str) -> AsyncOpenAI:
    made = AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=token, max_retries=0)
    gateway.bench.stack.push_async_callback(made.close)
    return made


async def ask(gateway: Running, token: str, **more: object):
    body = {"model": "auto", "messages": question()["messages"], **more}
    return await client(gateway, token).chat.completions.with_raw_response.create(**body)


class TestWhoIsLetIn:
    async def test_on_this_machine_without_any_key_everybody_is(self, bench: Bench) -> None:
        up = await bench.upstream()
        gateway = await bench.gateway(up.url)
        for token in ("client-key", "bl-00000000-unknown"):
            await ask(gateway, token)
        assert [call.facts.tags for call in bench.spool.calls] == [{}, {}]

    @pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0"])
    async def test_elsewhere_nobody_is_unless_somebody_said_so(self, tmp_path: Path, listen: str) -> None:
        ring = KeyRing(settings(tmp_path, listen=listen))
        with pytest.raises(BadConfig, match="no key is defined") as caught:
            check_open(settings(tmp_path, listen=listen), ring)
        assert "open: true" in caught.value.remedy
        check_open(settings(tmp_path, listen=listen, open=True), ring)
        key, _ = make(tmp_path)
        check_open(settings(tmp_path / "other", listen=listen, keys=(key,)), KeyRing(settings(tmp_path, listen=listen)))

    async def test_a_gateway_that_would_be_open_does_not_listen(self, bench: Bench) -> None:
        with pytest.raises(BadConfig, match="no key is defined"):
            await bench.gateway("http://127.0.0.1:1/v1", listen="0.0.0.0:0")

    async def test_a_key_that_is_known(self, guarded: tuple[Running, Path]) -> None:
        gateway, folder = guarded
        _, token = make(folder, team="shop", project="p1", customer="c1", tags={"feature": "search"})
        await ask(gateway, token, metadata={"team": "mine", "key": "mine", "feature": "mine", "run": "7"})
        (call,) = gateway.bench.spool.calls
        assert call.facts.tags == {
            "key": "web",
            "team": "shop",
            "project": "p1",
            "customer": "c1",
            "feature": "search",
            "run": "7",
        }

    @pytest.mark.parametrize("header", ["authorization", "x-api-key", "both"])
    async def test_both_headers_are_read(self, guarded: tuple[Running, Path], header: str) -> None:
        gateway, folder = guarded
        _, token = make(folder)
        headers = {"authorization": f"Bearer {token}"} if header == "authorization" else {"x-api-key": token}
        headers |= {"authorization": "Bearer none-needed"} if header == "both" else {}
        async with httpx.AsyncClient() as http:
            answer = await http.post(f"{gateway.url}/v1/chat/completions", json=question(), headers=headers)
            assert answer.status_code == 200
            assert (await http.get(f"{gateway.url}/v1/models", headers=headers)).status_code == 200

    @pytest.mark.parametrize("token", ["bl-00000000-" + "0" * 64, "sk-other", "bl-", "bl-é"])
    async def test_a_key_that_is_not(self, guarded: tuple[Running, Path], token: str) -> None:
        gateway, folder = guarded
        known, _ = make(folder)
        for sent in (token, f"bl-{known.prefix}-{'0' * 64}"):
            async with httpx.AsyncClient() as http:
                headers = {"authorization": b"Bearer " + sent.encode()}
                answer = await http.post(f"{gateway.url}/v1/chat/completions", json=question(), headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "invalid_api_key"
            assert sent not in answer.text
        assert gateway.bench.spool.calls == []

    async def test_no_key_at_all(self, guarded: tuple[Running, Path]) -> None:
        gateway, _ = guarded
        async with httpx.AsyncClient() as http:
            for method, path in (("POST", "/v1/chat/completions"), ("GET", "/v1/models"), ("GET", "/v1/nothing")):
                answer = await http.request(method, gateway.url + path)
                assert answer.status_code == 401
                assert "No API key was sent" in answer.json()["error"]["message"]
                assert answer.headers["www-authenticate"] == "Bearer"
            assert (await http.get(f"{gateway.url}/healthz")).status_code == 200

    async def test_the_official_clients_raise_what_they_should(self, guarded: tuple[Running, Path]) -> None:
        gateway, folder = guarded
        with pytest.raises(openai.AuthenticationError):
            await ask(gateway, "bl-00000000-" + "0" * 64)
        _, token = make(folder, models=["gpt-9"])
        with pytest.raises(openai.PermissionDeniedError, match=r"It may for: gpt-9\."):
            await ask(gateway, token)

    async def test_an_anthropic_client_is_refused_in_its_own_shape(self, guarded: tuple[Running, Path]) -> None:
        gateway, _ = guarded
        anthropic = AsyncAnthropic(base_url=gateway.url, api_key="bl-00000000-" + "0" * 64, max_retries=0)
        gateway.bench.stack.push_async_callback(anthropic.close)
        with pytest.raises(Exception, match="The API key is not known here") as caught:
            await anthropic.messages.create(model="auto", max_tokens=5, messages=[{"role": "user", "content": "hi"}])
        assert caught.value.body["error"]["type"] == "authentication_error"

    async def test_open_lets_in_whoever_sends_none_and_checks_what_is_sent(self, bench: Bench, tmp_path: Path) -> None:
        up = await bench.upstream()
        key, token = make(tmp_path)
        gateway = await bench.gateway(up.url, data_dir=str(tmp_path), open=True)
        await ask(gateway, "none-needed")
        await ask(gateway, token)
        with pytest.raises(openai.AuthenticationError):
            await ask(gateway, f"bl-{key.prefix}-wrong")
        assert [call.facts.tags.get("key") for call in bench.spool.calls] == [None, "web"]


class TestWhatTheyMayAskFor:
    async def test_models_are_those_of_the_key_in_the_list_too(self, guarded: tuple[Running, Path]) -> None:
        gateway, folder = guarded
        _, token = make(folder, models=["oth*"])
        assert [model.id for model in (await client(gateway, token).models.list()).data] == ["other"]
        assert (await ask(gateway, token, model="other")).status_code == 200
        for model in ("auto", "real", "no-such-model"):
            with pytest.raises(openai.PermissionDeniedError) as caught:
                await ask(gateway, token, model=model)
            assert caught.value.code == "key_model"

    @pytest.mark.parametrize(
        "more",
        [
            {"models": ["other", "gpt-5-pro"]},
            {"models": "gpt-5-pro"},
            {"fallbacks": [{"other": ["gpt-5-pro"]}]},
            {"fallbacks": [{"model": "gpt-5-pro"}]},
            {"context_window_fallbacks": json.loads("[" * 400 + '"gpt-5-pro"' + "]" * 400)},
        ],
    )
    async def test_models_that_an_upstream_would_turn_to_are_asked_for_too(
        self, guarded: tuple[Running, Path], more: dict[str, object]
    ) -> None:
        """Some upstreams are gateways themselves: what a body names for them is no way around a key's own models."""
        gateway, folder = guarded
        _, token = make(folder, models=["oth*"])
        with pytest.raises(openai.PermissionDeniedError, match="may not ask for `gpt-5-pro`") as caught:
            await ask(gateway, token, model="other", extra_body=more)
        assert caught.value.code == "key_model"
        assert gateway.bench.spool.calls == []
        assert (await ask(gateway, token, model="other", extra_body={"models": ["other"]})).status_code == 200
        _, free = make(folder, name="free")
        assert (await ask(gateway, free, model="other", extra_body=more)).status_code == 200

    async def test_scopes(self, guarded: tuple[Running, Path]) -> None:
        gateway, folder = guarded
        _, token = make(folder, scopes=["embeddings"])
        with pytest.raises(openai.PermissionDeniedError, match="It may for: embeddings") as caught:
            await ask(gateway, token)
        assert caught.value.code == "key_scope"

    async def test_the_regions_hold_whatever_is_cheaper(self, guarded: tuple[Running, Path]) -> None:
        gateway, folder = guarded
        _, token = make(folder, residency=["eu"])
        answer = await ask(gateway, token)
        assert answer.headers["x-baseload-upstream"] == "u1"
        assert [choice.route for choice in gateway.bench.spool.calls[0].decision.routes] == ["r1"]
        with pytest.raises(openai.PermissionDeniedError, match="It may to: eu"):
            await ask(gateway, token, extra_headers={"x-baseload-residency": "us"})
        with pytest.raises(openai.BadRequestError, match="its key keeps data in eu"):
            await ask(gateway, token, model="real")

    async def test_a_fallback_leaves_no_region_either(self, bench: Bench, tmp_path: Path) -> None:
        from tests.gateway.conftest import status

        broken, whole = await bench.upstream(status(500)), await bench.upstream()
        _, token = make(tmp_path, residency=["eu"])
        routes = (route(0, residency="eu"), route(1, residency="us"))
        gateway = await bench.gateway(broken.url, whole.url, routes=routes, data_dir=str(tmp_path))
        with pytest.raises(openai.InternalServerError):
            await ask(gateway, token)
        assert (len(broken.seen), len(whole.seen)) == (1, 0)


class TestChanges:
    async def test_a_revoked_key_is_refused_by_a_running_gateway(self, guarded: tuple[Running, Path]) -> None:
        gateway, folder = guarded
        _, token = make(folder)
        await ask(gateway, token)
        KeyFile(folder).revoke("web")
        with pytest.raises(openai.AuthenticationError, match="was revoked"):
            await ask(gateway, token)

    def test_a_rotated_key_is_good_in_both_forms_for_a_while(self, tmp_path: Path) -> None:
        _, first = make(tmp_path)
        second = KeyFile(tmp_path).rotate("web", at=AT, grace=timedelta(hours=1)).token
        clock = At(AT + timedelta(minutes=59))
        ring = KeyRing(settings(tmp_path), clock)
        assert [ring.find(token.encode()).name for token in (first, second)] == ["web", "web"]
        clock.moment = AT + timedelta(hours=1)
        assert ring.find(second.encode()).name == "web"
        assert "was changed" in ring.find(first.encode()).message

    def test_a_key_expires_at_its_moment(self, tmp_path: Path) -> None:
        _, token = make(tmp_path, expires=(AT + timedelta(days=1)).isoformat())
        clock = At(AT + timedelta(days=1, seconds=-1))
        ring = KeyRing(settings(tmp_path), clock)
        assert isinstance(ring.find(token.encode()), ClientKey)
        clock.moment += timedelta(seconds=1)
        assert "has expired" in ring.find(token.encode()).message

    def test_what_is_wrong_with_a_key_is_told_only_to_who_has_it(self, tmp_path: Path) -> None:
        key, _ = make(tmp_path, disabled=True)
        ring = KeyRing(settings(tmp_path))
        stranger = ring.find(f"bl-{key.prefix}-guess".encode())
        assert stranger == ring.find(b"bl-ffffffff-guess")

    @pytest.mark.parametrize("change", ["broken", "gone"])
    async def test_a_file_that_breaks_or_goes_opens_nothing(
        self, guarded: tuple[Running, Path], change: str, caplog
    ) -> None:
        gateway, folder = guarded
        _, token = make(folder)
        await ask(gateway, token)
        file = KeyFile(folder).path
        file.write_text("{") if change == "broken" else file.unlink()
        with pytest.raises(openai.AuthenticationError):
            await ask(gateway, "bl-00000000-" + "0" * 64)
        async with httpx.AsyncClient() as http:
            assert (await http.get(f"{gateway.url}/v1/models")).status_code == 401
        if change == "broken":  # what was known stays in force, and the reason is said once
            await ask(gateway, token)
            assert caplog.text.count("stay in force") == 1

    def test_a_broken_file_does_not_start(self, tmp_path: Path) -> None:
        (tmp_path / "keys.json").write_text("{")
        with pytest.raises(BadConfig, match=r"keys\.json"):
            KeyRing(settings(tmp_path))

    def test_keys_of_the_configuration_stand_beside_those_of_the_file(self, tmp_path: Path) -> None:
        here, token_here = make(tmp_path, name="here")
        there, token_there = make(tmp_path / "elsewhere", name="there")
        ring = KeyRing(settings(tmp_path, keys=(there,)))
        assert ring.keys == (there, here)
        assert [ring.find(token.encode()) for token in (token_here, token_there)] == [here, there]
        ring.reload(settings(tmp_path))
        assert isinstance(ring.find(token_there.encode()), Unknown)
        with pytest.raises(BadConfig, match="two keys are called 'here'"):
            ring.reload(settings(tmp_path, keys=(here,)))
        assert ring.find(token_here.encode()) == here


def test_the_file_is_looked_at_once_a_second(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(ring_module, "LOOK_SECONDS", 3600.0)
    ring = KeyRing(settings(tmp_path))
    from baseload.gateway.head import Head, Request

    ring.caller(Request(Head("GET", "/v1/models", [])))
    make(tmp_path)
    assert ring.caller(Request(Head("GET", "/v1/models", []))) is None
    ring.reload()
    assert isinstance(ring.caller(Request(Head("GET", "/v1/models", []))), Unknown)
    assert json.loads(KeyFile(tmp_path).path.read_text())["schema"] == "baseload.keys/1"

"""A policy is one document with one version, wherever it is read."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.errors import BadConfig
from baseload.load.facts import Bucket
from baseload.policy.policy import Policy, Route, version


def route(name: str, **changes: object) -> Route:
    base = {"upstream": "acme", "model": "large", "offer": "acme/large", "success": {Bucket.JUDGMENT: 0.9}}
    return msgspec.convert({"name": name, **base, **changes}, Route)


def test_two_routes_of_one_name_are_refused():
    with pytest.raises(BadConfig, match="a, b stands twice"):
        Policy(routes=(route("b"), route("a"), route("a"), route("b"), route("c")))


def test_a_client_may_ask_for_every_alias_and_every_model_once():
    routes = (route("one"), route("two"), route("three", model="small"))
    policy = Policy(routes=routes, aliases={"auto": Bucket.JUDGMENT, "auto:flagship": Bucket.FLAGSHIP})
    assert policy.models == ("auto", "auto:flagship", "large", "small")


def test_without_aliases_the_four_virtual_models_stand_for_their_buckets():
    policy = Policy(routes=(route("one"),))
    assert policy.models == ("auto", "auto:economy", "auto:standard", "auto:flagship", "large")
    buckets = [Bucket.JUDGMENT, Bucket.BANDWIDTH, Bucket.JUDGMENT, Bucket.FLAGSHIP]
    assert list(policy.aliases.values()) == buckets
    assert Policy(routes=(route("one"),), aliases={"ours": Bucket.FLAGSHIP}).models == ("ours", "large")
    assert Policy(routes=(route("one"),), aliases={}).models == ("large",)


def test_a_route_may_be_asked_for_by_names_of_ones_own():
    one, two = route("one", names=["chat", "large"]), route("two", model="other", names=["chat"])
    assert Policy(routes=(one, two), aliases={}).models == ("large", "chat", "other")
    assert [one.is_named(name) for name in ("large", "chat", "other", "one")] == [True, True, False, False]


def test_the_version_names_the_policy_and_its_content():
    policy = Policy(routes=(route("one"),), name="nightly")
    assert re.fullmatch(r"nightly@[0-9a-f]{12}", version(policy))


@given(st.permutations(sorted(Bucket)), st.permutations(["tools", "vision", "json_schema", "audio"]))
def test_the_version_does_not_depend_on_the_order_of_what_has_none(buckets, capabilities):
    def policy(buckets: list[Bucket], capabilities: list[str]) -> Policy:
        one = route("one", success=dict.fromkeys(buckets, 0.5), capabilities=capabilities)
        return Policy(routes=(one,), aliases={f"auto:{bucket}": bucket for bucket in buckets})

    assert version(policy(buckets, capabilities)) == version(policy(sorted(Bucket), sorted(capabilities)))


CHANGES = {
    "success": {"success": {"judgment": 0.8}},
    "slots": {"slots": 2},
    "residency": {"residency": "eu"},
    "capabilities": {"capabilities": ["tools"]},
    "own": {"own": True},
}


@pytest.mark.parametrize("change", CHANGES)
def test_any_change_is_another_version(change):
    assert version(Policy(routes=(route("one"),))) != version(Policy(routes=(route("one", **CHANGES[change]),)))


def test_the_order_of_routes_is_part_of_the_version():
    one, two = route("one"), route("two")
    assert version(Policy(routes=(one, two))) != version(Policy(routes=(two, one)))


def test_it_survives_json_with_its_version():
    policy = Policy(routes=(route("one", slots=3, capabilities=["tools"]),), aliases={"auto": Bucket.BANDWIDTH})
    read = msgspec.json.decode(msgspec.json.encode(policy), type=Policy)
    assert read == policy
    assert version(read) == version(policy)


@pytest.mark.parametrize("name", ["", "two\nlines", " padded", "übung", "x" * 201])
def test_names_that_no_header_can_carry_are_refused(name: str) -> None:
    route = {"name": name, "upstream": "u", "model": "m", "offer": "o/m", "success": {"judgment": 1}}
    with pytest.raises(msgspec.ValidationError, match=r"routes\[0\].name"):
        msgspec.convert({"routes": [route]}, Policy)

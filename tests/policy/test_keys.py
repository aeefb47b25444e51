"""What a key allows, and what becomes of a request that is made with one."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseload.errors import BadConfig
from baseload.load.facts import Bucket, Facts, Operation
from baseload.policy.decide import State, decide
from baseload.policy.keys import ClientKey, Scope, check_keys, claimed, forbidden
from baseload.policy.policy import Policy, Route

HASH = "sha256:" + "0" * 64


def key(**changes: object) -> ClientKey:
    return msgspec.convert({"prefix": "0123abcd", "hash": HASH, "name": "web", **changes}, ClientKey)


def facts(**changes: object) -> Facts:
    return Facts(**{"at_ns": 1, "model": "auto", "bucket": Bucket.JUDGMENT, "input_tokens": 5, **changes})


def test_scopes_are_the_operations_and_administration():
    assert {scope.value for scope in Scope} == {operation.value for operation in Operation} | {"admin"}


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        ((), set(Operation)),
        (("chat",), {Operation.CHAT, Operation.RESPONSES, Operation.MESSAGES, Operation.COUNT_TOKENS}),
        (("messages",), {Operation.MESSAGES}),
        (("embeddings", "admin"), {Operation.EMBEDDINGS}),
        (("admin",), set()),
    ],
)
def test_what_a_scope_opens(scopes, allowed):
    assert {operation for operation in Operation if key(scopes=scopes).allows(operation)} == allowed


@pytest.mark.parametrize(
    ("patterns", "model", "may"),
    [
        ((), "anything", True),
        (("gpt-5*",), "gpt-5-mini", True),
        (("gpt-5*",), "GPT-5-mini", False),
        (("gpt-5*", "auto:economy"), "auto:economy", True),
        (("auto",), "auto:flagship", False),
        (("*",), "a/b", True),
    ],
)
def test_which_names_a_key_may_ask_for(patterns, model, may):
    assert key(models=patterns).may_name(model) is may


@pytest.mark.parametrize(
    ("limits", "asked", "code", "says"),
    [
        ({}, {"residency": "mars"}, None, ""),
        ({"scopes": ["embeddings"]}, {}, "key_scope", "It may for: embeddings."),
        ({"models": ["small", "tiny*"]}, {}, "key_model", "It may for: small, tiny*."),
        ({"residency": ["eu", "ch"]}, {"residency": "us"}, "key_residency", "It may to: ch, eu."),
        ({"residency": ["eu"]}, {"residency": "eu"}, None, ""),
        ({"residency": ["eu"]}, {}, None, ""),
    ],
)
def test_what_is_refused_and_what_is_allowed_instead(limits, asked, code, says):
    found = forbidden(key(**limits), facts(**asked))
    assert (found.code if found else None) == code
    assert found is None or found.message.endswith(says)


TAGS = st.dictionaries(st.sampled_from(["key", "team", "project", "customer", "feature", "x"]), st.text(max_size=5))


@given(TAGS, st.sampled_from(["", "t1"]), st.dictionaries(st.sampled_from(["feature", "y"]), st.just("own")))
def test_a_client_never_overrides_a_tag_of_its_key(sent, team, own):
    made = claimed(facts(tags=sent), key(team=team, tags=own))
    assert made.tags == {**sent, **own, "key": "web", **({"team": team} if team else {})}


@given(st.frozensets(st.sampled_from(["eu", "us", "ch"])), st.sampled_from(["", "eu", "us"]))
def test_no_route_outside_the_regions_of_a_key_is_ever_tried(regions, said):
    routes = tuple(
        Route(name=f"in-{place}", upstream="a", model="m", offer="a/m", success={Bucket.JUDGMENT: 1}, residency=place)
        for place in ("eu", "us", "ch", "")
    )
    policy = Policy(routes=routes, aliases={"auto": Bucket.JUDGMENT})
    made = claimed(facts(residency=said), key(residency=sorted(regions)))
    decision = decide(made, policy, State(), lambda *_: 1, policy_version="p", id="d")
    tried = {choice.route.removeprefix("in-") for choice in decision.routes}
    assert tried == {
        place for place in ("eu", "us", "ch", "") if (not regions or place in regions) and said in ("", place)
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"prefix": "0123ABCD"},
        {"prefix": "short"},
        {"hash": "secret"},
        {"hash": "md5:00"},
        {"team": "two\nlines"},
        {"scopes": ["everything"]},
        {"expires": "2027-01-01T00:00:00"},
        {"secret": "x"},
        {"tags": {str(n): "" for n in range(17)}},
    ],
)
def test_a_key_that_is_none_is_refused(changes):
    with pytest.raises(msgspec.ValidationError):
        key(**changes)


def test_two_keys_of_one_name_or_prefix_are_refused():
    check_keys([key(), key(prefix="0123abce", name="app"), key(prefix="0123abcf", name="")])
    for other in (key(prefix="0123abce"), key(name="app"), key(prefix="0123abce", name="0123abcd")):
        with pytest.raises(BadConfig, match="two keys are called"):
            check_keys([key(), other])


def test_a_key_survives_its_file():
    full = key(
        tags={"a": "b"}, models=["m*"], residency=["eu"], scopes=["chat"], expires="2027-01-01T00:00:00Z", disabled=True
    )
    assert msgspec.json.decode(msgspec.json.encode(full), type=ClientKey) == full

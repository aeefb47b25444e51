"""A request belongs to the bucket that it says, else to that of its task."""

import pytest

from baseload.errors import BadInput
from baseload.load.buckets import ALIASES, TASKS, bucket_of, named
from baseload.load.facts import Bucket

BANDWIDTH, JUDGMENT, FLAGSHIP = Bucket
POLICY = {"auto": JUDGMENT, "auto:flagship": FLAGSHIP, "auto:economy": BANDWIDTH}


@pytest.mark.parametrize(
    ("name", "bucket"),
    [
        ("bandwidth", BANDWIDTH),
        ("Judgment", JUDGMENT),
        (" flagship ", FLAGSHIP),
        ("trivial", BANDWIDTH),
        ("standard", JUDGMENT),
        ("reasoning", FLAGSHIP),
    ],
)
def test_buckets_and_the_articles_other_names_for_them(name, bucket):
    assert named(name) is bucket


@pytest.mark.parametrize(
    ("request_says", "bucket"),
    [
        ({}, JUDGMENT),
        ({"default": FLAGSHIP}, FLAGSHIP),
        ({"said": "flagship"}, FLAGSHIP),
        ({"said": "trivial", "tags": {"bucket": "flagship", "task": "plan"}, "model": "auto:flagship"}, BANDWIDTH),
        ({"tags": {"bucket": "flagship", "task": "classify"}, "model": "auto:economy"}, FLAGSHIP),
        ({"model": "auto:flagship", "tags": {"task": "classify"}}, FLAGSHIP),
        ({"model": "auto", "tags": {"task": "classify"}}, BANDWIDTH),
        ({"model": "auto", "tags": {"task": "Generate"}}, FLAGSHIP),
        ({"model": "auto", "tags": {"task": "juggle", "team": "circus"}}, JUDGMENT),
        ({"model": "gpt-5-mini", "tags": {"task": "classify"}}, BANDWIDTH),
        ({"model": "gpt-5-mini", "tags": {"bucket": "", "task": ""}}, JUDGMENT),
    ],
)
def test_what_is_said_outranks_what_is_inferred(request_says, bucket):
    assert bucket_of(aliases=POLICY, **request_says) is bucket


@pytest.mark.parametrize("request_says", [{"said": "best"}, {"tags": {"bucket": "best"}}])
def test_a_bucket_that_does_not_exist_is_refused_with_those_that_do(request_says):
    with pytest.raises(
        BadInput, match=r"'best' is no bucket\. Use one of bandwidth, judgment, flagship, trivial, standard, reasoning"
    ):
        bucket_of(**request_says)


def test_every_task_has_a_bucket_and_a_source_and_every_bucket_a_task():
    assert {task.bucket for task in TASKS.values()} == set(Bucket)
    assert all(task.source for task in TASKS.values())
    assert not set(TASKS) & {*ALIASES, *Bucket}

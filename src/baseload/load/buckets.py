"""Which bucket a request belongs to: what it says itself, then what its task or its alias stands for. Pure.

A bucket says how good an answer the task needs. The table of tasks is the articles'; a deployment that knows better
says so in a header or a tag.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from baseload.errors import BadInput
from baseload.load.facts import Bucket

BUCKET_TAG = "bucket"
TASK_TAG = "task"

# Article 0 sorts requests into three routes; they are other names for the buckets of article 2, not a second scheme.
ALIASES: Mapping[str, Bucket] = MappingProxyType(
    {"trivial": Bucket.BANDWIDTH, "standard": Bucket.JUDGMENT, "reasoning": Bucket.FLAGSHIP}
)

_ARTICLE_0 = "How I Stopped Burning Cash on GPUs: its routes by complexity"
_ARTICLE_2 = "Why I Spent a Weekend Comparing AI API Prices: its three buckets"


@dataclass(frozen=True, slots=True)
class Task:
    """What a task needs, and the article that says so."""

    bucket: Bucket
    source: str


# Where the articles differ (extraction is small work in article 2, and standard in article 0's example) article 2,
# which defines the buckets, is followed.
TASKS: Mapping[str, Task] = MappingProxyType(
    {
        "classify": Task(Bucket.BANDWIDTH, _ARTICLE_2),
        "extract": Task(Bucket.BANDWIDTH, _ARTICLE_2),
        "sentiment": Task(Bucket.BANDWIDTH, _ARTICLE_2),
        "format": Task(Bucket.BANDWIDTH, _ARTICLE_0),
        "summarize": Task(Bucket.JUDGMENT, _ARTICLE_2),
        "answer": Task(Bucket.JUDGMENT, _ARTICLE_2),
        "review": Task(Bucket.JUDGMENT, _ARTICLE_2),
        "analyze": Task(Bucket.JUDGMENT, _ARTICLE_2),
        "generate": Task(Bucket.FLAGSHIP, _ARTICLE_2),
        "reason": Task(Bucket.FLAGSHIP, _ARTICLE_2),
        "code": Task(Bucket.FLAGSHIP, _ARTICLE_0),
        "plan": Task(Bucket.FLAGSHIP, _ARTICLE_0),
    }
)


def named(name: str) -> Bucket:
    """The bucket of that name, or that one of the articles' other names stands for. Raises BadInput for any other.

    >>> named("trivial").value
    'bandwidth'
    """
    plain = name.strip().lower()
    found = ALIASES.get(plain)
    if found is not None:
        return found
    try:
        return Bucket(plain)
    except ValueError as error:
        raise BadInput(f"{name!r} is no bucket", remedy=f"Use one of {', '.join((*Bucket, *ALIASES))}.") from error


def bucket_of(
    *,
    said: str = "",
    tags: Mapping[str, str] = MappingProxyType({}),
    model: str = "",
    aliases: Mapping[str, Bucket] = MappingProxyType({}),
    default: Bucket = Bucket.JUDGMENT,
) -> Bucket:
    """The bucket of a request, from the first of these that decides: what it `said` in a header, its `bucket` tag, the
    alias it names as its model, its `task` tag, the default.

    An alias that stands for the default bucket says nothing of the task (`auto`), so the task is heard before it. A
    task that the table does not know is only a tag. Raises BadInput when a bucket is named that does not exist.

    >>> bucket_of(tags={"task": "classify"}, model="auto", aliases={"auto": Bucket.JUDGMENT}).value
    'bandwidth'
    """
    if said:
        return named(said)
    if tags.get(BUCKET_TAG):
        return named(tags[BUCKET_TAG])
    alias = aliases.get(model, default)
    if alias is not default:
        return alias
    task = TASKS.get(tags.get(TASK_TAG, "").strip().lower())
    return default if task is None else task.bucket

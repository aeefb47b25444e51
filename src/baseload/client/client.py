"""`Baseload` and `AsyncBaseload`: the tasks on OpenAI's official client. Acts (asks the gateway).

`openai` is imported when a client is made, so that importing this costs nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

from baseload.client import tasks
from baseload.client.result import Result, received
from baseload.client.tasks import Labels, Options, Task

if TYPE_CHECKING:
    from types import TracebackType

    from openai import AsyncOpenAI, OpenAI

DEFAULT_URL = "http://127.0.0.1:8790"
# The official client's own.
TIMEOUT_SECONDS = 600.0
RETRIES = 2
_Shape = TypeVar("_Shape")
_Value = TypeVar("_Value")


class Baseload:
    """A client of one gateway. `base_url` and `api_key` are BASELOAD_BASE_URL and BASELOAD_API_KEY when left out.

    `tags` are written into the ledger with every call. A request that takes longer than `timeout` seconds is given up;
    one that failed in passing is repeated up to `max_retries` times. `openai` is the client below, for everything that
    is no task: its errors (`openai.APIStatusError` and the others) are what a refused request raises here too.
    """

    openai: OpenAI

    def __init__(
        self,
        base_url: str = "",
        api_key: str = "",
        *,
        tags: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT_SECONDS,
        max_retries: int = RETRIES,
    ) -> None:
        from openai import OpenAI

        self.tags = dict(tags or {})
        self.openai = OpenAI(base_url=_url(base_url), api_key=_key(api_key), timeout=timeout, max_retries=max_retries)

    def classify(self, text: str, labels: Labels, *, instructions: str = "", **options: Unpack[Options]) -> Result[str]:
        """Which one of `labels` fits the text; a mapping says what each means. Raises BadAnswer when none came."""
        return self._do(tasks.classify(text, labels, instructions), options)

    @overload
    def extract(
        self, text: str, into: type[_Shape], *, instructions: str = "", **options: Unpack[Options]
    ) -> Result[_Shape]: ...
    @overload
    def extract(
        self, text: str, into: Mapping[str, Any], *, instructions: str = "", **options: Unpack[Options]
    ) -> Result[dict[str, Any]]: ...
    def extract(self, text: str, into: Any, *, instructions: str = "", **options: Unpack[Options]) -> Result[Any]:
        """What the text says, as an instance of a dataclass, Struct, TypedDict or pydantic model, or by a JSON schema
        as a dict. Raises BadAnswer when the answer does not fit."""
        return self._do(tasks.extract(text, into, instructions), options)

    def summarize(
        self, text: str, *, words: int | None = None, instructions: str = "", **options: Unpack[Options]
    ) -> Result[str]:
        """The text in fewer words."""
        return self._do(tasks.summarize(text, words, instructions), options)

    def analyze(self, text: str, question: str, *, instructions: str = "", **options: Unpack[Options]) -> Result[str]:
        """What the text says about a question."""
        return self._do(tasks.analyze(text, question, instructions), options)

    def generate(self, prompt: str, *, instructions: str = "", **options: Unpack[Options]) -> Result[str]:
        """Whatever the prompt asks for."""
        return self._do(tasks.generate(prompt, instructions), options)

    def close(self) -> None:
        """Close every connection."""
        self.openai.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _do(self, task: Task[_Value], options: Options) -> Result[_Value]:
        answer = self.openai.chat.completions.with_raw_response.create(**task.request(options, self.tags))
        return task.answered(received(answer.headers, answer.content, answer.parse()))


class AsyncBaseload:
    """The same for asyncio: every task is awaited."""

    openai: AsyncOpenAI

    def __init__(
        self,
        base_url: str = "",
        api_key: str = "",
        *,
        tags: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT_SECONDS,
        max_retries: int = RETRIES,
    ) -> None:
        from openai import AsyncOpenAI

        self.tags = dict(tags or {})
        self.openai = AsyncOpenAI(
            base_url=_url(base_url), api_key=_key(api_key), timeout=timeout, max_retries=max_retries
        )

    async def classify(
        self, text: str, labels: Labels, *, instructions: str = "", **options: Unpack[Options]
    ) -> Result[str]:
        """Which one of `labels` fits the text; a mapping says what each means. Raises BadAnswer when none came."""
        return await self._do(tasks.classify(text, labels, instructions), options)

    @overload
    async def extract(
        self, text: str, into: type[_Shape], *, instructions: str = "", **options: Unpack[Options]
    ) -> Result[_Shape]: ...
    @overload
    async def extract(
        self, text: str, into: Mapping[str, Any], *, instructions: str = "", **options: Unpack[Options]
    ) -> Result[dict[str, Any]]: ...
    async def extract(self, text: str, into: Any, *, instructions: str = "", **options: Unpack[Options]) -> Result[Any]:
        """What the text says, as an instance of a dataclass, Struct, TypedDict or pydantic model, or by a JSON schema
        as a dict. Raises BadAnswer when the answer does not fit."""
        return await self._do(tasks.extract(text, into, instructions), options)

    async def summarize(
        self, text: str, *, words: int | None = None, instructions: str = "", **options: Unpack[Options]
    ) -> Result[str]:
        """The text in fewer words."""
        return await self._do(tasks.summarize(text, words, instructions), options)

    async def analyze(
        self, text: str, question: str, *, instructions: str = "", **options: Unpack[Options]
    ) -> Result[str]:
        """What the text says about a question."""
        return await self._do(tasks.analyze(text, question, instructions), options)

    async def generate(self, prompt: str, *, instructions: str = "", **options: Unpack[Options]) -> Result[str]:
        """Whatever the prompt asks for."""
        return await self._do(tasks.generate(prompt, instructions), options)

    async def close(self) -> None:
        """Close every connection."""
        await self.openai.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _do(self, task: Task[_Value], options: Options) -> Result[_Value]:
        answer = await self.openai.chat.completions.with_raw_response.create(**task.request(options, self.tags))
        return task.answered(received(answer.headers, answer.content, answer.parse()))


def _url(said: str) -> str:
    """Where the API begins.

    >>> _url("http://gateway:8790/"), _url("https://gateway/team/v1")
    ('http://gateway:8790/v1', 'https://gateway/team/v1')
    """
    url = (said or os.environ.get("BASELOAD_BASE_URL") or DEFAULT_URL).rstrip("/")
    return url if url.endswith("/v1") else f"{url}/v1"


def _key(said: str) -> str:
    return said or os.environ.get("BASELOAD_API_KEY") or "none-needed"

"""What a simulated upstream keeps besides responses: stored chat completions and conversations. Holds what it keeps."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import msgspec

Object = dict[str, object]
MOST_KEPT = 1_000


class _Update(msgspec.Struct):
    metadata: Object | None = None


class _Create(msgspec.Struct):
    items: list[Object] = msgspec.field(default_factory=list)
    metadata: Object = msgspec.field(default_factory=dict)


class _Stored(msgspec.Struct):
    messages: list[Object]
    metadata: Object | None = None


class Shelf:
    """Answers for kept objects. Each `answer` is the document to say, None when there is no such object or path."""

    def __init__(self, mark: str) -> None:
        self.completions: dict[str, Object] = {}
        self.conversations: dict[str, Object] = {}
        self._items: dict[str, list[Object]] = {}
        self._messages: dict[str, list[Object]] = {}
        self._mark = mark
        self._numbers = itertools.count(1)

    def keep(self, document: bytes, body: bytes) -> None:
        """Keep a chat completion that was made."""
        if len(self.completions) >= MOST_KEPT:
            self.completions.pop(next(iter(self.completions)))
        asked, made = msgspec.json.decode(body, type=_Stored), msgspec.json.decode(document, type=Object)
        name = str(made["id"])
        self.completions[name] = made | {"metadata": asked.metadata or {}}
        self._messages[name] = [each | {"id": f"{name}-{n}"} for n, each in enumerate(asked.messages)]

    def of_completions(self, method: str, parts: Sequence[str], body: bytes) -> Object | None:
        """What stands below /v1/chat/completions/. Raises msgspec.DecodeError."""
        name = parts[0]
        found = self.completions.get(name)
        if found is None:
            return None
        if method == "POST" and len(parts) == 1:
            found["metadata"] = msgspec.json.decode(body, type=_Update).metadata
        if method == "DELETE" and len(parts) == 1:
            del self.completions[name]
            return _gone(name, "chat.completion.deleted")
        if method == "GET" and list(parts[1:]) == ["messages"]:
            return _list(self._messages[name])
        return found if len(parts) == 1 else None

    def of_conversations(self, method: str, parts: Sequence[str], body: bytes) -> Object | None:
        """/v1/conversations and what stands below. Raises msgspec.DecodeError."""
        if not parts:
            return self._create(body) if method == "POST" else None
        name, found = parts[0], self.conversations.get(parts[0])
        if found is None:
            return None
        if len(parts) > 1:
            return self._of_items(method, name, parts[1:], body)
        if method == "POST":
            found["metadata"] = msgspec.json.decode(body, type=_Update).metadata
        if method == "DELETE":
            del self.conversations[name]
            return _gone(name, "conversation.deleted")
        return found

    def add(self, conversation: str, items: Sequence[Object]) -> list[Object]:
        """Put items into a conversation."""
        added = [{"id": f"item_{self._mark}{next(self._numbers)}", "type": "message", **each} for each in items]
        self._items[conversation] += added
        return added

    def _create(self, body: bytes) -> Object:
        asked, name = msgspec.json.decode(body or b"{}", type=_Create), f"conv_{self._mark}{next(self._numbers)}"
        self._items[name] = []
        self.add(name, asked.items)
        self.conversations[name] = {
            "id": name,
            "object": "conversation",
            "created_at": 0,
            "metadata": asked.metadata,
        }
        return self.conversations[name]

    def _of_items(self, method: str, name: str, parts: Sequence[str], body: bytes) -> Object | None:
        if parts[0] != "items":
            return None
        items = self._items[name]
        if len(parts) == 1:
            return _list(self.add(name, msgspec.json.decode(body, type=_Create).items) if method == "POST" else items)
        found = next((each for each in items if each["id"] == parts[1]), None)
        if found is not None and method == "DELETE":
            items.remove(found)
            return self.conversations[name]
        return found


def _list(data: Sequence[Mapping[str, object]]) -> Object:
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": "", "last_id": ""}
    return {"object": "list", "data": list(data), "has_more": False, **ends}


def _gone(name: str, kind: str) -> Object:
    return {"id": name, "object": kind, "deleted": True}

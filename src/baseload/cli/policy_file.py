"""A policy to look at, not to serve under: a policy document or a whole configuration, secrets unread. Acts (reads)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from baseload.policy.policy import Policy
    from baseload.settings import Settings


class AnyVariable(Mapping[str, str]):
    """Secrets stay where they are: nothing is sent anywhere, so every variable of a configuration may be empty."""

    def __getitem__(self, name: str) -> str:
        return ""

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __contains__(self, name: object) -> bool:
        return True


def read_policy(path: Path) -> tuple[Policy, Settings | None]:
    """The policy of a file, and the configuration it stands in when the file is a whole one. Raises BadConfig."""
    from baseload.configuration import parse_policy, parse_settings, read_document

    document = read_document(path)
    if isinstance(document, Mapping) and "upstreams" in document:
        settings = parse_settings(document, AnyVariable(), origin=str(path))
        return settings.policy, settings
    if isinstance(document, Mapping) and "policy" in document:
        document = document["policy"]
    return parse_policy(document, AnyVariable(), origin=str(path)), None

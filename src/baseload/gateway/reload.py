"""Another configuration while requests are served: what of it can be put in force, and what needs a restart. Acts.

A file that cannot be read, or that says something impossible, changes nothing. What a running gateway cannot change
keeps its value, and is named.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from baseload.settings import Settings

FIXED = ("listen", "data_dir", "store", "workers", "replay_time", "otel")
"""Settings that only a restart changes."""

PATH = "/reload"
"""Asked with POST on the supervisor's socket: the answer is a Report."""

Stamp = tuple[tuple[int, int, int] | None, ...]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a reload. `ok` is False when it was refused, `error` and `remedy` say why; the old settings then
    stand. `changed` are the settings that have another value now, `needs_restart` those that would."""

    ok: bool
    policy: str
    changed: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()
    error: str = ""
    remedy: str = ""


def keeping_fixed(now: Settings, then: Settings, written: Settings) -> tuple[Settings, tuple[str, ...]]:
    """The new settings as far as they can be put in force, and the names of those that cannot.

    `now` is in force and may differ from what was `written`, in the file it was read from, by what the command line
    said; `then` is what the file says now.
    """
    kept = {name: getattr(now, name) for name in FIXED}
    needs_restart = tuple(name for name in FIXED if getattr(then, name) != getattr(written, name))
    return msgspec.structs.replace(then, **kept), needs_restart


def changed(before: Settings, after: Settings) -> tuple[str, ...]:
    """The names of the settings that differ."""
    return tuple(name for name in before.__struct_fields__ if getattr(before, name) != getattr(after, name))


def stamp(config: Path, settings: Settings) -> Stamp:
    """What changes when somebody writes, replaces or removes one of the files that settings are read from."""
    paths = [config, *(Path(book.path).expanduser() for book in settings.books)]
    for upstream in settings.upstreams:
        files = (upstream.api_key_file, upstream.ca_file, *(key.file for key in upstream.api_keys))
        paths += [Path(file).expanduser() for file in files if file]
    return tuple(_seen(path) for path in paths)


def _seen(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size

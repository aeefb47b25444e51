"""`baseload init`: a first configuration, from the environment's keys or from LiteLLM's. Acts (writes one file)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from baseload.cli.output import hint, how_many, note, print_json, say

if TYPE_CHECKING:
    from baseload.cli.init_litellm import Mapped

SCHEMA = "baseload.init/1"
LITELLM = "litellm"


def command(
    source: Annotated[str, typer.Argument(help="The configuration to take over, with --from.")] = "",
    origin: Annotated[str, typer.Option("--from", help="What that is a configuration of: litellm.")] = "",
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path("baseload.yaml"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print it and write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help=f"One JSON document, schema {SCHEMA}.")] = False,
) -> None:
    """Write a commented configuration for the providers whose keys are in the environment.

    With `--from litellm config.yaml` it takes over what LiteLLM's configuration says; whatever has no counterpart is
    kept as a comment and listed. A file that is there is never overwritten.
    """
    from baseload.errors import BadInput

    if output.exists() and not dry_run:
        raise BadInput(f"{output} is there already", remedy="Name another file with --output, or look with --dry-run.")
    if bool(source) != bool(origin) or origin not in ("", LITELLM):
        raise BadInput(
            f"cannot start from {origin or source!r}", remedy="Write: baseload init --from litellm config.yaml."
        )
    if origin:
        _from_litellm(Path(source), output, dry_run=dry_run, as_json=as_json)
    else:
        _from_environment(output, dry_run=dry_run, as_json=as_json)


def _from_environment(output: Path, *, dry_run: bool, as_json: bool) -> None:
    import os

    from baseload.cli.init_known import checked
    from baseload.cli.init_start import FALLBACK, detected, starting
    from baseload.upstreams import load_providers

    presets = detected(os.environ)
    text, document = starting(presets)
    settings = checked(document, "what was written")
    _write(text, output, dry_run=dry_run, as_json=as_json)
    models = list(settings.policy.models)
    if as_json:
        written = None if dry_run else str(output)
        print_json({"schema": SCHEMA, "file": written, "text": text, "presets": presets, "models": models})
        return
    if presets:
        note(f"keys found: {', '.join(presets)}")
    else:
        variable = load_providers()[FALLBACK].key_env
        note(f"no provider's key is in the environment: written for {FALLBACK}. Export {variable}, or edit the file.")
    _next(output, dry_run=dry_run)


def _from_litellm(source: Path, output: Path, *, dry_run: bool, as_json: bool) -> None:
    from baseload.cli.init_known import checked
    from baseload.cli.init_litellm import mapped, written
    from baseload.configuration import read_document

    found = mapped(read_document(source), str(source))
    checked(found.document, f"what {source} becomes")
    text = written(found, str(source))
    _write(text, output, dry_run=dry_run, as_json=as_json)
    if as_json:
        rest = [{"key": each.key, "reason": each.reason} for each in found.unmapped]
        place = None if dry_run else str(output)
        print_json({"schema": SCHEMA, "file": place, "text": text, "notes": found.notes, "unmapped": rest})
        return
    _report(found)
    _next(output, dry_run=dry_run)


def _report(found: Mapped) -> None:
    """What was taken over, and what was not."""
    note(f"taken over: {how_many(len(found.upstreams), 'upstream')}, {how_many(len(found.routes), 'route')}")
    for each in found.notes:
        note(f"note: {each}")
    for unmapped in found.unmapped:
        note(f"not taken over: {unmapped.key}  ({unmapped.reason})")


def _write(text: str, output: Path, *, dry_run: bool, as_json: bool) -> None:
    """Write the file whole; never over another."""
    if dry_run:
        if not as_json:
            say(text)
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    half = output.with_name(f".{output.name}.half")
    half.write_text(text, encoding="utf-8")
    try:
        output.hardlink_to(half)  # fails where there is a file by now
    finally:
        half.unlink()
    _write_schema(output.parent)
    if not as_json:
        say(f"wrote {output}")


def _write_schema(folder: Path) -> None:
    """The schema that the first line of the file names, in this version's words."""
    import msgspec

    from baseload.cli.config_schema import schema
    from baseload.cli.init_known import SCHEMA_FILE

    path = folder / SCHEMA_FILE
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(schema()), indent=2))


def _next(output: Path, *, dry_run: bool) -> None:
    if not dry_run:
        hint(f"baseload doctor --config {output}   then   baseload serve --config {output}")

"""`baseload key`: make, see, change and refuse the keys of clients. Acts (writes keys.json in data_dir)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from baseload.cli.output import hint, note, print_json, say, table

if TYPE_CHECKING:
    from baseload.gateway.keyfile import KeyFile, Minted
    from baseload.policy.keys import ClientKey

DEFAULT_CONFIG = Path("baseload.yaml")
Json = Annotated[bool, typer.Option("--json", help="One JSON document, schema baseload.key/1.")]
Config = Annotated[
    Path, typer.Option("--config", "-c", help="The configuration whose data_dir holds the keys, where there is one.")
]
Name = Annotated[str, typer.Argument(help="The key's name or its prefix.")]

app = typer.Typer(no_args_is_help=True)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What to call it; the tag `key` of its calls.")],
    team: Annotated[str, typer.Option(help="Tag `team` of its calls.")] = "",
    project: Annotated[str, typer.Option(help="Tag `project`.")] = "",
    customer: Annotated[str, typer.Option(help="Tag `customer`.")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="Another tag, as in feature=search.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="A name it may ask for, with *; without any: all.")] = None,
    residency: Annotated[list[str] | None, typer.Option(help="A region its data may go to; without any: all.")] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="chat, embeddings ... or admin; without any: all but admin.")
    ] = None,
    expires: Annotated[str, typer.Option(help="A day, as in 2027-06-30, or a time from now: 90d, 12h.")] = "",
    for_config: Annotated[bool, typer.Option("--for-config", help="Keep nothing; print an entry for `keys:`.")] = False,
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> None:
    """Make a key and show its secret, once: a hash of it is kept."""
    import msgspec

    from baseload.errors import BadInput
    from baseload.gateway.keyfile import mint
    from baseload.policy.keys import ClientKey, Scope

    at = datetime.now(UTC)
    wanted = {
        "name": name,
        "team": team,
        "project": project,
        "customer": customer,
        "tags": dict(_pair(each) for each in tag or ()),
        "models": model or (),
        "residency": residency or (),
        "scopes": scope or (),
        "expires": _moment(expires, at) if expires else None,
    }
    blank = msgspec.to_builtins(mint(at=at).key)
    try:
        template = msgspec.convert(blank | wanted, ClientKey)
    except msgspec.ValidationError as error:
        raise BadInput(
            f"no key can be like that: {error}", remedy=f"Mend that option; --scope is one of {', '.join(Scope)}."
        ) from error
    file, beside = _keys(config)
    minted = mint(template, at=at) if for_config else file.create(template, at=at, beside=beside)
    _show_minted(minted, None if for_config else file.path, json=json)


@app.command("list")
def list_keys(config: Config = DEFAULT_CONFIG, json: Json = False) -> None:
    """Every key: whose it is, what it may do, whether it still does."""
    from baseload.policy.keys import public, state

    file, beside = _keys(config)
    keys, now = (*beside, *file.read()), datetime.now(UTC)
    if json:
        print_json(
            {"schema": "baseload.key.list/1", "file": str(file.path), "keys": [public(key, now) for key in keys]}
        )
        return
    if not keys:
        say(f"no keys in {file.path}: on this machine everybody is served, and nobody elsewhere")
        hint("baseload key create NAME")
        return
    rows = [
        (f"bl-{key.prefix}", key.name, key.team, key.project, key.customer, _limits(key), state(key, now))
        for key in keys
    ]
    table("", ("prefix", "name", "team", "project", "customer", "may", "state"), rows)


@app.command("show")
def show(name: Name, config: Config = DEFAULT_CONFIG, json: Json = False) -> None:
    """One key, without its secret, which nobody knows any more."""
    from baseload.gateway.keyfile import named
    from baseload.policy.keys import public

    file, beside = _keys(config)
    key = named((*beside, *file.read()), name, file.path)
    if json:
        print_json({"schema": "baseload.key/1", "key": public(key, datetime.now(UTC))})
        return
    for field, value in public(key, datetime.now(UTC)).items():
        said = value if not isinstance(value, list | dict) else ", ".join(f"{each}" for each in value) or "any"
        say(f"{field:14}{said}")


@app.command("revoke")
def revoke(name: Name, config: Config = DEFAULT_CONFIG, json: Json = False) -> None:
    """Refuse a key from now on, at every gateway on this data_dir within a second or two."""
    from baseload.policy.keys import public

    file, _ = _keys(config)
    key = file.revoke(name)
    if json:
        print_json({"schema": "baseload.key/1", "key": public(key, datetime.now(UTC))})
    else:
        say(f"{key.title} (bl-{key.prefix}) is revoked")


@app.command("rotate")
def rotate(
    name: Name,
    grace: Annotated[str, typer.Option(help="How long the former secret stays good: 24h, 7d, 0h.")] = "24h",
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> None:
    """Give a key another secret; the former one stays good for a while, so that nobody has to hurry."""
    file, _ = _keys(config)
    minted = file.rotate(name, at=datetime.now(UTC), grace=_span(grace))
    _show_minted(minted, file.path, json=json)


def _keys(config: Path) -> tuple[KeyFile, tuple[ClientKey, ...]]:
    """The file of keys, and the keys that the configuration itself holds."""
    from baseload.configuration import Place, read_place
    from baseload.errors import BadConfig
    from baseload.gateway.keyfile import KeyFile

    if config.exists():
        place = read_place(config)
    elif config == DEFAULT_CONFIG:
        place = Place()
    else:
        raise BadConfig(f"there is no {config}", remedy="Name the configuration that `baseload serve` runs on.")
    return KeyFile(place.directory), place.keys


def _show_minted(minted: Minted, kept: Path | None, *, json: bool) -> None:
    """The secret on stdout; all else is a note. A key that is kept nowhere is printed as an entry of `keys:`."""
    from baseload.policy.keys import public

    key = minted.key
    if json:
        print_json(
            {"schema": "baseload.key/1", "key": public(key, datetime.now(UTC)), "token": minted.token, "hash": key.hash}
        )
        return
    say(minted.token)
    if kept is None:
        note(f"This is {key.title}, kept nowhere and not shown again. Put this under `keys:` in the configuration:")
        say(_entry(key))
        return
    note(f"This is {key.title}, not shown again: {kept} holds a hash of it.")
    if key.former_until is not None:
        note(f"The former secret stays good until {key.former_until:%Y-%m-%d %H:%M} UTC.")


def _entry(key: ClientKey) -> str:
    """The key as an entry of `keys:`, which YAML reads as it reads JSON."""
    import msgspec

    return f"  - {msgspec.json.encode(key, order='deterministic').decode()}"


def _limits(key: ClientKey) -> str:
    """What it may do, in a few words."""
    limits = [*sorted(key.scopes), *key.models, *(f"in {place}" for place in sorted(key.residency))]
    return ", ".join(limits) or "anything"


def _pair(text: str) -> tuple[str, str]:
    from baseload.errors import BadInput

    name, equals, value = text.partition("=")
    if not name or not equals:
        raise BadInput(f"--tag {text!r} is no tag", remedy="Write name=value, as in feature=search.")
    return name, value


def _moment(text: str, at: datetime) -> datetime:
    """A day, or a time from now.

    >>> _moment("2027-06-30", datetime(2026, 1, 1, tzinfo=UTC)).isoformat()
    '2027-06-30T00:00:00+00:00'
    """
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return at + _span(text)


def _span(text: str) -> timedelta:
    """A time of so many days, hours or minutes.

    >>> _span("12h"), _span("7d")
    (datetime.timedelta(seconds=43200), datetime.timedelta(days=7))
    """
    from baseload.errors import BadInput

    found = re.fullmatch(r"([0-9]{1,6})([dhm])", text)
    if found is None:
        raise BadInput(f"{text!r} is no time", remedy="Write a number of days or hours: 90d, 12h.")
    unit = {"d": "days", "h": "hours", "m": "minutes"}[found[2]]
    return timedelta(**{unit: int(found[1])})

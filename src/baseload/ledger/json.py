"""JSON in a column, asked for in the words of SQLite or of PostgreSQL. Pure."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class elements(FunctionElement[Any]):  # noqa: N801 - a function of SQL
    """The elements of an array, as rows of one column `value`."""

    inherit_cache = True


class pairs(FunctionElement[Any]):  # noqa: N801
    """The members of an object, as rows of `key` and `value`."""

    inherit_cache = True


class member(FunctionElement[str]):  # noqa: N801
    """The text of one member of an object, by its name."""

    type = Text()
    inherit_cache = True


def _inner(element: FunctionElement[Any], compiler: SQLCompiler, **how: object) -> list[str]:
    return [compiler.process(clause, **how) for clause in element.clauses]


@compiles(elements, "sqlite")
@compiles(pairs, "sqlite")
def _each(element: FunctionElement[Any], compiler: SQLCompiler, **how: object) -> str:
    return f"json_each({_inner(element, compiler, **how)[0]})"


@compiles(member, "sqlite")
def _extract(element: FunctionElement[Any], compiler: SQLCompiler, **how: object) -> str:
    value, name = _inner(element, compiler, **how)
    return f"json_extract({value}, '$.' || {name})"


@compiles(elements, "postgresql")
def _elements(element: FunctionElement[Any], compiler: SQLCompiler, **how: object) -> str:
    return f"jsonb_array_elements(CAST({_inner(element, compiler, **how)[0]} AS jsonb))"


@compiles(pairs, "postgresql")
def _pairs(element: FunctionElement[Any], compiler: SQLCompiler, **how: object) -> str:
    return f"jsonb_each_text(CAST({_inner(element, compiler, **how)[0]} AS jsonb))"


@compiles(member, "postgresql")
def _member(element: FunctionElement[Any], compiler: SQLCompiler, **how: object) -> str:
    value, name = _inner(element, compiler, **how)
    return f"({value} ->> {name})"

# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Recipes from TOML, with one clear line for every wrong field."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from bitwright.quant.recipe.base import RecipeError, Table
from bitwright.quant.recipe.models import MODELS
from bitwright.quant.recipe.recipe import Recipe
from bitwright.quant.recipe.tasks import TASKS


def load_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe.

    Args:
        path: the TOML file.
        changes: ``key=value`` with dots between tables and a TOML value, such as ``qat.epochs=3``; text needs no
            quotes.

    Raises:
        RecipeError: one line for every wrong field: file, field, rule, offending value.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot read the recipe: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"{path}: not a TOML file: {error}") from error
    for change in changes:
        _set(data, change)
    return parse_recipe(data, str(path))


def parse_recipe(data: dict[str, Any], origin: str) -> Recipe:
    """Check a recipe that is already a dictionary; ``origin`` names it in messages. Raises RecipeError."""
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        lines = [_explain(problem) for problem in error.errors()]
        head = f"{origin}: " if len(lines) == 1 else f"{origin}: {len(lines)} wrong fields:\n  "
        raise RecipeError(head + "\n  ".join(lines)) from error


def _set(data: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"--set {change}: must be key=value, such as qat.epochs=3")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *tables, last = key.strip().split(".")
    where = data
    for table in tables:
        where = where.setdefault(table, {})
        if not isinstance(where, dict):
            raise RecipeError(f"--set {change}: '{table}' is a value, not a table")
    where[last] = value


#: Value of ``name`` in a [task] or [model] table -> the table that it stands for.
_CHOICES: dict[str, type[Table]] = {
    get_args(table.model_fields["name"].annotation)[0]: table for table in (*MODELS, *TASKS)
}


def _tables(table: type[Table], path: Iterable[Any]) -> type[Table] | None:
    """The table that a location of an error lies in, walked from the root."""
    current: Any = table
    for part in path:
        if part in _CHOICES:
            current = _CHOICES[part]
            continue
        field = current.model_fields.get(part) if isinstance(current, type) and issubclass(current, Table) else None
        if field is None:  # a key of a dictionary of tables
            continue
        inner = [
            t for t in (field.annotation, *get_args(field.annotation)) if isinstance(t, type) and issubclass(t, Table)
        ]
        current = inner[0] if inner else None
        if current is None:
            return None
    return current if isinstance(current, type) and issubclass(current, Table) else None


def _explain(problem: Any) -> str:
    """One line for a pydantic error: field, rule, value."""
    # pydantic adds the chosen name of a task or model to the location; it is not a key of the file.
    where = [str(part) for part in problem["loc"] if part not in _CHOICES]
    field = ".".join(where)
    kind = problem["type"]
    if kind == "extra_forbidden":
        table = _tables(Recipe, problem["loc"][:-1])
        known = list(table.model_fields) if table is not None else []
        near = difflib.get_close_matches(where[-1], known, n=1, cutoff=0.5)
        return f"{field}: unknown key" + (f"; did you mean '{near[0]}'?" if near else "; remove it")
    if kind == "missing":
        return f"{field}: missing; add it"
    if kind == "union_tag_not_found":
        return f"{field}.name: missing; add it"
    if kind == "union_tag_invalid":
        context = problem["ctx"]
        return f"{field}.name: must be one of {context['expected_tags']}, got '{context['tag']}'"
    if kind == "value_error":  # a rule of the whole table, whose message holds the values
        return f"{field}: {problem['ctx']['error']}"
    rule = problem["msg"][0].lower() + problem["msg"][1:]
    return f"{field}: {rule}, got {problem['input']!r}"

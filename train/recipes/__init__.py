"""Recipes: everything that makes a model, each in a short TOML file that a user can copy."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

import msgspec

from scanside.runtime.errors import RecipeError, UnknownRecipeError
from scanside.train.recipe import Recipe

FOLDER = Path(__file__).parent
UNKNOWN_KEY = re.compile(r"unknown field `(?P<key>[^`]*)`(?: - at `\$\.?(?P<place>[^`]*)`)?")


def recipe_names() -> list[str]:
    """Names of the recipes that Scanside brings."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def recipe_text(name: str) -> str:
    """The TOML of one of `recipe_names`; UnknownRecipeError names the nearest."""
    if name not in recipe_names():
        near = difflib.get_close_matches(name, recipe_names(), 1)
        raise UnknownRecipeError(
            f"there is no recipe {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
            next_step=f"choose one of: {', '.join(recipe_names())}; or give a .toml file",
        )
    return (FOLDER / f"{name}.toml").read_text()


def load_recipe(name: str) -> Recipe:
    """A recipe by its name, or from a user's own .toml file.

    Raises UnknownRecipeError, or RecipeError naming the wrong key and the nearest right one.
    """
    if not name.endswith(".toml"):
        return parse_recipe(recipe_text(name), name)
    try:
        text = Path(name).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UnknownRecipeError(
            f"{name} cannot be read", next_step="scanside recipes NAME > mine.toml makes a copy"
        ) from error
    return parse_recipe(text, name)


def parse_recipe(text: str, name: str) -> Recipe:
    """A recipe from TOML; `name` is what messages call it."""
    try:
        return msgspec.toml.decode(text.encode(), type=Recipe)
    except msgspec.MsgspecError as error:
        raise RecipeError(
            f"{name}: {_explain(str(error))}",
            next_step="compare it with a recipe of `scanside recipes`",
        ) from error
    except ValueError as error:  # TOML's own grammar
        raise RecipeError(
            f"{name} is no valid TOML: {error}",
            next_step="compare it with a recipe of `scanside recipes`",
        ) from error


def _explain(message: str) -> str:
    """msgspec's message; for an unknown key, with the nearest right one."""
    found = UNKNOWN_KEY.search(message)
    if found is None:
        return message
    place = found["place"] or ""
    where = f" in [{place}]" if place else ""
    near = difflib.get_close_matches(found["key"], _keys(Recipe), 1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"there is no key {found['key']!r}{where}{hint}"


def _keys(kind: object) -> set[str]:
    """Every key of a struct and of the structs within it."""
    found: set[str] = set()
    todo: list[object] = [msgspec.inspect.type_info(kind)]
    while todo:
        one = todo.pop()
        if isinstance(one, msgspec.inspect.StructType):
            for field in one.fields:
                found.add(field.encode_name)
                todo.append(field.type)
        elif isinstance(one, msgspec.inspect.UnionType):
            todo += one.types
    return found

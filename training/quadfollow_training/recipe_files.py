"""Recipes from files: whatever JSON tells of one under ``recipe`` can be trained by again.

That is a run's ``config.json``, a result of the study and the outcome of a search.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from quadfollow_core.errors import BadInput, NotFound
from quadfollow_training.batches import Shares
from quadfollow_training.fcn import Spec
from quadfollow_training.recipes import Recipe, find_recipe

MALFORMED = (ValueError, TypeError, AttributeError, LookupError)
"""What reading a recipe ends in where something else is told in its place."""


def choose_recipe(name: str) -> Recipe:
    """A recipe by its name, or from a ``.json`` file.

    Raises:
        NotFound: there is none of that name, or no such file.
        BadInput: the file tells of no recipe that this version understands.
    """
    return read_recipe(Path(name)) if name.endswith(".json") else find_recipe(name)


def read_recipe(path: Path) -> Recipe:
    """Read the recipe that a JSON file tells of; see :func:`choose_recipe` for the errors."""
    if not path.is_file():
        raise NotFound(f"no recipe at {path}")
    try:
        return recipe_from(json.loads(path.read_text(encoding="utf-8"))["recipe"])
    except MALFORMED as error:
        raise BadInput(
            f"{path} tells of no recipe of this version ({error}): give a run's config.json, a study's result or a "
            "search's tuning.json"
        ) from error


def recipe_from(values: dict[str, Any]) -> Recipe:
    """Make a recipe from what :meth:`Recipe.as_dict` gave, by way of JSON."""
    plain = {name: _tuples(value) for name, value in values.items()}
    return Recipe(**plain | {"spec": spec_from(values["spec"]), "shares": Shares(**values["shares"])})


def spec_from(values: dict[str, Any]) -> Spec:
    """Make a recipe's specification of its network, likewise."""
    return Spec(**{name: _tuples(value) for name, value in values.items()})


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value

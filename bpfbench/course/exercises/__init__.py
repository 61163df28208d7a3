"""The exercises, by area; each file ends with its list."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bpfbench.course.exercise import Exercise

AREAS: Final = ("ranges",)
_found: dict[str, Exercise] = {}


def all_exercises() -> dict[str, Exercise]:
    """Name -> exercise, in the order of the areas."""
    if not _found:
        for area in AREAS:
            module = importlib.import_module(f"bpfbench.course.exercises.{area}")
            _found.update({ex.name: ex for ex in module.EXERCISES})
    return _found

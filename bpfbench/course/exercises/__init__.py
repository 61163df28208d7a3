"""The exercises, by area; each file ends with its list."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bpfbench.course.exercise import Exercise

AREAS: Final = ("hello", "selftests", "ranges", "flow", "graphs", "liveness", "walk", "precision",
                "memory", "programs", "rewriting", "machines", "targets", "offload", "binaries",
                "exploits", "objects", "costs", "formats", "libraries", "research")
_found: dict[str, Exercise] = {}


def all_exercises() -> dict[str, Exercise]:
    """Name -> exercise, in the order of the areas."""
    if not _found:
        for name in [f"{__name__}.{area}" for area in AREAS]:
            if importlib.util.find_spec(name) is None:
                continue
            module = importlib.import_module(name)
            _found.update({ex.name: ex for ex in module.EXERCISES})
    return _found

"""The engine from its sources, also where `make compile` has put native code beside them.

Compiled code cannot be exchanged, and an exercise is a function of the engine exchanged.  So once `bpfbench.course` is
imported, modules of bpfbench that are not loaded yet are loaded from their `.py` files.  Import it before anything is
verified: what is loaded already stays as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import final


@final
class Sources:
    """Finds `package.module` as `module.py` in the package's folder; packages are found as always."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if not name.startswith("bpfbench.") or path is None:
            return None
        for folder in path:
            file = Path(folder) / f"{name.rpartition('.')[2]}.py"
            if file.is_file():
                return spec_from_file_location(name, file)
        return None


def prefer_sources() -> None:
    """From now on in this process."""
    if Sources not in sys.meta_path:
        sys.meta_path.insert(0, Sources)

"""Exercises exchange functions of the engine, so it has to come from its sources, also where it is compiled.

Where other tests have loaded it compiled before, test_plug.py is left; `make test-compiled` runs this folder by itself.
"""

from __future__ import annotations

from pathlib import Path
from types import FunctionType

import bpfbench.course  # noqa: F401  first: from now on modules are loaded from their sources
from bpfbench.verifier import tnum

collect_ignore: list[str] = []
if not isinstance(tnum.add, FunctionType):
    collect_ignore += [path.name for path in Path(__file__).parent.glob("test_*.py") if path.name != "test_plug.py"]

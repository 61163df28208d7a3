"""Exercises exchange functions of the engine, which compiled modules do not allow: then only test_plug.py is left."""

from __future__ import annotations

from pathlib import Path
from types import FunctionType

from bpfbench.verifier import tnum

collect_ignore: list[str] = []
if not isinstance(tnum.add, FunctionType):
    collect_ignore += [path.name for path in Path(__file__).parent.glob("test_*.py") if path.name != "test_plug.py"]

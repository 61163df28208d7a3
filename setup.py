"""Build bpfbench: pure Python, or with its hot modules compiled.

    pip install .                          pure Python
    BPFBENCH_COMPILE=1 pip install .       the modules named in pyproject.toml, [tool.bpfbench], compiled with mypyc
    make compile                           the same in this checkout, beside the sources (`make uncompile` undoes it)

Everything is correct and complete uncompiled; compiling only makes it faster.
"""

import os
import tomllib
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent


def compiled_modules() -> list[str]:
    """The files that the patterns of pyproject.toml name, less those it excludes."""
    table = tomllib.loads((HERE / "pyproject.toml").read_text())["tool"]["bpfbench"]
    excluded = {path for pattern in table["interpreted"] for path in HERE.glob(pattern)}
    chosen = {path for pattern in table["compiled"] for path in HERE.glob(pattern)}
    return sorted(str(path.relative_to(HERE)) for path in chosen - excluded if path.name != "__init__.py")


def extensions() -> list[object]:
    if os.environ.get("BPFBENCH_COMPILE") != "1":
        return []
    try:
        from mypyc.build import mypycify
    except ImportError:
        raise SystemExit("BPFBENCH_COMPILE=1 needs mypy: pip install mypy") from None
    level = os.environ.get("BPFBENCH_COMPILE_LEVEL", "1")      # of the C compiler; higher gains little
    return list(mypycify(["--strict", *compiled_modules()], opt_level=level, debug_level="0", group_name="bpfbench_native"))


setup(ext_modules=extensions())

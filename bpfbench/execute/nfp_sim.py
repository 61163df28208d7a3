"""The NFP engine: refuses with one clear line, because there is no simulator of the micro-engine yet."""

from __future__ import annotations

from bpfbench.errors import NotSupported
from bpfbench.interp import Result
from bpfbench.program.program import Program


def run(prog: Program, data: bytes = b"", **options: object) -> Result:
    """Raise NotSupported: the machine's words can be read and written, but not executed."""
    raise NotSupported(f"NFP simulator: program {prog.name or 'without a name'} cannot be executed on the micro-engine")

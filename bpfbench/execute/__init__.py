"""Run a program on any engine, with one call and one kind of result.

    interp             the interpreter (interp/machine.py)
    native             native code on this host, in a child process (native.py)
    emulate:<target>   native code of another machine under Unicorn (emulate.py)
    nfp                the NFP simulator (nfp_sim.py)
"""

from __future__ import annotations

import importlib
from typing import Any

from bpfbench.errors import NotSupported, UsageError
from bpfbench.interp.machine import Result
from bpfbench.interp.machine import run as interpret
from bpfbench.program.program import Program

EMULATED = ("x86_64", "aarch64", "arm", "mips64", "ppc64", "riscv64")
ENGINES = ("interp", "native", *(f"emulate:{target}" for target in EMULATED), "nfp")


def run(prog: Program, data: Any = b"", engine: str = "interp", **options: Any) -> Result:
    """Run `prog` on `data` (packet, or context bytes) with an engine of `ENGINES`.

    `options` are those of the engine; all take `ctx` and `maps` as `interp.run` does.

    >>> from bpfbench.program.program import from_assembly
    >>> run(from_assembly("r0 = 2\\nexit")).r0
    2
    """
    name, _, target = engine.partition(":")
    if engine == "interp":
        return interpret(prog, data, **options)
    if engine == "native":
        from bpfbench.execute.native import run as run_native

        return run_native(prog, data, **options)
    if name == "emulate" and target in EMULATED:
        from bpfbench.execute.emulate import run as run_emulated

        return run_emulated(prog, data, target, **options)
    if engine == "nfp":
        try:
            simulator: Any = importlib.import_module("bpfbench.execute.nfp_sim")
        except ModuleNotFoundError:
            raise NotSupported("engine nfp: there is no NFP simulator in this build") from None
        result: Result = simulator.run(prog, data, **options)
        return result
    raise UsageError(f"unknown engine {engine!r}; there are: {', '.join(ENGINES)}")

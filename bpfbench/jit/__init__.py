"""Code generation: one frame, seven machines, each held byte for byte to what its Linux JIT emits.

    frame     sweeps a function, one target method per instruction      target    what a target has to say
    link      functions to an image, relocations                        code      the result: image, spans, relocations
    layout    the stack frame as data                                   facts     what a verifier tells a JIT
    features  processor and configuration switches                      targets   the machines by name
    x64 a64 rv64 a32 mips64 ppc64                                       the targets, in one method order

`bb.jit(prog)` and `bpfbench.jit.compile_program(prog)` are the same function: this module can be called.
"""

from __future__ import annotations

import sys
import types
from typing import Any

from bpfbench.jit.code import Code, Region, Relocation, Span
from bpfbench.jit.compile import compile_program, jit_record
from bpfbench.jit.facts import Facts
from bpfbench.jit.targets import TARGETS

__all__ = ["TARGETS", "Code", "Facts", "Region", "Relocation", "Span", "compile_program", "jit_record"]


class _CallableModule(types.ModuleType):
    """`bpfbench.jit` is a subpackage and also a function of the public interface; importing the former would hide the
    latter, so the module answers calls itself."""

    def __call__(self, *args: Any, **options: Any) -> Code:
        return compile_program(*args, **options)


sys.modules[__name__].__class__ = _CallableModule

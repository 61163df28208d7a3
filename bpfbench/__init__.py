"""bpfbench: a workbench that opens up the eBPF JIT compiler.

    import bpfbench as bb
    obj  = bb.load("datasets/xdp_firewall.o")          # ELF -> Object
    prog = bb.assemble("r0 = 2\\nexit", type="xdp")     # text -> Program
    v    = bb.verify(prog)                             # the Linux path walk, step by step
    code = bb.jit(prog, target="aarch64")              # what Linux would emit
    out  = bb.run(prog, data=b"...")                   # r0, packet, maps

Heavy parts are imported when first used, so `import bpfbench` stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bpfbench.errors import BpfbenchError, NotSupported, UsageError, Where
from bpfbench.isa.insn import Instruction
from bpfbench.program.program import MapSpec, Program

if TYPE_CHECKING:
    from bpfbench import kernel as kernel

__version__ = "0.1.0"
__all__ = [
    "BpfbenchError", "Instruction", "MapSpec", "NotSupported", "Program", "UsageError", "Where", "assemble", "cfg",
    "compile_c", "jit", "jumptables", "kernel", "listing", "load", "run", "verify", "verify_static",
]  # fmt: skip


def assemble(text: str, type: str = "xdp", name: str = "prog", license: str = "GPL") -> Program:
    """Assembly text to a program; see `isa/assembler.py` for the grammar.

    >>> assemble("r0 = 2\\nexit")
    Program(prog, xdp, 2 slots, 0 maps)
    """
    from bpfbench.program.program import from_assembly

    return from_assembly(text, type, name, license)


def load(path: Any, btf: Any = None) -> Any:
    """An ELF object with BPF programs (path or bytes) as an `elf.Object`."""
    from bpfbench.elf.loader import load as load_object

    return load_object(path) if btf is None else load_object(path, btf)


def compile_c(source: str, **options: Any) -> Any:
    """C source (text, or the path of a .c file) to an `elf.Object`; see `toolchain/clang.py`."""
    from bpfbench.toolchain.clang import compile_c as compile_source

    return compile_source(source, **options)


def cfg(prog: Program) -> Any:
    """The control-flow graph of a program: blocks, dominators, loops, function partition."""
    from bpfbench.program.cfg import build

    return build(prog)


def verify(prog: Program, kernel: str = "linux-6.18", privileged: bool = True, trace: bool = False,
           without: tuple[str, ...] = (), kernel_btf: Any = None) -> Any:  # fmt: skip
    """Walk the program as that kernel's verifier does; returns a `Verification`, also for a rejected program.

    `kernel_btf` (a path, bytes or a `Btf`) names the types that calls of kernel functions refer to.
    """
    from bpfbench.verifier.verification import verify as walk

    return walk(prog, kernel=kernel, privileged=privileged, trace=trace, without=without, kernel_btf=kernel_btf)


def verify_static(prog: Program, privileged: bool = True, beyond: tuple[str, ...] = ()) -> Any:
    """Verify by abstract interpretation over the control-flow graph; returns a `FixpointVerification`."""
    from bpfbench.fixpoint.verify import verify_static as analyse

    return analyse(prog, privileged, beyond)


def jit(prog: Program, target: str = "x86_64", kernel: str = "linux-6.18", **options: Any) -> Any:
    """Native code as that kernel's JIT emits it, as a `jit.Code`."""
    from bpfbench.jit import compile_program

    return compile_program(prog, target=target, kernel=kernel, **options)


def listing(prog: Program, targets: Any = "all", **options: Any) -> Any:
    """Each BPF instruction with its native instructions on every target, side by side."""
    from bpfbench.jit.listing import listing_all

    return listing_all(prog, targets, **options)


def run(prog: Program, data: Any = b"", engine: str = "interp", **options: Any) -> Any:
    """Run the program on `data` with an engine: interp, native, emulate:<target> or nfp."""
    from bpfbench.execute import run as run_program

    return run_program(prog, data, engine, **options)


def jumptables(path: Any) -> Any:
    """The jump tables of an AArch64 ELF file."""
    from bpfbench.jumptable import recover

    return recover(path)


def __getattr__(name: str) -> Any:
    if name in ("kernel", "isa", "elf", "verifier", "interp", "machine", "execute", "notebook", "jumptable", "nfp",
                "program"):  # fmt: skip
        import importlib

        return importlib.import_module(f"bpfbench.{name}")
    raise AttributeError(f"module 'bpfbench' has no attribute '{name}'")

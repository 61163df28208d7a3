"""What a code-generation target has to say.

A target is a record of data (machine, register map, limits) and the methods below, *in this order* in every target
file.  The frame (`frame.py`) walks the program and calls one method per eBPF instruction; the target appends machine
rows with `emit`.  A default here is what a machine without the feature must do; an override is what it does better.

    passes          how often, and in which order, the function is swept until offsets settle
    prologue epilogue
    mov_reg mov_imm mov_sx mov_wide zext
    alu_reg alu_imm mul_reg mul_imm div_reg div_imm shift_reg shift_imm neg byte_order
    load load_sx store store_imm atomic load_acquire store_release
    jump branch_reg branch_imm call call_local call_kfunc tail_call exit
    nospec percpu addr_cast

Registers are eBPF numbers (0..10, 11 = the kernel's auxiliary register); the target maps them.  `wide` is True for
64-bit operations.  `target` of a jump is a slot of the same function; `self.offsets[slot]` is its address as far as
known: from this pass for slots already swept, from the previous pass for the rest.

Where a kernel's JIT picks one encoding among several, the target picks the same: the code is held, byte for byte, to
`arch/*/net/bpf_jit_comp*.c` of the named kernel.  What differs between kernels or configurations is a feature
(`features.py`) asked for by name.  Slides 35 and 36.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from mypy_extensions import mypyc_attr

from bpfbench.errors import JitError, NotSupported, Where
from bpfbench.isa.insn import Instruction
from bpfbench.jit.code import Relocation
from bpfbench.jit.layout import Layout
from bpfbench.machine.assembler import Assembler
from bpfbench.machine.pattern import Encoding, Machine

#: sweep(parts, dry) runs the named parts, "P" prologue, "B" body, "E" epilogue, in that order; returns the size.
Sweep = Callable[[str, bool], int]


class Unit:
    """One function to compile, and what is known about it.

    `insns`        its slots, counted from 0            `callees`     slot of a local call -> function number
    `index`        its number in the program (0 = main) `start`       its first slot in the program
    `stack_depth`  bytes of BPF stack                   `tail_calls`  a tail call happens in it or below it
    `subprogs`     whether the program has more than one function
    `pokes`        slots of tail calls that the kernel patches directly
    """

    __slots__ = (
        "insns", "callees", "index", "start", "stack_depth", "tail_calls", "zext_inserted", "subprogs", "pokes",
        "private_stack",
    )  # fmt: skip

    def __init__(
        self, insns: list[Instruction | None], callees: dict[int, int] | None = None, index: int = 0, start: int = 0,
        stack_depth: int = 0, tail_calls: bool = False, zext_inserted: bool = False, subprogs: bool = False,
        pokes: Sequence[int] = (), private_stack: bool = False,
    ) -> None:  # fmt: skip
        self.insns = insns
        self.callees: dict[int, int] = callees if callees is not None else {}
        self.index = index
        self.start = start
        self.stack_depth = stack_depth
        self.tail_calls = tail_calls
        self.zext_inserted = zext_inserted
        self.subprogs = subprogs
        self.pokes: list[int] = list(pokes)
        self.private_stack = private_stack


@mypyc_attr(allow_interpreted_subclasses=True)
class Target:
    """A function being compiled for one machine.  One object per function; see the module's text for the contract."""

    name: ClassVar[str] = ""
    machine: ClassVar[Machine]
    max_passes: ClassVar[int] = 20
    #: the machine register that holds r10, "" where memory does
    frame_pointer: ClassVar[str] = ""

    def __init__(self, unit: Unit, features: dict[str, bool], kernel: tuple[int, int]) -> None:
        self.unit = unit
        self.features = features
        self.kernel = kernel
        self.asm = Assembler()
        self.offsets: list[int] = [0] * (len(unit.insns) + 1)
        self.lengths: list[int] = [-1] * len(unit.insns)    # in bytes, of what any sweep would make the same code for
        self.epilogue_at = 0
        self.pc = 0
        self.consumed = 1
        self.again = False                              # second round: callee addresses are known
        self.relocations: list[Relocation] = []
        self.layout = Layout(self.machine.name, self.frame_pointer)
        self.base = 0                                   # address of this function in the image
        self.functions: list[int] = []                  # addresses of all functions in the image, once known
        self.addresses: dict[str, int] = {}             # addresses of kernel symbols, where the caller knows them
        self.sizes: list[int] = []

    # ------------------------------------------------------------------------------------------- what the frame offers
    @property
    def here(self) -> int:
        """Byte address of the next native instruction, from the start of the function."""
        return self.asm.here

    def emit(self, row: Encoding, *operands: int) -> None:
        self.asm.emit(row, operands)

    def has(self, feature: str) -> bool:
        return self.features.get(feature, False)

    def at_least(self, major: int, minor: int) -> bool:
        """Is the kernel this release or a later one?"""
        return self.kernel >= (major, minor)

    def relocate(self, at: int, size: int, kind: str, symbol: str, form: str, addend: int = 0) -> None:
        """`size` bytes at `at` of this function depend on the address of `symbol`."""
        if not self.asm.dry:
            self.relocations.append(Relocation(at, size, kind, symbol, form, addend))

    def distance(self, target: int) -> int:
        """Bytes from the instruction that stands `here` to slot `target`."""
        return self.offsets[target] - self.asm.here

    def next_insn(self) -> Instruction | None:
        """The instruction after the current one."""
        at = self.pc + self.consumed
        return self.unit.insns[at] if at < len(self.unit.insns) else None

    def swallow(self) -> None:
        """The code just emitted also does what the next instruction says; the frame skips it."""
        self.consumed += 1

    def is_last(self) -> bool:
        """Is the current instruction the last one of the function?"""
        return self.pc + self.consumed >= len(self.unit.insns)

    def unsupported(self, what: str) -> NotSupported:
        return NotSupported(f"{what} on target {self.name}", Where(pc=self.unit.start + self.pc))

    # ---------------------------------------------------------------------------------------------------------- passes
    def passes(self, sweep: Sweep) -> None:
        """Sweep until the size stays the same, then once more for the image."""
        before = -1
        for _ in range(self.max_passes):
            size = sweep("PBE", True)
            if size == before:
                break
            before = size
        else:
            raise JitError(f"{self.name}: the image did not settle in {self.max_passes} passes")
        sweep("PBE", False)

    def passes_again(self, sweep: Sweep) -> None:
        """Second round, with the addresses of all functions known (slide 38)."""
        sweep("PBE", False)

    # ------------------------------------------------------------------------------------------- prologue and epilogue
    def prologue(self) -> None:
        """Make the frame: callee-saved registers, stack, frame pointer, tail-call counter."""
        raise NotImplementedError

    def epilogue(self) -> None:
        """Undo the prologue and return."""
        raise NotImplementedError

    # ----------------------------------------------------------------------------------------------------------- moves
    def mov_reg(self, wide: bool, dst: int, src: int) -> None:
        """dst = src, or its lower 32 bits."""
        raise NotImplementedError

    def mov_imm(self, wide: bool, dst: int, imm: int) -> None:
        """dst = imm (s32, sign-extended if wide)."""
        raise NotImplementedError

    def mov_sx(self, wide: bool, bits: int, dst: int, src: int) -> None:
        """dst = the low `bits` of src, sign-extended to 32 or 64."""
        raise self.unsupported("a sign-extending move")

    def mov_wide(self, dst: int, value: int) -> None:
        """dst = value (u64)."""
        raise NotImplementedError

    def mov_address(self, dst: int, kind: str, symbol: str, addend: int) -> None:
        """dst = address of a map, a map's value, a kernel variable or a function."""
        raise self.unsupported(f"the address of a {kind}")

    def zext(self, dst: int, src: int) -> None:
        """dst = lower 32 bits of src: the move that a verifier inserts for machines that need it."""
        self.mov_reg(False, dst, src)

    # ------------------------------------------------------------------------------------------------------ arithmetic
    def alu_reg(self, fn: int, wide: bool, dst: int, src: int) -> None:
        """dst = dst fn src for ADD SUB AND OR XOR."""
        raise NotImplementedError

    def alu_imm(self, fn: int, wide: bool, dst: int, imm: int) -> None:
        raise NotImplementedError

    def mul_reg(self, wide: bool, dst: int, src: int) -> None:
        raise NotImplementedError

    def mul_imm(self, wide: bool, dst: int, imm: int) -> None:
        raise NotImplementedError

    def div_reg(self, fn: int, wide: bool, dst: int, src: int) -> None:
        """fn is DIV, MOD, SDIV or SMOD."""
        raise NotImplementedError

    def div_imm(self, fn: int, wide: bool, dst: int, imm: int) -> None:
        raise NotImplementedError

    def shift_reg(self, fn: int, wide: bool, dst: int, src: int) -> None:
        """fn is LSH, RSH or ARSH."""
        raise NotImplementedError

    def shift_imm(self, fn: int, wide: bool, dst: int, imm: int) -> None:
        raise NotImplementedError

    def neg(self, wide: bool, dst: int) -> None:
        raise NotImplementedError

    def byte_order(self, fn: int, bits: int, dst: int) -> None:
        """fn is LE, BE or BSWAP; clears what is above `bits`."""
        raise NotImplementedError

    # ---------------------------------------------------------------------------------------------------------- memory
    def load(self, size: int, dst: int, src: int, off: int) -> None:
        """dst = size bytes at src + off, zero-extended."""
        raise NotImplementedError

    def load_sx(self, size: int, dst: int, src: int, off: int) -> None:
        raise self.unsupported("a sign-extending load")

    def store(self, size: int, dst: int, off: int, src: int) -> None:
        """size bytes at dst + off = src."""
        raise NotImplementedError

    def store_imm(self, size: int, dst: int, off: int, imm: int) -> None:
        raise NotImplementedError

    def atomic(self, fn: int, size: int, dst: int, off: int, src: int) -> None:
        """Read-modify-write of size (4 or 8) bytes at dst + off; fn is an ATOMIC function of `isa/ops.py`."""
        raise self.unsupported("an atomic operation")

    def load_acquire(self, size: int, dst: int, src: int, off: int) -> None:
        raise self.unsupported("a load-acquire")

    def store_release(self, size: int, dst: int, off: int, src: int) -> None:
        raise self.unsupported("a store-release")

    # --------------------------------------------------------------------------------------------------------- control
    def jump(self, target: int) -> None:
        raise NotImplementedError

    def jump_indirect(self, dst: int) -> None:
        """Go to the native address in dst (gotox)."""
        raise self.unsupported("an indirect jump (gotox)")

    def branch_reg(self, fn: int, wide: bool, dst: int, src: int, target: int) -> None:
        """if dst fn src goto target; fn is JEQ, JGT, …, compared in 64 or 32 bits."""
        raise NotImplementedError

    def branch_imm(self, fn: int, wide: bool, dst: int, imm: int, target: int) -> None:
        raise NotImplementedError

    def call(self, symbol: str) -> None:
        """Call a helper; `symbol` is its name, or "__bpf_call_base+N" in a program the kernel has rewritten."""
        raise NotImplementedError

    def call_local(self, callee: int) -> None:
        """Call function number `callee` of the same program."""
        raise self.unsupported("a bpf-to-bpf call")

    def call_kfunc(self, symbol: str) -> None:
        self.call(symbol)

    def tail_call(self) -> None:
        raise self.unsupported("a tail call")

    def exit(self) -> None:
        """Leave the function: usually a jump to the epilogue, nothing if that follows."""
        raise NotImplementedError

    # --------------------------------------------------------------------------------------------------------- special
    def nospec(self) -> None:
        """Speculation barrier; nothing on machines that need none."""

    def percpu(self, dst: int, src: int) -> None:
        raise self.unsupported("a per-CPU address")

    def addr_cast(self, dst: int, src: int, spaces: int) -> None:
        raise self.unsupported("an address-space cast")

    # --------------------------------------------------------------------------------------------------------- linking
    @classmethod
    def patch(cls, code: bytearray, relocation: Relocation, base: int, value: int) -> None:
        """Write address `value` into the image, which will stand at `base`; JitError if it does not fit."""
        raise NotSupported(f"relocation form '{relocation.form}' on target {cls.name}")

    @classmethod
    def veneer(cls, value: int) -> bytes:
        """Code that jumps to any 64-bit address, for calls whose own reach is shorter; b"" where calls reach all."""
        return b""

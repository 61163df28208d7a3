"""Instructions to steps: each becomes a small function of the registers that returns where to go on.

The interpreter decodes once.  `lower` turns an instruction into a *step*, a closure over its operands: called with the
register list it performs the instruction and returns the slot of the next one.  The run loop is then nothing but

    pc = steps[pc](registers)

A table per group of operations (`LOWER`) names the function that builds the step.  Slots that are no instruction, and
the place after the last, get a step that traps; so do jumps that leave the program, by way of that last place.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, Protocol

from bpfbench.bits import U32_MAX, U64_MAX, s8, s16, s32, sext, u64
from bpfbench.errors import NotSupported, Where
from bpfbench.interp import alu
from bpfbench.interp.helpers import HELPERS
from bpfbench.interp.maps import Map
from bpfbench.interp.memory import Memory
from bpfbench.interp.runtime import Runtime
from bpfbench.interp.trap import ProgramFault
from bpfbench.isa import ops
from bpfbench.isa.helpers import helper_name
from bpfbench.isa.insn import Instruction

Registers = list[int]
Step = Callable[[Registers], int]

TAIL_CALL: Final = 12
IMPORTS: Final = 0x10000               # call numbers from here on: functions of shared libraries (dynlink/)
ADDR_SLOT: Final = 8             # distance between the addresses of two slots of a program's text

_STRUCT: Final = {1: struct.Struct("<B"), 2: struct.Struct("<H"), 4: struct.Struct("<I"), 8: struct.Struct("<Q")}
_MASK: Final = {1: 0xFF, 2: 0xFFFF, 4: U32_MAX, 8: U64_MAX}
_SIGNED: Final = {1: s8, 2: s16, 4: s32}


class Control(Protocol):
    """What steps need of the machine that runs them."""

    runtime: Runtime
    memory: Memory

    def enter(self, target: int, back: int) -> int: ...

    def leave(self) -> int: ...

    def tail_call(self, map_address: int, index: int, go_on: int) -> int: ...

    def may_goto(self) -> bool: ...

    def call_address(self, address: int, back: int) -> int: ...

    def slot_of(self, address: int) -> int: ...

    def packet_load(self, off: int, size: int) -> int | None: ...

    def call_import(self, number: int, back: int) -> int: ...


class Place:
    """Where an instruction stands: its slot, the slots of its program, the program's text address and maps."""

    __slots__ = ("control", "pc", "slots", "text", "maps")

    def __init__(self, control: Control, pc: int, slots: int, text: int, maps: list[Map]) -> None:
        self.control = control
        self.pc = pc
        self.slots = slots
        self.text = text
        self.maps = maps

    def go(self, distance: int) -> int:
        """The slot `distance` from the next one; the place after the last when it is outside."""
        target = self.pc + 1 + distance
        return target if 0 <= target < self.slots else self.slots


def lower(insn: Instruction, place: Place) -> Step:
    """The step of one instruction."""
    if insn.flaw:
        return trap("opcode", insn.flaw)
    build = LOWER.get(insn.kind)
    if build is None:
        return trap("opcode", f"{insn.op.name} has no meaning in a program that is run")
    return build(insn, place)


def trap(kind: str, message: str) -> Step:
    """A step that always faults."""

    def run(r: Registers) -> int:
        raise ProgramFault(kind, message)

    return run


# ---------------------------------------------------------------------------------------------------------- arithmetic
def _alu64(insn: Instruction, place: Place) -> Step:
    fn, d, s, k, following = alu.ALU64[insn.op.fn], insn.dst, insn.src, u64(insn.imm), place.go(0)

    def mov_imm(r: Registers) -> int:
        r[d] = k
        return following

    def mov_reg(r: Registers) -> int:
        r[d] = r[s]
        return following

    def with_imm(r: Registers) -> int:
        r[d] = fn(r[d], k) & 0xFFFF_FFFF_FFFF_FFFF
        return following

    def with_reg(r: Registers) -> int:
        r[d] = fn(r[d], r[s]) & 0xFFFF_FFFF_FFFF_FFFF
        return following

    if insn.op.fn == ops.MOV:
        return mov_imm if insn.op.imm else mov_reg
    return with_imm if insn.op.imm else with_reg


def _alu32(insn: Instruction, place: Place) -> Step:
    fn, d, s, k, following = alu.ALU32[insn.op.fn], insn.dst, insn.src, insn.imm & U32_MAX, place.go(0)

    def with_imm(r: Registers) -> int:
        r[d] = fn(r[d] & 0xFFFF_FFFF, k) & 0xFFFF_FFFF
        return following

    def with_reg(r: Registers) -> int:
        r[d] = fn(r[d] & 0xFFFF_FFFF, r[s] & 0xFFFF_FFFF) & 0xFFFF_FFFF
        return following

    return with_imm if insn.op.imm else with_reg


def _movsx(insn: Instruction, place: Place) -> Step:
    d, s, bits, following = insn.dst, insn.src, insn.op.size, place.go(0)
    mask = U64_MAX if insn.op.fn == 64 else U32_MAX

    def run(r: Registers) -> int:
        r[d] = sext(r[s], bits) & mask
        return following

    return run


def _end(insn: Instruction, place: Place) -> Step:
    d, fn, following = insn.dst, alu.END[(insn.op.fn, insn.op.size)], place.go(0)

    def run(r: Registers) -> int:
        r[d] = fn(r[d])
        return following

    return run


def _zext(insn: Instruction, place: Place) -> Step:
    d, s, following = insn.dst, insn.src, place.go(0)

    def run(r: Registers) -> int:
        r[d] = r[s] & U32_MAX
        return following

    return run


def _nothing(insn: Instruction, place: Place) -> Step:
    following = place.go(0)
    return lambda r: following


# --------------------------------------------------------------------------------------------------------------- jumps
def _jump(insn: Instruction, place: Place) -> Step:
    d, s, taken, following = insn.dst, insn.src, place.go(insn.off), place.go(0)
    if insn.kind == ops.JMP:
        fn, k = alu.JMP64[insn.op.fn], u64(insn.imm)

        def with_imm(r: Registers) -> int:
            return taken if fn(r[d], k) else following

        def with_reg(r: Registers) -> int:
            return taken if fn(r[d], r[s]) else following

        return with_imm if insn.op.imm else with_reg
    fn, k = alu.JMP32[insn.op.fn], insn.imm & U32_MAX

    def with_imm32(r: Registers) -> int:
        return taken if fn(r[d] & 0xFFFF_FFFF, k) else following

    def with_reg32(r: Registers) -> int:
        return taken if fn(r[d] & 0xFFFF_FFFF, r[s] & 0xFFFF_FFFF) else following

    return with_imm32 if insn.op.imm else with_reg32


def _ja(insn: Instruction, place: Place) -> Step:
    target = place.go(insn.jump)
    return lambda r: target


def _may_goto(insn: Instruction, place: Place) -> Step:
    control, taken, following = place.control, place.go(insn.off), place.go(0)
    return lambda r: following if control.may_goto() else taken


def _gotox(insn: Instruction, place: Place) -> Step:
    control, d = place.control, insn.dst
    return lambda r: control.slot_of(r[d])


# --------------------------------------------------------------------------------------------------------------- calls
def _exit(insn: Instruction, place: Place) -> Step:
    control = place.control
    return lambda r: control.leave()


def _call_local(insn: Instruction, place: Place) -> Step:
    control, target, back = place.control, place.go(insn.imm), place.go(0)
    return lambda r: control.enter(target, back)


def _callx(insn: Instruction, place: Place) -> Step:
    control, d, back = place.control, insn.dst, place.go(0)

    def run(r: Registers) -> int:
        row = HELPERS.get(r[d])
        if row is None:
            return control.call_address(r[d], back)
        r[0] = row.fn(control.runtime, *r[1 : 1 + row.args]) & U64_MAX
        return back

    return run


def _call(insn: Instruction, place: Place) -> Step:
    control, following = place.control, place.go(0)
    if insn.imm == TAIL_CALL:
        return lambda r: control.tail_call(r[2], r[3], following)
    if insn.imm >= IMPORTS:
        return lambda r: control.call_import(insn.imm - IMPORTS, following)
    row = HELPERS.get(insn.imm)
    if row is None:
        name = helper_name(insn.imm)
        if not name:
            return trap("call", f"there is no helper number {insn.imm}")
        return _unsupported(f"helper bpf_{name} in the interpreter", place.pc)
    fn, runtime, end = row.fn, control.runtime, 1 + row.args

    def run(r: Registers) -> int:
        r[0] = fn(runtime, *r[1:end]) & 0xFFFF_FFFF_FFFF_FFFF
        return following

    return run


def _unsupported(what: str, pc: int) -> Step:
    def run(r: Registers) -> int:
        raise NotSupported(what, Where(pc=pc))

    return run


def _kfunc(insn: Instruction, place: Place) -> Step:
    return _unsupported(f"kernel function with BTF id {insn.imm} in the interpreter", place.pc)


# -------------------------------------------------------------------------------------------------------------- memory
def _ldx(insn: Instruction, place: Place) -> Step:
    memory, d, s, off, size, following = place.control.memory, insn.dst, insn.src, insn.off, insn.op.size, place.go(0)
    pages, bits, unpack = memory.pages, memory.page_bits, _STRUCT[size].unpack_from

    def run(r: Registers) -> int:
        addr = (r[s] + off) & 0xFFFF_FFFF_FFFF_FFFF
        region = pages.get(addr >> bits)
        if region is None or addr < region.lo or addr + size > region.hi:
            r[d] = memory.load(addr, size)
        else:
            r[d] = unpack(region.buf, addr - region.base)[0]
        return following

    return run


def _ldxs(insn: Instruction, place: Place) -> Step:
    memory, d, s, off, size, following = place.control.memory, insn.dst, insn.src, insn.off, insn.op.size, place.go(0)
    signed = _SIGNED[size]

    def run(r: Registers) -> int:
        r[d] = signed(memory.load((r[s] + off) & U64_MAX, size)) & U64_MAX
        return following

    return run


def _st(insn: Instruction, place: Place) -> Step:
    memory, d, off, size, following = place.control.memory, insn.dst, insn.off, insn.op.size, place.go(0)
    value = insn.imm & _MASK[size]

    def run(r: Registers) -> int:
        memory.store((r[d] + off) & U64_MAX, size, value)
        return following

    return run


def _stx(insn: Instruction, place: Place) -> Step:
    memory, d, s, off, size, following = place.control.memory, insn.dst, insn.src, insn.off, insn.op.size, place.go(0)
    pages, bits, pack, mask = memory.pages, memory.page_bits, _STRUCT[size].pack_into, _MASK[size]

    def run(r: Registers) -> int:
        addr = (r[d] + off) & 0xFFFF_FFFF_FFFF_FFFF
        region = pages.get(addr >> bits)
        if region is None or addr < region.lo or addr + size > region.hi or not region.writable:
            memory.store(addr, size, r[s])
        else:
            pack(region.buf, addr - region.base, r[s] & mask)
        return following

    return run


def _atomic(insn: Instruction, place: Place) -> Step:
    memory, d, s, off, size, following = place.control.memory, insn.dst, insn.src, insn.off, insn.op.size, place.go(0)
    mask = _MASK[size]
    if insn.op.fn == ops.CMPXCHG:

        def cmpxchg(r: Registers) -> int:
            addr = (r[d] + off) & U64_MAX
            old = memory.load(addr, size)
            memory.store(addr, size, r[s] if old == r[0] & mask else old)
            r[0] = old
            return following

        return cmpxchg
    fn, fetch = alu.ATOMIC[insn.op.fn], insn.op.fn & 1

    def run(r: Registers) -> int:
        addr = (r[d] + off) & U64_MAX
        old = memory.load(addr, size)
        memory.store(addr, size, fn(old, r[s] & mask) & mask)
        if fetch:
            r[s] = old
        return following

    return run


def _ld_packet(insn: Instruction, place: Place) -> Step:
    """ld_abs and ld_ind: outside the packet the function ends with 0 (kernel/bpf/verifier.c, check_ld_abs)."""
    control, s, k, size, following = place.control, insn.src, insn.imm, insn.op.size, place.go(0)
    indirect = insn.kind == ops.LD_IND

    def run(r: Registers) -> int:
        value = control.packet_load(s32((r[s] if indirect else 0) + k), size)
        r[0] = value if value is not None else 0
        return following if value is not None else control.leave()

    return run


def _lddw(insn: Instruction, place: Place) -> Step:
    d, following = insn.dst, place.go(1)
    value = _wide(insn, place)
    if isinstance(value, str):
        return _unsupported(value, place.pc) if value.startswith("kernel") else trap("opcode", value)

    def run(r: Registers) -> int:
        r[d] = value
        return following

    return run


def _wide(insn: Instruction, place: Place) -> int | str:
    """What a wide load loads, or why it cannot."""
    fn = insn.op.fn
    if fn == ops.IMM:
        return insn.imm & U64_MAX
    if fn == ops.FUNC:
        return place.text + ADDR_SLOT * place.go(insn.imm)
    if fn == ops.BTF_ID:
        return f"kernel variable with BTF id {insn.imm} in the interpreter"
    if not 0 <= insn.imm < len(place.maps):
        return f"there is no map {insn.imm}"
    target = place.maps[insn.imm]
    return target.address if fn in (ops.MAP_FD, ops.MAP_IDX) else target.direct(insn.imm2 & U32_MAX)


LOWER: Final[dict[int, Callable[[Instruction, Place], Step]]] = {
    ops.ALU64: _alu64, ops.ALU32: _alu32, ops.MOVSX: _movsx, ops.END: _end, ops.ZEXT32: _zext, ops.NOSPEC: _nothing,
    ops.JMP: _jump, ops.JMP32: _jump, ops.JA: _ja, ops.MAY_GOTO: _may_goto, ops.GOTOX: _gotox,
    ops.CALL: _call, ops.CALL_LOCAL: _call_local, ops.CALL_KFUNC: _kfunc, ops.CALLX: _callx, ops.EXIT: _exit,
    ops.LDX: _ldx, ops.LDXS: _ldxs, ops.ST: _st, ops.STX: _stx, ops.ATOMIC: _atomic,
    ops.LOAD_ACQ: _ldx, ops.STORE_REL: _stx, ops.LD_ABS: _ld_packet, ops.LD_IND: _ld_packet, ops.LDDW: _lddw,
}  # fmt: skip

"""What every code generator does the same way: sweep a function, one target method per instruction.

    for each pass:   prologue        offsets[0] = here
                     for each slot:  one method of the target      offsets[slot + 1] = here
                     epilogue

A branch needs the distance to an instruction that may not have been placed yet, so the sweep is repeated: each pass
uses the offsets of the previous one for what lies ahead and its own for what lies behind.  How many passes there are,
and from which first estimate they start, is the target's decision (`Target.passes`), because kernels differ and the
encoding of a branch shows it.  The last pass keeps the instructions, spans and relocations.

Sources: do_jit / bpf_int_jit_compile of arch/*/net; slide 36 (dry run, allocate, prologue, body, epilogue).
"""

from __future__ import annotations

from bpfbench.errors import JitError, MachineError, NotSupported, Where
from bpfbench.isa import ops
from bpfbench.isa.helpers import helper_name
from bpfbench.isa.insn import Instruction
from bpfbench.jit.code import EPILOGUE, PROLOGUE, Span
from bpfbench.jit.facts import TAIL_CALL
from bpfbench.jit.target import Target

DIVISIONS = (ops.DIV, ops.MOD, ops.SDIV, ops.SMOD)
#: Instructions whose code does not depend on where they or others stand.
PLACED_ANYWHERE = (ops.ALU64, ops.ALU32, ops.LDX, ops.ST, ops.STX)
SHIFTS = (ops.LSH, ops.RSH, ops.ARSH)
LDDW_KINDS = {
    ops.MAP_FD: "map", ops.MAP_IDX: "map", ops.MAP_VALUE: "map_value", ops.MAP_IDX_VALUE: "map_value",
    ops.BTF_ID: "variable",
}  # fmt: skip


def compile_function(t: Target, again: bool = False) -> list[Span]:
    """Compile `t.unit`; afterwards `t.asm` holds the code.  `again`: the second round of linking.

    Returns the spans, with addresses from the start of the function and pcs of the whole program.
    """
    spans: list[Span] = []

    def sweep(parts: str, dry: bool) -> int:
        t.asm.restart(dry)
        t.relocations = []
        t.layout.steps.clear()
        t.layout.slots.clear()
        spans.clear()
        for part in parts:
            start = t.asm.here
            if part == "P":
                t.prologue()
                t.offsets[0] = t.asm.here
                spans.append(Span(PROLOGUE, start, t.asm.here, "prologue"))
            elif part == "B":
                body(t, spans)
            else:
                t.epilogue_at = start
                t.epilogue()
                spans.append(Span(EPILOGUE, start, t.asm.here, "epilogue"))
        t.sizes.append(t.asm.here)
        return t.asm.here

    t.again = again
    if again:
        t.passes_again(sweep)
    else:
        t.passes(sweep)
    return [s for s in spans if s.end > s.start]


def body(t: Target, spans: list[Span]) -> None:
    """One sweep over the instructions; a dry one measures arithmetic and memory accesses only the first time."""
    insns = t.unit.insns
    keep = not t.asm.dry
    offsets = t.offsets
    lengths = t.lengths
    pc = 0
    while pc < len(insns):
        insn = insns[pc]
        if insn is None:
            raise JitError("control reaches the second half of a wide load", Where(pc=t.unit.start + pc))
        start = t.asm.here
        known = lengths[pc]
        if known >= 0 and not keep:
            t.asm.here = offsets[pc + 1] = start + known
            pc += 1
            continue
        t.pc = pc
        t.consumed = insn.slots
        try:
            rule = lower(t, insn)
        except MachineError as error:
            place = Where(pc=t.unit.start + pc)
            raise JitError(f"{t.name} cannot encode '{insn.op.name}': {error.message}", place) from None
        for slot in range(pc + 1, pc + t.consumed + 1):
            offsets[slot] = t.asm.here
        if keep:
            spans.append(Span(t.unit.start + pc, start, t.asm.here, rule))
        if insn.kind in PLACED_ANYWHERE and t.consumed == 1:
            lengths[pc] = t.asm.here - start
        pc += t.consumed


def lower(t: Target, insn: Instruction) -> str:
    """Have the target emit one instruction; returns the name of the rule."""
    k = insn.kind
    if k == ops.ALU64 or k == ops.ALU32:
        return arithmetic(t, insn, k == ops.ALU64)
    if ops.LDX <= k <= ops.STORE_REL:
        return memory(t, insn)
    if k == ops.JMP or k == ops.JMP32:
        target = t.pc + 1 + insn.off
        if insn.op.imm:
            t.branch_imm(insn.op.fn, k == ops.JMP, insn.dst, insn.imm, target)
            return "branch_imm"
        t.branch_reg(insn.op.fn, k == ops.JMP, insn.dst, insn.src, target)
        return "branch_reg"
    if k == ops.JA:
        t.jump(t.pc + 1 + insn.jump)
        return "jump"
    if k == ops.GOTOX:
        t.jump_indirect(insn.dst)
        return "jump_indirect"
    if k == ops.EXIT:
        t.exit()
        return "exit"
    if ops.CALL <= k <= ops.CALLX:
        return call(t, insn)
    if k == ops.LDDW:
        return wide_load(t, insn)
    return special(t, insn)


def arithmetic(t: Target, insn: Instruction, wide: bool) -> str:
    fn, dst, src, imm = insn.op.fn, insn.dst, insn.src, insn.imm
    by_imm = insn.op.imm
    if fn == ops.MOV:
        if by_imm:
            t.mov_imm(wide, dst, imm)
            return "mov_imm"
        t.mov_reg(wide, dst, src)
        return "mov_reg"
    if fn in DIVISIONS:
        if by_imm:
            t.div_imm(fn, wide, dst, imm)
            return "div_imm"
        t.div_reg(fn, wide, dst, src)
        return "div_reg"
    if fn in SHIFTS:
        if by_imm:
            t.shift_imm(fn, wide, dst, imm)
            return "shift_imm"
        t.shift_reg(fn, wide, dst, src)
        return "shift_reg"
    if fn == ops.NEG:
        t.neg(wide, dst)
        return "neg"
    if fn == ops.MUL:
        if by_imm:
            t.mul_imm(wide, dst, imm)
            return "mul_imm"
        t.mul_reg(wide, dst, src)
        return "mul_reg"
    if by_imm:
        t.alu_imm(fn, wide, dst, imm)
        return "alu_imm"
    t.alu_reg(fn, wide, dst, src)
    return "alu_reg"


def memory(t: Target, insn: Instruction) -> str:
    k, size = insn.kind, insn.op.size
    if k == ops.LDX:
        t.load(size, insn.dst, insn.src, insn.off)
        return "load"
    if k == ops.LDXS:
        t.load_sx(size, insn.dst, insn.src, insn.off)
        return "load_sx"
    if k == ops.STX:
        t.store(size, insn.dst, insn.off, insn.src)
        return "store"
    if k == ops.ST:
        t.store_imm(size, insn.dst, insn.off, insn.imm)
        return "store_imm"
    if k == ops.ATOMIC:
        t.atomic(insn.op.fn, size, insn.dst, insn.off, insn.src)
        return "atomic"
    if k == ops.LOAD_ACQ:
        t.load_acquire(size, insn.dst, insn.src, insn.off)
        return "load_acquire"
    t.store_release(size, insn.dst, insn.off, insn.src)
    return "store_release"


def call(t: Target, insn: Instruction) -> str:
    k = insn.kind
    if k == ops.CALL_LOCAL:
        t.call_local(t.unit.callees[t.pc])
        return "call_local"
    if k == ops.CALL_KFUNC:
        t.call_kfunc(f"kfunc#{insn.imm}")
        return "call_kfunc"
    if k == ops.CALLX:
        raise t.unsupported("a call through a register")
    if insn.imm == TAIL_CALL:
        t.tail_call()
        return "tail_call"
    t.call(helper_symbol(insn.imm))
    return "call"


def helper_symbol(imm: int) -> str:
    """Name of a helper by its number; in a rewritten program `imm` is the distance from the kernel's call base."""
    return f"bpf_{helper_name(imm)}" if 0 <= imm < 256 else f"__bpf_call_base{imm:+d}"


def wide_load(t: Target, insn: Instruction) -> str:
    fn = insn.op.fn
    if fn == ops.IMM:
        t.mov_wide(insn.dst, insn.imm)
        return "mov_wide"
    if fn == ops.FUNC:
        t.mov_address(insn.dst, "function", f"function#{t.unit.callees[t.pc]}", 0)
    else:
        t.mov_address(insn.dst, LDDW_KINDS[fn], f"{LDDW_KINDS[fn]}#{insn.imm}", insn.imm2)
    return "mov_address"


def special(t: Target, insn: Instruction) -> str:
    k = insn.kind
    if k == ops.ZEXT32:
        t.zext(insn.dst, insn.src)
        return "zext"
    if k == ops.MOVSX:
        t.mov_sx(insn.op.fn == 64, insn.op.size, insn.dst, insn.src)
        return "mov_sx"
    if k == ops.END:
        t.byte_order(insn.op.fn, insn.op.size, insn.dst)
        return "byte_order"
    if k == ops.NOSPEC:
        t.nospec()
        return "nospec"
    if k == ops.PERCPU:
        t.percpu(insn.dst, insn.src)
        return "percpu"
    if k == ops.ADDR_CAST:
        t.addr_cast(insn.dst, insn.src, insn.imm)
        return "addr_cast"
    where = Where(pc=t.unit.start + t.pc)
    if k in (ops.LD_ABS, ops.LD_IND, ops.MAY_GOTO):
        raise NotSupported(f"'{insn.op.name}' in code generation: the kernel rewrites it first", where)
    raise NotSupported(f"'{insn.op.name}' in code generation", where)

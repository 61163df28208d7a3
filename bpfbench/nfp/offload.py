"""What the card cannot do: the driver's own verification, stricter than the kernel's (slide 43).

The kernel's verifier lets the driver look at every instruction on every path.  `refusals` applies the driver's rules to
what a walk collected (gather.py) and returns a message for each instruction that breaks one; `check` raises the first.

Source: the driver's bpf/verifier.c, the function in the table's last column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, final

from bpfbench.errors import NotSupported, Where
from bpfbench.isa import ops
from bpfbench.isa.helpers import helper_name
from bpfbench.isa.insn import Instruction
from bpfbench.nfp.cells import conflicts
from bpfbench.nfp.gather import Gatherer
from bpfbench.nfp.notes import Device, Note
from bpfbench.program.program import Program
from bpfbench.verifier.verification import Verification

U32: Final = 0xFFFFFFFF
STACK_LIMIT: Final = 512        # bytes of local memory for the frames of one chain of calls
FRAME: Final = 64
TC_CODES: Final = (2, 4, 5)
HELPERS: Final = (1, 2, 3, 7, 25, 44, 65)
ACCESSIBLE: Final = {"ctx", "stack", "map_value", "packet"}
XDP_CONTEXT: Final = {0, 4}
TC_CONTEXT: Final = {0, 76, 80}
QUEUE_INDEX: Final = 16


@final
class Refusal:
    """Rule `rule` refuses the instruction at `pc` with `message`."""

    __slots__ = ("pc", "rule", "message")

    def __init__(self, pc: int, rule: str, message: str) -> None:
        self.pc = pc
        self.rule = rule
        self.message = message

    def __repr__(self) -> str:
        return f"<{self.rule} at {self.pc}: {self.message}>"


@final
class Case:
    """One instruction, and all that is known about it."""

    __slots__ = ("pc", "insn", "note", "watch", "device", "program", "ours")

    def __init__(
        self, pc: int, insn: Instruction, watch: Gatherer, device: Device, program: Program, ours: bool = False
    ) -> None:
        self.pc = pc
        self.insn = insn
        self.note: Note = watch.notes[pc]
        self.watch = watch
        self.device = device
        self.program = program
        self.ours = ours


def operation(c: Case) -> str:
    k, op = c.insn.kind, c.insn.op
    if c.ours and k in (ops.ALU64, ops.ALU32) and op.fn == ops.MOD and op.imm:
        return ""
    if k in (ops.ALU64, ops.ALU32) and op.fn in (ops.MOD, ops.SMOD, ops.SDIV) or k == ops.END and op.fn != ops.BE:
        return f"instruction {op.name} not supported"
    known = (ops.ALU64, ops.ALU32, ops.END, ops.JMP, ops.JMP32, ops.JA, ops.CALL, ops.CALL_LOCAL, ops.EXIT, ops.LDX, ops.ST,
             ops.STX, ops.ATOMIC, ops.LD_ABS, ops.LD_IND, ops.LDDW)  # fmt: skip
    if k not in known or k == ops.LDDW and op.fn not in (ops.IMM, ops.MAP_FD, ops.MAP_IDX):
        return f"instruction {op.name} not supported"
    return ""


def pointer(c: Case) -> str:
    if c.insn.kind not in (ops.LDX, ops.ST, ops.STX, ops.ATOMIC):
        return ""
    classes = c.watch.classes.get(c.pc, set())
    if len(classes) > 1:
        return f"pointer type differs between paths: {', '.join(sorted(classes))}"
    if not classes <= ACCESSIBLE:
        return f"unsupported pointer type: {', '.join(classes)}"
    if c.note.ptr == "stack":
        values = c.watch.values[c.pc]
        if any(reg.scalar.m for reg in values):
            return "variable pointer to the stack"
        if len({(reg.off + reg.scalar.v) & 3 for reg in values}) > 1:
            return "stack pointer changes alignment between paths"
    if c.note.ptr == "map_value" and any(reg.scalar.m for reg in c.watch.values[c.pc]):
        return "variable offset into a map value"
    return ""


def stores(c: Case) -> str:
    k, ptr = c.insn.kind, c.note.ptr
    if k in (ops.ST, ops.STX) and ptr == "map_value":
        return "map writes not supported"
    if k == ops.ST and ptr in ("stack", "ctx"):
        return f"store of a constant to the {ptr} not supported"
    if k == ops.STX and ptr == "ctx":
        if not c.device.xdp or c.insn.off != QUEUE_INDEX or c.insn.op.size != 4:
            return f"store to the context at offset {c.insn.off} not supported"
    return ""


def context(c: Case) -> str:
    if c.insn.kind == ops.LDX and c.note.ptr == "ctx":
        if c.insn.op.size != 4 or c.insn.off not in (XDP_CONTEXT if c.device.xdp else TC_CONTEXT):
            return f"load of {c.insn.op.size} bytes of the context at offset {c.insn.off} not supported"
    return ""


def atomics(c: Case) -> str:
    if c.insn.kind != ops.ATOMIC:
        return ""
    if c.insn.op.fn != ops.A_ADD:
        return f"atomic operation {c.insn.op.id} not implemented"
    return "" if c.note.ptr == "map_value" else f"atomic add to the {c.note.ptr}: only to map values"


def arithmetic(c: Case) -> str:
    insn, note = c.insn, c.note
    if insn.kind not in (ops.ALU64, ops.ALU32) or insn.op.fn not in (ops.MUL, ops.DIV, ops.MOD):
        return ""
    if c.ours and insn.kind == ops.ALU32:           # looks at lower halves only, whatever is above
        constant = insn.op.fn == ops.MUL or insn.op.imm or note.amount is not None
        return "" if constant else "divisor is not constant"
    name = "multiplication" if insn.op.fn == ops.MUL else "division"
    if note.dst_max > U32:
        return f"{name}: {'multiplicand' if insn.op.fn == ops.MUL else 'dividend'} is not within 32 bits"
    if not insn.op.imm and note.src_max > U32:
        return f"{name}: {'multiplier' if insn.op.fn == ops.MUL else 'divisor'} is not within 32 bits"
    if insn.op.imm and insn.imm < 0 and (insn.kind == ops.ALU64 or insn.op.fn != ops.MUL):
        return f"{name} by a negative constant"
    if insn.op.fn == ops.DIV and not insn.op.imm and note.amount is None:
        return "divisor is not constant"
    return ""


def helpers(c: Case) -> str:
    if c.insn.kind != ops.CALL:
        return ""
    number, note = c.insn.imm, c.note
    if number not in HELPERS:
        return f"unsupported function: {helper_name(number)}"
    if number in (1, 2, 3):
        if c.watch.classes.get(c.pc) != {"stack"}:
            return f"{helper_name(number)}: key is not on the stack"
        if (note.key_off or 0) % 4:
            return f"{helper_name(number)}: key at stack offset {note.key_off} is not aligned to 4 bytes"
    if number == 25:
        if any(not reg.is_const or reg.scalar.v & U32 != U32 for reg in c.watch.values.get(c.pc, [])):
            return "perf_event_output: flags must be BPF_F_CURRENT_CPU"
        if c.watch.classes[c.pc] - {"scalar", "stack", "map_value", "packet"} or len(c.watch.classes[c.pc]) > 1:
            return "perf_event_output: class of the data pointer is not supported"
    return ""


def classic(c: Case) -> str:
    if c.insn.kind in (ops.LD_ABS, ops.LD_IND) and not 0 <= c.insn.imm <= 0xFFFF:
        return f"packet offset {c.insn.imm} not supported"
    return ""


def exits(c: Case) -> str:
    """The verdict of a TC program has to be known (only for the program itself; the driver asks its functions too)."""
    if c.insn.kind != ops.EXIT or c.device.xdp or c.note.subprog:
        return ""
    for reg in c.watch.values.get(c.pc, []):
        if not reg.is_const:
            return "unsupported exit state: R0 is not a known constant"
        if reg.scalar.v <= 7 and reg.scalar.v not in TC_CODES:
            return f"unsupported exit state: verdict {reg.scalar.v}"
    return ""


# fmt: off
#      code           rule         function of the driver
RULES: Final[tuple[tuple[str, Callable[[Case], str], str], ...]] = (
    ("opcode",        operation,   "nfp_verify_insn"),
    ("pointer",       pointer,     "nfp_bpf_check_ptr"),
    ("store",         stores,      "nfp_bpf_check_store"),
    ("context",       context,     "mem_ldx_xdp, mem_ldx_skb"),
    ("atomic",        atomics,     "nfp_bpf_check_atomic"),
    ("mul_div",       arithmetic,  "nfp_bpf_check_alu"),
    ("helper",        helpers,     "nfp_bpf_check_helper_call"),
    ("packet_offset", classic,     "construct_data_ld"),
    ("exit",          exits,       "nfp_bpf_check_exit"),
)
# fmt: on


def refusals(
    program: Program, watch: Gatherer, device: Device, found: Verification, ours: bool = False
) -> Iterator[Refusal]:
    """What breaks a rule; with `ours` only what our own code generator cannot do either."""
    if program.type not in ("xdp", "sched_cls"):
        yield Refusal(0, "type", f"programs of type {program.type} are not offloaded")
        return
    for pc in sorted(watch.seen):
        insn = program.insns[pc]
        if insn is None:
            continue
        case = Case(pc, insn, watch, device, program, ours)
        for rule, apply, _ in RULES:
            message = apply(case)
            if message:
                yield Refusal(pc, rule, message)
                break
    for pc, message in conflicts(program, watch, ours):
        yield Refusal(pc, "map_use", message)
    depth = deepest(program, device)
    if depth > STACK_LIMIT:
        yield Refusal(0, "stack", f"stack of {depth} bytes over the deepest chain of calls, the card has {STACK_LIMIT}")


def deepest(program: Program, device: Device) -> int:
    """Bytes of local memory: every frame of a chain of calls rounded up to 64."""
    insns = program.insns
    starts = sorted({0} | {pc + 1 + i.imm for pc, i in enumerate(insns) if i is not None and i.kind == ops.CALL_LOCAL})
    ends = starts[1:] + [len(insns)]

    def below(number: int, level: int) -> int:
        own = (device.depths[number] + FRAME - 1) // FRAME * FRAME if number < len(device.depths) else 0
        if level > 8:
            return own
        deeper = [0]
        for pc in range(starts[number], ends[number]):
            insn = insns[pc]
            if insn is not None and insn.kind == ops.CALL_LOCAL:
                deeper.append(below(starts.index(pc + 1 + insn.imm), level + 1))
        return own + max(deeper)

    return below(0, 0)


def check(program: Program, watch: Gatherer, device: Device, found: Verification, ours: bool = False) -> None:
    """Raise NotSupported for the first instruction that the card cannot execute."""
    for refusal in refusals(program, watch, device, found, ours):
        raise NotSupported(f"offload to the NFP: {refusal.message}", Where(pc=refusal.pc))

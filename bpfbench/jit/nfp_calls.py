"""Calls: to the firmware, to functions of the program, and out of it.

The return address travels in a register, because the micro-engine has no stack: the firmware returns to gprB_0, a
function of the program to gprA_21, which it saves in the first word of its frame.

    frame in local memory (64-byte aligned)    | return PC | R6 .. R9, if written | locals ... |
                                        gprA_22 ^ = LM pointer 0

Source: `helper_call`, `bpf_to_bpf_call`, `adjust_head`, `nfp_outro_*` of the driver's bpf/jit.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bpfbench.isa import ops
from bpfbench.jit import nfp_link
from bpfbench.jit.nfp_emit import PACKET_LENGTH, STACK, TEMP_A, TEMP_B, Label, Writer, a, b, both

if TYPE_CHECKING:
    from bpfbench.jit.nfp import Generator
    from bpfbench.nfp.notes import Step

LOOKUP, UPDATE, DELETE, RANDOM, EVENT, ADJUST_HEAD, ADJUST_TAIL = 1, 2, 3, 7, 25, 44, 65
POINTER_CLASS: Final = {"": 1, "scalar": 1, "map_value": 4, "stack": 6, "packet": 8}
EINVAL: Final = -22
ETHERNET: Final = 14
FRAME_ALIGN: Final = 64


def up(value: int, to: int) -> int:
    return (value + to - 1) // to * to


def helper(g: Generator, s: Step) -> None:
    number = s.insn.imm
    if number in (LOOKUP, UPDATE, DELETE):
        map_helper(g, s, number)
    elif number == EVENT:
        g.w.leave(nfp_link.HELPER, defer=2, helper=EVENT)
        g.w.mov(a(1), f"{POINTER_CLASS[s.note.data_ptr]:#x}")
        return_address(g.w, b(0))
    elif number == RANDOM:
        g.w.emit("local_csr_rd[PseudoRndNum]")
        result(g.w, 0, s.wide)
    elif number == ADJUST_HEAD:
        adjust_head(g, s)
    elif number == ADJUST_TAIL:
        adjust_tail(g, s)
    else:
        raise g.unsupported(s, f"helper {number}")


def result(w: Writer, value: int, wide: bool) -> None:
    w.const(both(0), value)
    if wide:
        w.const(both(1), value >> 32)


def return_address(w: Writer, register: str) -> None:
    """The word after this one, once the image has its place."""
    w.emit(f"immed[{register}, {w.here + 1:#x}]", nfp_link.IMMED_REL)


def map_helper(g: Generator, s: Step, number: int) -> None:
    """The key is where LM pointer 0 points: at the start of the frame nothing has to be set."""
    w, note = g.w, s.note
    moved = note.key_varies or note.key_off is None or g.depth + note.key_off != 0 or note.foreign and not g.driver
    if moved:
        w.emit(f"local_csr_wr[ActLMAddr0, {b(4)}]")
    if number == UPDATE:
        w.emit(f"local_csr_wr[ActLMAddr2, {b(6)}]")
    w.leave(nfp_link.HELPER, defer=2, helper=number)
    w.mov(a(0), a(2))
    return_address(w, b(0))
    if moved:
        w.emit(f"local_csr_wr[ActLMAddr0, {STACK}]")
        w.nops(3)


def adjust_head(g: Generator, s: Step) -> None:
    w = g.w
    if g.device.single_head == s.pc:
        w.alu("*l$index1[2]", a(4), "+", "*l$index1[2]")
        w.alu(PACKET_LENGTH, PACKET_LENGTH, "-", a(4))
        w.alu("*l$index1", "*l$index1", "-", a(4))
        result(w, 0, s.wide)
        return
    fail, end = Label(), Label()
    w.alu(TEMP_A, a(4), "+16", "*l$index1[2]")
    w.alu("--", TEMP_A, "-", w.operand(g.device.head_min))
    w.branch("bcc", fail)
    w.alu("--", w.operand(g.device.head_max), "-", TEMP_A)
    w.branch("bcc", fail)
    w.alu(TEMP_B, PACKET_LENGTH, "-", a(4))
    w.alu("--", TEMP_B, "-", f"{ETHERNET:#x}")
    w.branch("bmi", fail)
    result(w, 0, s.wide)
    w.field("*l$index1[2]", 0b0011, TEMP_A)
    w.branch("br", end, defer=2)
    w.alu(PACKET_LENGTH, PACKET_LENGTH, "-", a(4))
    w.alu("*l$index1", "*l$index1", "-", a(4))
    w.bind(fail)
    result(w, EINVAL, s.wide)
    w.bind(end)


def adjust_tail(g: Generator, s: Step) -> None:
    w, fail, end = g.w, Label(), Label()
    w.alu(TEMP_A, PACKET_LENGTH, "+", a(4))
    w.branch("bcc", fail)
    w.alu("--", TEMP_A, "-", f"{ETHERNET:#x}")
    w.branch("bmi", fail)
    w.alu(PACKET_LENGTH, PACKET_LENGTH, "+", a(4))
    w.alu("*l$index1", "*l$index1", "+", a(4))
    w.branch("br", end, defer=1 + s.wide)
    result(w, 0, s.wide)
    w.bind(fail)
    result(w, EINVAL, s.wide)
    w.bind(end)


# ------------------------------------------------------------------------------------------------ functions of the program
def local(g: Generator, s: Step) -> None:
    """Move the frame on, go there with the return address, move the frame back."""
    w, target = g.w, s.pc + 1 + s.insn.imm
    step = up(g.device.depths[g.function], FRAME_ALIGN)
    if step:
        w.alu(STACK, STACK, "+", w.operand(step))
        w.emit(f"local_csr_wr[ActLMAddr0, {STACK}]")
    if g.device.saves[g.numbers[target]]:
        w.leave(nfp_link.GO_PUSH, defer=2)
        g.addresses.append((w.here, target))
        w.emit(f"immed[{TEMP_B}, 0x0]", nfp_link.IMMED_REL)
    else:
        g.to(target, "br", defer=1)
    return_address(w, TEMP_A)
    if step:
        w.alu(STACK, STACK, "-", w.operand(step))
        w.emit(f"local_csr_wr[ActLMAddr0, {STACK}]")
        w.nops(3)


def leave(g: Generator, s: Step) -> None:
    if not g.function:
        g.w.leave(nfp_link.GO_OUT)
    elif g.device.saves[g.function]:
        g.w.leave(nfp_link.GO_POP, defer=1)
        g.w.mov(TEMP_A, "*l$index0")
    else:
        g.w.mov(TEMP_A, "*l$index0")
        g.w.emit(f"rtn[{TEMP_A}]")


def push_routine(w: Writer) -> None:
    """R6-R9 into the frame; the last three moves fill the slots of the return."""
    for word in range(1, 9):
        if word == 6:
            w.emit(f"rtn[{TEMP_B}], defer[3]")
        w.mov(f"*l$index0[{word}]", b(11 + word))


def pop_routine(w: Writer) -> None:
    for word in range(1, 9):
        if word == 6:
            w.emit(f"rtn[{TEMP_A}], defer[3]")
        w.mov(both(11 + word), f"*l$index0[{word}]")


# ------------------------------------------------------------------------------------------------------ ways out
def outro_xdp(g: Generator) -> None:
    """R0 chooses a byte of a word: what is done with the packet and which counter counts it."""
    w = g.w
    abort = finish(g, "0x82")
    g.out_at = w.here
    w.alu("--", "0x3", "-", b(0))
    w.branch("bcc", abort)
    w.const(b(2), 0x44112282)
    w.shift(a(1), "--", "B", b(0), "<<3")
    w.amount_of(a(1))
    w.shift(b(2), "0xff", "AND", b(2), ">>indirect")
    w.leave(nfp_link.NEXT_PACKET, defer=2)
    w.mov(a(0), "0x0")
    w.field(a(0), 0b1100, b(2), shift=-16)


def outro_tc(g: Generator) -> None:
    """Direct action: a nibble of each of two words."""
    w = g.w
    abort = finish(g, "0x11")
    g.out_at = w.here
    w.alu("--", "0x7", "-", b(0))
    w.branch("bcc", abort)
    w.mov(a(0), "0x0")
    w.const(b(2), 0x41221211)
    w.const(b(3), 0x41001211)
    w.shift(a(1), "--", "B", b(0), "<<2")
    w.amount_of(a(1))
    w.shift(a(2), "0xf", "AND", b(2), ">>indirect")
    w.amount_of(a(1))
    w.shift(b(2), "0xf", "AND", b(3), ">>indirect")
    w.leave(nfp_link.NEXT_PACKET, defer=2)
    w.shift(b(2), a(2), "OR", b(2), "<<4")
    w.field(a(0), 0b1100, b(2), shift=-16)


def finish(g: Generator, code: str) -> Label:
    """The exit for aborted packets."""
    w, abort = g.w, Label()
    g.abort_at = w.here
    w.bind(abort)
    w.leave(nfp_link.NEXT_PACKET, defer=2)
    w.mov(a(0), "0x0")
    w.field(a(0), 0b1100, code, shift=-16)
    return abort


CALLS: Final = {ops.CALL: helper, ops.CALL_LOCAL: local, ops.EXIT: leave}

"""Loads and stores: context, packet, map values, the stack in local memory, atomic additions.

    context    words of the packet vector, *l$index1[n]              stack    *l$index0[n], the frame's first 64 bytes,
    packet     mem[read32_swap, ...] into transfer registers                   or *l$index3 set for this access
    map value  the same with an address of 40 bits

Source: `mem_ldx*`, `mem_stx*`, `mem_op_stack`, `mem_xadd`, `construct_data_*` of the driver's bpf/jit.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from bpfbench.isa import ops
from bpfbench.jit import nfp_link
from bpfbench.jit.nfp_copy import copy
from bpfbench.jit.nfp_emit import (
    PACKET_LENGTH,
    STACK,
    TEMP_A,
    TEMP_B,
    U32,
    Label,
    Writer,
    a,
    b,
    both,
    map_address,
    words,
    xfer,
)  # fmt: skip

if TYPE_CHECKING:
    from bpfbench.jit.nfp import Generator
    from bpfbench.nfp.notes import Step

#                xdp: offset -> what           tc
CONTEXT: Final = {
    (True, 0): "data", (True, 4): "data_end", (False, 0): "len", (False, 76): "data", (False, 80): "data_end",
}  # fmt: skip
MAX_QUEUES: Final = 64
REACH: Final = 64               # bytes of the frame that pointer 0 reaches
WINDOW: Final = 32              # bytes that a pointer reaches with the offsets of eight-bit operands
SHORT_OFFSETS: Final = 7
IN_FRAME: Final = ["*l$index0", *[f"*l$index0[{word}]" for word in range(1, 16)]]
AT_POINTER: Final = ["*l$index3", *[f"*l$index3[{word}]" for word in range(1, 16)]]
SET_POINTER: Final = f"local_csr_wr[ActLMAddr3, {TEMP_B}]"


def load(g: Generator, s: Step) -> None:
    if s.copy is not None:
        copy(g, s)
    elif s.note.ptr == "ctx":
        context(g, s)
    elif s.note.ptr == "packet" and s.cache is not None:
        cached(g, s)
    elif s.note.ptr == "packet":
        off = g.w.short(s.insn.off)
        fetch(g, s, a(2 * s.insn.src), off)
    elif s.note.ptr == "map_value":
        base, off = map_address(g.w, 2 * s.insn.src, g.w.short(s.insn.off))
        fetch(g, s, f"{off}, <<8", base)
    elif s.note.ptr == "stack":
        stack(g, s, s.insn.dst, s.insn.src)
    else:
        raise g.unsupported(s, f"load through a pointer of class '{s.note.ptr or 'unknown'}'")


def store(g: Generator, s: Step) -> None:
    w, insn, size = g.w, s.insn, s.width
    if s.note.ptr == "ctx" and insn.kind == ops.STX:
        queue_select(g, s)
    elif s.note.ptr == "packet":
        off = w.short(insn.off)
        if insn.kind == ops.STX:
            for word in range(words(size)):
                w.mov(xfer(word), a(2 * insn.src + word))
        else:
            for word in range(words(size)):
                transfer_constant(g, xfer(word), insn.imm >> 32 * word & U32)
        w.command("write8_swap", a(2 * insn.dst), off, size)
    elif s.note.ptr == "stack" and insn.kind == ops.STX:
        stack(g, s, insn.src, insn.dst)
    else:
        raise g.unsupported(s, f"store through a pointer of class '{s.note.ptr or 'unknown'}'")


def transfer_constant(g: Generator, register: str, value: int) -> None:
    """A constant for a memory write.  Half-word immediates would merge with what was read, which the driver overlooks."""
    w = g.w
    if g.driver:
        w.const(register, value)
        return
    before = w.here
    w.const(register, value)
    if w.here - before > 1:
        del w.words[before:]
        w.const(TEMP_A, value)
        w.mov(register, TEMP_A)


# ------------------------------------------------------------------------------------------------------------- context
def context(g: Generator, s: Step) -> None:
    w, d = g.w, 2 * s.insn.dst
    what = CONTEXT.get((g.device.xdp, s.insn.off)) if s.width == 4 else None
    if what is None:
        raise g.unsupported(s, f"load of {s.width} bytes at offset {s.insn.off} of the context")
    if what == "data":
        w.mov(both(d), "*l$index1[2]")
    elif what == "data_end":
        w.alu(both(d), PACKET_LENGTH, "+", "*l$index1[2]")
    else:
        w.mov(both(d), PACKET_LENGTH)
    if s.wide:
        w.const(both(d + 1), 0)


def queue_select(g: Generator, s: Step) -> None:
    """Queue numbers of a byte go into the packet vector, larger ones become the invalid queue."""
    w, r = g.w, 2 * s.insn.src
    if not g.device.xdp or s.insn.off != 16 or s.width != 4:
        raise g.unsupported(s, f"store of {s.width} bytes at offset {s.insn.off} of the context")
    done = Label()
    w.alu("--", a(r), "AND~", "0xff")
    w.branch("beq", done, defer=2)
    w.shift("*l$index1[4]", "*l$index1[4]", "OR", "0x1", "<<4")
    w.field("*l$index1[6]", 0b0001, b(r))
    w.field("*l$index1[6]", 0b0001, f"{MAX_QUEUES:#x}")
    w.bind(done)


# -------------------------------------------------------------------------------------------------- packet, map value
def fetch(g: Generator, s: Step, base: str, off: str) -> None:
    w, d, size = g.w, 2 * s.insn.dst, s.width
    w.command("read32_swap", base, off, words(size))
    take(g, s, d, 0, size)


def take(g: Generator, s: Step, d: int, at: int, size: int) -> None:
    """Bytes `at`.. of what was read into the pair `d`."""
    w, first, shift = g.w, at // 4, at % 4
    if not shift:
        if size < 4:
            w.field(both(d), (1 << size) - 1, xfer(first), clear=True)
        else:
            w.mov(both(d), xfer(first))
        if size == 8:
            if s.wide:
                w.mov(both(d + 1), xfer(first + 1))
        else:
            g.zext(s)
        return
    kept = min(size, 4 - shift)                 # bytes of the first register
    w.field(both(d), (1 << kept) - 1, xfer(first), shift=8 * shift, clear=True)
    rest = min(size, 4) - kept
    if rest:
        w.field(both(d), ((1 << rest) - 1) << kept, xfer(first + 1), shift=-8 * kept)
    if size < 8:
        g.zext(s)
    elif s.wide:
        w.field(both(d + 1), (1 << kept) - 1, xfer(first + 1), shift=8 * shift, clear=True)
        w.field(both(d + 1), ((1 << 4 - kept) - 1) << kept, xfer(first + 2), shift=-8 * kept)


def cached(g: Generator, s: Step) -> None:
    assert s.cache is not None
    w, (start, end) = g.w, s.cache
    if s.reads:
        off, count = w.short(start), words(end - start)
        if end - start > 32:
            w.override(count)
        w.command("read32_swap", a(2 * s.insn.src), off, count, length=count if end - start > 32 else 0)
    take(g, s, 2 * s.insn.dst, s.insn.off - start, s.width)


def classic(g: Generator, s: Step) -> None:
    """LD_ABS and LD_IND: big-endian bytes of the packet, with a check of its length."""
    w, insn, size = g.w, s.insn, s.width
    size = insn.op.fn
    if insn.imm < 0 or insn.imm > 0xFFFF:
        if not g.driver:
            raise g.unsupported(s, f"packet offset {insn.imm}")
    const = insn.imm & 0xFFFF
    if insn.kind == ops.LD_ABS:
        w.alu("--", PACKET_LENGTH, "-", w.operand(const + size, TEMP_A))
        w.leave(nfp_link.GO_ABORT, "bcc")
        off = w.short(const)
    else:
        w.alu(both(21), a(2 * insn.src), "+", w.operand(const))
        if g.driver:                                # an offset just below 2^32 passes: the sum starts again from 0
            w.alu(TEMP_A, TEMP_A, "+", f"{size:#x}")
            w.alu("--", PACKET_LENGTH, "-", TEMP_A)
        else:
            w.alu(TEMP_A, PACKET_LENGTH, "-", f"{size:#x}")
            w.alu("--", TEMP_A, "-", TEMP_B)
        w.leave(nfp_link.GO_ABORT, "bcc")
        off = TEMP_B
    w.command("read8", "*l$index1[2]", off, max(size, 4))
    if size < 4:
        w.shift(both(0), "--", "B", xfer(0), f">>{8 * (4 - size)}")
    else:
        w.mov(both(0), xfer(0))
    g.zext(s, 0)


# ------------------------------------------------------------------------------------------------------ atomic add
def atomic(g: Generator, s: Step) -> None:
    """To a map value: operands of 16 bits travel in the command, larger ones in transfer registers."""
    w, insn, note = g.w, s.insn, s.note
    if insn.op.fn != ops.A_ADD or note.ptr != "map_value":
        raise g.unsupported(s, f"atomic {insn.op.id} through a pointer of class '{note.ptr or 'unknown'}'")
    d, r, is64 = 2 * insn.dst, 2 * insn.src, insn.op.size == 8
    off = w.operand(insn.off)
    either = note.add_over and note.add_small
    full, end = Label(), Label()
    if either:
        w.const(TEMP_A, 0xFFFF)
        w.alu("--", TEMP_A, "-", b(r))
        if is64 or g.driver:
            w.alu("--", "0x0", "-carry", b(r + 1))
        w.branch("bcc", full, defer=2 if insn.off else 0)
    low, high = a(d), b(d + 1)
    if insn.off:
        low, high = a(20), b(20)
        w.alu(low, a(d), "+", off)
        w.alu(high, a(d + 1), "+carry", "0x0")
    if note.add_small:
        w.const(TEMP_A, 0xC90 if is64 else 0x890)
        w.field(TEMP_A, 0b1100, b(r), shift=-16)
        w.command("add_imm", f"{high}, <<8", low, 1, length=1, tail="")
        if note.add_over:
            w.branch("br", end)
    w.bind(full)
    if note.add_over:
        w.emit(f"mem[{'add64' if is64 else 'add'}, $xfer_0, {high}, <<8, {low}, {5 if is64 else 1}], ctx_swap[sig1], "
               f"defer[{1 + is64}]")  # fmt: skip
        for word in range(1 + is64):
            w.mov(xfer(word), a(r + word))
    w.bind(end)


# ------------------------------------------------------------------------------------------------------------- stack
def point(g: Generator, s: Step, off: int, pointer: int) -> tuple[bool, bool, int]:
    """Choose the local-memory pointer: (it is pointer 3, it has to step, offset from it)."""
    w = g.w
    if s.note.varies or s.note.foreign:
        w.alu(TEMP_B, a(2 * pointer), "+", w.operand(s.insn.off))
        return True, True, off % 4
    if off + s.width <= REACH:
        return False, False, off
    start = off // WINDOW * WINDOW
    if (off + s.width - 1) // WINDOW * WINDOW == start:
        w.alu(TEMP_B, STACK, "+", w.operand(start))
        return True, False, off - start
    w.alu(TEMP_B, STACK, "+", w.operand(off // 4 * 4))
    return True, True, off % 4


def stack(g: Generator, s: Step, register: int, pointer: int) -> None:
    """Slice by slice: no slice crosses a word of the register pair or of local memory."""
    w, size = g.w, s.width
    third, steps, off = point(g, s, g.depth + s.insn.off + s.note.off, pointer)
    narrow = s.insn.kind == ops.LDX and size < 8
    if size == 8 and not s.wide:
        size = 4
    if third:
        w.emit(SET_POINTER)
        w.nops(2 if narrow and s.zext and s.wide else 3)
    if narrow:
        g.zext(s)
    moved = 0
    while moved < size:
        at = off + moved
        length = min(size - moved, 4 - moved % 4, 4 - at % 4)
        piece = Slice(2 * register + moved // 4, moved % 4, at, length, moved == 0, moved % 4 == 0,
                      moved + length == size, third, steps)  # fmt: skip
        if steps:
            piece.word, piece.byte = 0, at % 4
        if s.insn.kind == ops.LDX:
            load_slice(w, piece)
        else:
            store_slice(w, piece)
        moved += length


@final
class Slice:
    """`size` bytes between byte `lane` of `register` and byte `byte` of word `word` of local memory."""

    __slots__ = ("register", "lane", "word", "byte", "size", "first", "fresh", "last", "third", "steps")

    def __init__(self, register: int, lane: int, off: int, size: int, first: bool, fresh: bool, last: bool,
                 third: bool, steps: bool) -> None:  # fmt: skip
        self.register = register
        self.lane = lane
        self.word = off // 4
        self.byte = off % 4
        self.size = size
        self.first = first
        self.fresh = fresh              # the first slice of this register
        self.last = last
        self.third = third
        self.steps = steps

    @property
    def increment(self) -> bool:
        return self.steps and self.fresh and not self.last

    @property
    def place(self) -> str:
        return AT_POINTER[self.word] if self.third else IN_FRAME[self.word]


def load_slice(w: Writer, piece: Slice) -> None:
    if piece.size == 4:
        w.mov(both(piece.register), "*l$index3++" if piece.increment else piece.place)
        return
    source = piece.place
    if piece.word > SHORT_OFFSETS:
        source = TEMP_A
        if piece.first or not piece.fresh:
            w.mov(TEMP_A, piece.place)
    mask = ((1 << piece.size) - 1) << piece.lane
    w.field(both(piece.register), mask, source, shift=8 * (piece.byte - piece.lane), clear=piece.fresh)
    if piece.increment:
        w.mov("--", "*l$index3++")


def store_slice(w: Writer, piece: Slice) -> None:
    if piece.size == 4:
        w.mov("*l$index3++" if piece.increment else piece.place, b(piece.register))
        return
    far = piece.word > SHORT_OFFSETS
    if far and (piece.first or piece.last):
        w.mov(TEMP_A, piece.place)
    mask = ((1 << piece.size) - 1) << piece.byte
    w.field(TEMP_A if far else piece.place, mask, b(piece.register), shift=8 * (piece.lane - piece.byte))
    if piece.fresh or piece.last:
        if far:
            w.mov(piece.place, TEMP_A)
        if piece.increment:
            w.mov("--", "*l$index3++")

"""The state that a log reader keeps: what the log prints, and what instructions do that the log does not print.

| instruction | not printed | what happens |
|---|---|---|
| any call | r1 to r5 | hold nothing |
| a helper that changes packets | packet pointers elsewhere | become unknown numbers |
| a helper that takes a buffer on the stack | its bytes (before 6.13: also of buffers it only reads) | become data |
| release of a resource | its other copies | become unknown numbers |
| comparison of a nullable pointer with 0 | copies with its id | null, or not nullable, as well |
| comparison of a number | numbers with its id | the same refinement (plus the difference of the constants) |
| comparison of a packet pointer | pointers with its id | the same proven range |

Sources: kernel/bpf/verifier.c `clear_caller_saved_regs`, `clear_all_pkt_pointers`, `release_reference`,
`mark_ptr_or_null_regs`, `sync_linked_regs`, `find_good_pkt_pointers`.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.verifier import bounds, logvalues, tnum
from bpfbench.verifier import helper_protos as hp
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.logvalues import Shown
from bpfbench.verifier.progtypes import PROG_TYPES
from bpfbench.verifier.regstate import UNINIT, UNKNOWN_NUMBER, RegState
from bpfbench.verifier.scalar import Scalar, s64
from bpfbench.verifier.state import ALL_SPILL, EMPTY, INVALID, MISC, SPILL, ZEROED, Slot
from bpfbench.verifier.transfer import add_ranges

TAIL_CALL: Final = 12
ANY_PACKET: Final = (rs.PACKET, rs.PACKET_META, rs.PACKET_END)


@final
class LogFrame:
    """One function in progress."""

    __slots__ = ("regs", "slots", "before")

    def __init__(self) -> None:
        self.regs: list[RegState] = [UNINIT] * 11
        self.slots: list[Slot] = []
        self.before: list[Slot] = []        # the slots until a whole state replaced them

    def copy(self) -> LogFrame:
        new = LogFrame()
        new.regs = self.regs[:]
        new.slots = self.slots[:]
        return new


@final
class Frames:
    """All frames, and the instruction whose result is being read."""

    __slots__ = ("exact", "frames", "insn", "linked_before", "refs", "stored", "version", "live", "loaded",
                 "arguments", "silent")

    def __init__(self, exact: bool, version: tuple[int, int], silent: bool = False) -> None:
        self.exact = exact
        self.silent = silent                # the log does not print the state after each instruction
        self.version = version
        self.live = 0x7FF                   # registers that matter at the instruction (6.18 prints them)
        self.frames: list[LogFrame] = [LogFrame()]
        self.frames[0].regs = [logvalues.NOT_SHOWN] * 10 + [RegState(rs.STACK, Scalar.const(0))]
        self.insn: Instruction | None = None
        self.linked_before: list[RegState] | None = None    # registers before a comparison
        self.refs: list[int] = []
        self.stored: RegState | None = None     # what the instruction stores, loads from the stack, passes to a function
        self.loaded: RegState | None = None
        self.arguments: list[RegState] = []

    def start(self) -> None:
        """The beginning of a main program."""
        self.fill(self.frames[0])
        self.frames[0].regs[1] = rs.pointer(rs.CTX)
        self.frames[0].regs[10] = RegState(rs.STACK, Scalar.const(0))

    @property
    def top(self) -> LogFrame:
        return self.frames[-1]

    def copy(self) -> Frames:
        new = Frames(self.exact, self.version, self.silent)
        new.frames = [f.copy() for f in self.frames]
        new.refs = self.refs[:]
        return new

    # What an instruction does without saying ------------------------------------------------------------------------

    def executed(self, insn: Instruction | None, live: int = 0x7FF) -> None:
        self.insn = insn
        self.live = live
        self.linked_before = None
        self.stored = self.loaded = None
        self.arguments = []
        if insn is None:
            return
        regs = self.top.regs
        if self.silent and insn.writes and not insn.is_call:
            self.unsaid(insn, regs)
        if insn.kind == ops.CALL_LOCAL:
            self.arguments = regs[:]
        elif insn.kind == ops.LDX and regs[insn.src].kind == rs.STACK and not regs[insn.src].scalar.m:
            base = regs[insn.src]
            number = (-(base.off + s64(base.scalar.v) + insn.off) - 1) // 8
            if base.frame < len(self.frames) and 0 <= number < len(self.frames[base.frame].slots):
                self.loaded = self.frames[base.frame].slots[number].reg
        if insn.kind in (ops.JMP, ops.JMP32):
            self.linked_before = regs[:]
        elif insn.is_call or insn.kind in (ops.LD_ABS, ops.LD_IND):
            if insn.kind == ops.CALL:
                self.buffers(insn.imm, regs)
            for r in range(0 if insn.kind == ops.CALL else 1, 6):
                regs[r] = UNINIT
            if insn.kind == ops.CALL and (insn.imm in hp.CHANGES_PACKET or insn.imm == TAIL_CALL
                                          and self.version == (6, 12)):
                self.void_packets()
        elif insn.kind in (ops.STX, ops.STORE_REL):
            self.stored = regs[insn.src]

    def unsaid(self, insn: Instruction, regs: list[RegState]) -> None:
        """The result of an instruction in a log that prints states only here and there."""
        result = logvalues.NOT_SHOWN
        if insn.kind == ops.ALU64 and insn.op.fn == ops.MOV:
            result = RegState(rs.SCALAR, Scalar.const(insn.imm)) if insn.op.imm else regs[insn.src]
        for r in range(10):
            if insn.writes >> r & 1:
                regs[r] = result

    def buffers(self, number: int, regs: list[RegState]) -> None:
        """The stack bytes that a helper's arguments point to."""
        proto = _proto(number)
        key = next((r.map for r in regs[1:6] if r.kind == rs.MAP_PTR), None)
        for i, arg in enumerate(proto.args if proto is not None else ()):
            reg = regs[i + 1]
            if reg.kind == rs.STACK and arg.kind == hp.ARG_DYNPTR and arg.flags & hp.RELEASE:
                self.ended(reg)
            if reg.kind != rs.STACK or not (self.version < (6, 13) or arg.flags & hp.WRITE):
                continue
            size = arg.size
            raw = bool(arg.flags & hp.UNINIT)
            if arg.kind == hp.ARG_MAP_KEY:
                size = key.key_size if key is not None else 0
            elif arg.kind == hp.ARG_MAP_VALUE:
                size = key.value_size if key is not None else 0
            elif arg.kind == hp.ARG_MEM and i + 2 < 6 and regs[i + 2].kind == rs.SCALAR:
                size = regs[i + 2].scalar.umax
                raw = raw and not regs[i + 2].scalar.m
            elif arg.kind != hp.ARG_FIXED_MEM:
                continue
            if not raw and 0 < size <= 512:
                self.touched(reg, size)

    def ended(self, reg: RegState) -> None:
        """A dynamic pointer was released: its two slots hold nothing."""
        number = (-(reg.off + s64(reg.scalar.v)) - 1) // 8
        slots = self.frames[reg.frame].slots if reg.frame < len(self.frames) else []
        for i in (number, number - 1):
            if 0 <= i < len(slots):
                slots[i] = EMPTY

    def touched(self, reg: RegState, size: int) -> None:
        if reg.frame >= len(self.frames):
            return
        slots = self.frames[reg.frame].slots
        low = reg.off + reg.scalar.smin
        for at in range(max(low, -512), min(reg.off + s64(reg.scalar.smax) + size, 0)):
            byte = -at - 1
            while len(slots) <= byte >> 3:
                slots.append(EMPTY)
            slot = slots[byte >> 3]
            kind = slot.types[byte & 7]
            if kind == MISC:
                continue
            if kind in (INVALID, ZEROED):
                types = bytearray(slot.types)
                types[byte & 7] = MISC
                slots[byte >> 3] = Slot(bytes(types), slot.reg)
            elif slot.spilled:
                slots[byte >> 3] = Slot(bytes(INVALID if t == INVALID else MISC for t in slot.types), UNKNOWN_NUMBER)

    def void_packets(self) -> None:
        for frame in self.frames:
            frame.regs = [UNKNOWN_NUMBER if r.kind & rs.BASE in ANY_PACKET else r for r in frame.regs]
            frame.slots = [Slot(s.types, UNKNOWN_NUMBER) if s.spilled and s.reg.kind & rs.BASE in ANY_PACKET else s
                           for s in frame.slots]

    # What the log prints --------------------------------------------------------------------------------------------

    def show(self, shown: Shown, full: bool) -> None:
        """Registers and slots of the frame named; a `full` state says everything about it."""
        if shown.frame >= len(self.frames) and shown.frame < 16:
            while len(self.frames) <= shown.frame:
                self.frames.append(LogFrame())
        elif full and shown.frame < len(self.frames) - 1:
            del self.frames[shown.frame + 1 :]
        frame = self.frames[min(shown.frame, len(self.frames) - 1)]
        before = self.linked_before
        sources = frame.regs[:] if not self.exact else []
        if full:
            self.fill(frame)
        for r, reg in shown.regs.items():
            frame.regs[r] = reg if self.exact else self.inherit(r, reg, sources, frame)
        for number, text in sorted(shown.slots.items()):
            self.slot(frame, number, text, shown.frame)
        if before is not None and frame is self.top:
            self.follow(before, shown, full)
        fresh = set(shown.refs or []) - set(self.refs)
        if len(fresh) == 1 and not self.exact and 0 in shown.regs and not frame.regs[0].ref:
            frame.regs[0] = frame.regs[0].with_ref(frame.regs[0].id, fresh.pop())
        self.released(shown.refs or [])

    def inherit(self, r: int, reg: RegState, sources: list[RegState], frame: LogFrame) -> RegState:
        """What older kernels do not print of a pointer (its frame, its size) it has from where it came from."""
        insn = self.insn
        source = sources[r]
        if insn is not None and insn.writes >> r & 1 and insn.kind == ops.ALU64 and not insn.op.imm:
            other = sources[insn.src]
            source = other if source.kind != reg.kind or insn.op.fn == ops.MOV else source
        elif insn is not None and insn.kind == ops.LDX and insn.dst == r and self.loaded is not None:
            source = self.loaded
        if self.arguments and 1 <= r <= 5 and frame is self.top:
            source = self.arguments[r]
        if source.kind & ~rs.MAYBE_NULL != reg.kind & ~rs.MAYBE_NULL or reg.kind == rs.SCALAR or r == 10:
            return reg
        return RegState(reg.kind, reg.scalar, reg.off, reg.id, reg.ref or source.ref, reg.precise, reg.map, reg.range,
                        reg.size or source.size, source.frame, source.subprog, reg.struct)

    @staticmethod
    def fill(frame: LogFrame) -> None:
        frame.regs = [UNINIT] * 11
        frame.before = frame.slots
        frame.slots = []

    def slot(self, frame: LogFrame, number: int, text: str, at: int) -> None:
        if not 0 <= number < 64:
            return
        while len(frame.slots) <= number:
            frame.slots.append(EMPTY)
        old = frame.slots[number]
        stored = self.stored
        if not old.spilled and number < len(frame.before) and frame.before[number].spilled:
            old = frame.before[number]
        if stored is None and old.spilled:
            stored = old.reg
        found = logvalues.slot(text, at, self.exact, stored)
        if found is None:
            return
        if not self.exact and found.types == ALL_SPILL and found.reg.kind == rs.SCALAR:
            found = Slot(self.partly(old), found.reg)
        frame.slots[number] = found
        if found.reg.special is not None and number > 0 and found.types[7] != SPILL:
            frame.slots[number - 1] = found             # the upper half of the object

    def partly(self, old: Slot) -> bytes:
        """Types of a saved number: 6.1 does not print the bytes above a narrow one."""
        insn = self.insn
        if insn is not None and insn.kind in (ops.STX, ops.ST) and insn.op.size < 8:
            above = bytes(MISC if t in (SPILL, ZEROED) else t for t in old.types[: 8 - insn.op.size])
            return above + bytes([SPILL]) * insn.op.size
        return old.types if old.spilled else ALL_SPILL

    def enter(self, shown: Shown) -> None:
        """A call: a new frame with what it begins with."""
        del self.frames[shown.frame :]
        while len(self.frames) <= shown.frame:
            self.frames.append(LogFrame())
        self.linked_before = None
        self.show(shown, full=True)

    def leave(self, shown: Shown) -> None:
        """A return: the frame below is the one that goes on."""
        del self.frames[shown.frame + 1 :]
        self.linked_before = None
        self.show(shown, full=True)

    def released(self, refs: list[int]) -> None:
        gone = set(self.refs) - set(refs)
        self.refs = refs
        if not gone or self.insn is None or not self.insn.is_call:
            return
        for frame in self.frames:
            frame.regs = [UNKNOWN_NUMBER if r.ref in gone else r for r in frame.regs]
            frame.slots = [Slot(s.types, UNKNOWN_NUMBER) if s.spilled and s.reg.ref in gone else s for s in frame.slots]

    # Copies of what was compared ------------------------------------------------------------------------------------

    def follow(self, before: list[RegState], shown: Shown, full: bool) -> None:
        """A comparison changed what it compared; its copies change with it."""
        insn = self.insn
        self.linked_before = None
        if insn is None or full:
            return
        for r in {insn.dst} if insn.op.imm else {insn.dst, insn.src}:
            if r not in shown.regs:
                continue
            old, new = before[r], shown.regs[r]
            if old.id and (old.kind & rs.MAYBE_NULL or old.kind == rs.SCALAR):
                self.copies(old, new)
            elif old.kind in rs.PACKET_KINDS and new.kind == old.kind:
                self.every(lambda reg, new=new: _farther(reg, new))

    def copies(self, old: RegState, new: RegState) -> None:
        halves = self.version >= (6, 18)
        self.every(lambda reg: _copy(reg, old, new, halves), self.live if old.kind == rs.SCALAR else 0x7FF)

    def every(self, change: object, live: int = 0x7FF) -> None:
        assert callable(change)
        for frame in self.frames:
            mask = live if frame is self.top else 0x7FF
            frame.regs = [change(r) if mask >> i & 1 else r for i, r in enumerate(frame.regs)]
            frame.slots = [Slot(s.types, change(s.reg)) if s.spilled else s for s in frame.slots]


_protos: dict[int, hp.HelperProto | None] = {}


def _proto(number: int) -> hp.HelperProto | None:
    """The prototype of a helper, of whichever program type has it."""
    if number not in _protos:
        found = (hp.proto(number, t) for t in PROG_TYPES)
        _protos[number] = next((p for p in found if p is not None), None)
    return _protos[number]


def _copy(reg: RegState, old: RegState, new: RegState, halves: bool) -> RegState:
    """`reg` when it is a copy of `old` and that turned out to be `new`."""
    if (reg.id ^ old.id) & ~rs.ADD_CONST or not reg.id:
        return reg
    if old.kind & rs.MAYBE_NULL:
        if reg.kind != old.kind:
            return reg
        if new.kind == rs.SCALAR:
            return new
        return RegState(new.kind, reg.scalar, reg.off, new.id, reg.ref, False, reg.map, reg.range, reg.size, reg.frame,
                        0, new.struct or reg.struct)
    if reg.kind != rs.SCALAR or new.kind != rs.SCALAR:
        return reg
    if not (reg.id | old.id) & rs.ADD_CONST or reg.off == old.off:
        return RegState(rs.SCALAR, new.scalar, reg.off, reg.id, precise=new.precise)
    delta = Scalar.const(reg.off - (old.off if old.id & rs.ADD_CONST else 0))
    s = new.scalar.copy()
    add_ranges(s, delta, 2 if halves else 1)
    s.v, s.m = tnum.add((s.v, s.m), (delta.v, delta.m))
    if halves:
        bounds.deduce(s, bounds.DEDUCE_618)
    return RegState(rs.SCALAR, s, reg.off, reg.id)


def _farther(reg: RegState, new: RegState) -> RegState:
    """A pointer with the same id and kind has the larger proven range."""
    if reg.kind != new.kind or reg.id != new.id or reg.range < 0 or new.range < 0 or s64(new.range) <= reg.range:
        return reg
    return reg.with_range(new.range)

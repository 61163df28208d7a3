"""Everything that is true at one point of one path: registers, stack, resources held.

    State ── frames[0]  main program        regs r0..r10, stack slots fp-8, fp-16, …
          ├─ frames[1]  called function     (a frame per call in progress)
          ├─ refs       resources that must be released before the end
          └─ parent     the checkpoint this path has passed last

A stack slot is eight bytes.  Each byte has a type, and a slot whose first byte (the lowest address) is of type SPILL
holds a register.  Types are kept in the kernel's order: `types[7]` is the lowest address, fp-8 for slot 0.

          address    fp-8  fp-7  fp-6  fp-5  fp-4  fp-3  fp-2  fp-1
          types       [7]   [6]   [5]   [4]   [3]   [2]   [1]   [0]

Registers and slots are immutable, so `fork` copies lists of references and nothing else.

Sources: struct bpf_verifier_state, bpf_func_state, bpf_stack_state in include/linux/bpf_verifier.h; slides 19, 29-33.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.verifier.regstate import SCALAR, STACK, UNINIT, RegState
from bpfbench.verifier.scalar import ZERO

# Types of a stack byte ----------------------------------------------------------------------------------------------
INVALID: Final = 0          # never written
SPILL: Final = 1            # part of a saved register
MISC: Final = 2             # some data
ZEROED: Final = 3           # known to be zero
DYN: Final = 4              # part of a dynamic pointer
ITER: Final = 5             # part of an iterator
IRQ: Final = 6              # saved interrupt flag
TYPE_CHARS: Final = "?rm0dif"

ALL_INVALID: Final = bytes(8)
ALL_SPILL: Final = bytes([SPILL]) * 8
ALL_MISC: Final = bytes([MISC]) * 8
ALL_ZERO: Final = bytes([ZEROED]) * 8

MAX_FRAMES: Final = 8
MAIN: Final = -1            # `callsite` of the frame that nobody called

REF_PTR: Final = 0          # kinds of resources
REF_LOCK: Final = 1
REF_IRQ: Final = 2


@final
class Slot:
    """Eight bytes of stack: the type of each byte, and the register saved there (UNINIT if none)."""

    __slots__ = ("types", "reg")

    def __init__(self, types: bytes, reg: RegState) -> None:
        self.types = types
        self.reg = reg

    @property
    def spilled(self) -> bool:
        return self.types[7] == SPILL

    @property
    def spilled_scalar(self) -> bool:
        return self.types[7] == SPILL and self.reg.kind == SCALAR

    def same(self, o: Slot) -> bool:
        return self is o or (self.types == o.types and self.reg is o.reg)

    def __repr__(self) -> str:
        return f"<slot {''.join(TYPE_CHARS[t] for t in self.types)} {self.reg!r}>"


EMPTY: Final = Slot(ALL_INVALID, UNINIT)


@final
class Ref:
    """A resource held: its id, the instruction that acquired it, its kind; for a lock, what it locks."""

    __slots__ = ("id", "insn", "kind", "target", "frame")

    def __init__(self, id: int, insn: int, kind: int = REF_PTR, target: str = "", frame: int = 0) -> None:
        self.id = id
        self.insn = insn
        self.kind = kind
        self.target = target
        self.frame = frame          # callback frame that acquired it (before 6.14)


@final
class Frame:
    """One function in progress."""

    __slots__ = ("regs", "stack", "callsite", "number", "subprog", "in_callback", "in_async", "in_exception",
                 "ret_min", "ret_max", "callback_depth", "async_entry", "marked", "live", "stack_live", "parents",
                 "stack_parents")

    def __init__(self, callsite: int, number: int, subprog: int, marked: bool, like: Frame | None = None) -> None:
        if like is not None:
            self._copy(like)
            return
        self.regs: list[RegState] = [UNINIT] * 10 + [RegState(STACK, ZERO, frame=number)]
        self.stack: list[Slot] = []
        self.callsite = callsite
        self.number = number
        self.subprog = subprog
        self.in_callback = False
        self.in_async = False
        self.in_exception = False
        self.ret_min = 0                    # range of values a callback may return
        self.ret_max = 0
        self.callback_depth = 0
        self.async_entry = 0
        # Marks of the liveness by parent chain (chain.py).  Kernels that compute it statically do not look at them
        # (`marked` is false), and all copies of a frame share these lists.
        self.marked = marked
        self.live: list[int] = [0] * 11
        self.stack_live: list[int] = []
        self.parents: list[tuple[Frame, int] | None] = [None] * 11
        self.stack_parents: list[Frame | None] = []

    def copy(self) -> Frame:
        return Frame(self.callsite, self.number, self.subprog, self.marked, self)

    def _copy(self, like: Frame) -> None:
        self.regs = like.regs[:]
        self.stack = like.stack[:]
        self.callsite = like.callsite
        self.number = like.number
        self.subprog = like.subprog
        self.in_callback = like.in_callback
        self.in_async = like.in_async
        self.in_exception = like.in_exception
        self.ret_min = like.ret_min
        self.ret_max = like.ret_max
        self.callback_depth = like.callback_depth
        self.async_entry = like.async_entry
        self.marked = like.marked
        self.live = like.live[:] if like.marked else like.live
        self.stack_live = like.stack_live[:] if like.marked else like.stack_live
        self.parents = like.parents[:] if like.marked else like.parents
        self.stack_parents = like.stack_parents[:] if like.marked else like.stack_parents

    def grow(self, size: int) -> None:
        """Make room for `size` bytes of stack."""
        missing = (size + 7) // 8 - len(self.stack)
        if missing > 0:
            self.stack.extend([EMPTY] * missing)
            unmarked = len(self.stack) - len(self.stack_live)
            if unmarked > 0:
                self.stack_live.extend([0] * unmarked)
                self.stack_parents.extend([None] * unmarked)


@final
class Step:
    """An entry of the history that precision tracking walks back along.

    `pc` was reached from `prev`; `frame`, `slot` the stack slot it accessed (slot -1: none); `stack_operands`: bit 0 the
    destination, bit 1 the source of a comparison is a stack pointer; `linked`: registers and slots refined together.
    """

    __slots__ = ("pc", "prev", "frame", "slot", "stack_operands", "linked")

    def __init__(self, pc: int, prev: int, frame: int, slot: int, stack_operands: int,
                 linked: tuple[tuple[int, bool, int], ...]) -> None:
        self.pc = pc
        self.prev = prev
        self.frame = frame
        self.slot = slot
        self.stack_operands = stack_operands
        self.linked = linked


@final
class State:
    """See the module text.

    `branches`  paths that start here and are not finished; a checkpoint with none is known to be safe
    `history`   jumps and stack accesses since the last checkpoint
    `first`, `last`   first instruction of this stretch, and the one executed before the current
    """

    __slots__ = (
        "frames", "refs", "parent", "branches", "pc", "first", "last", "history", "speculative", "cleaned",
        "active_locks", "lock_id", "lock_target", "rcu_locks", "preempt_locks", "irq_id", "sleepable", "depth",
        "callback_unroll", "may_goto", "equal", "loop_entry", "used_as_loop_entry", "number", "hits", "misses",
        "listed",
    )  # fmt: skip

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.refs: list[Ref] = []
        self.parent: State | None = None
        self.branches = 1
        self.pc = 0
        self.first = 0
        self.last = -1
        self.history: list[Step] = []
        self.speculative = False
        self.cleaned = False
        self.active_locks = 0
        self.lock_id = 0
        self.lock_target = ""
        self.rcu_locks = 0
        self.preempt_locks = 0
        self.irq_id = 0
        self.sleepable = False
        self.depth = 0
        self.callback_unroll = 0
        self.may_goto = 0
        self.equal: State | None = None
        self.loop_entry: State | None = None
        self.used_as_loop_entry = False
        self.number = -1            # of a checkpoint: in the order they were made
        self.hits = 0               # of a checkpoint: how often it pruned a path, and how often it did not
        self.misses = 0
        self.listed = False

    @property
    def frame(self) -> Frame:
        """The function being executed."""
        return self.frames[-1]

    def fork(self) -> State:
        """A copy that shares every register and slot."""
        new = State()
        new.frames = [f.copy() for f in self.frames]
        new.refs = self.refs[:]
        new.parent = self.parent
        new.branches = self.branches
        new.pc = self.pc
        new.first = self.first
        new.last = self.last
        new.history = self.history[:]
        new.speculative = self.speculative
        new.cleaned = self.cleaned
        new.active_locks = self.active_locks
        new.lock_id = self.lock_id
        new.lock_target = self.lock_target
        new.rcu_locks = self.rcu_locks
        new.preempt_locks = self.preempt_locks
        new.irq_id = self.irq_id
        new.sleepable = self.sleepable
        new.depth = self.depth
        new.callback_unroll = self.callback_unroll
        new.may_goto = self.may_goto
        new.equal = self.equal
        new.loop_entry = self.loop_entry
        new.used_as_loop_entry = self.used_as_loop_entry
        new.number = -1
        new.hits = 0
        new.misses = 0
        new.listed = False
        return new

    def frame_pc(self, i: int) -> int:
        """Where frame i stands: the current instruction, or the call it waits for."""
        return self.pc if i == len(self.frames) - 1 else self.frames[i + 1].callsite

    def same_callsites(self, other: State) -> bool:
        if len(self.frames) != len(other.frames):
            return False
        return all(a.callsite == b.callsite for a, b in zip(self.frames, other.frames, strict=True))

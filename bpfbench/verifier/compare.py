"""Does a checkpoint cover a state?

Register by register and slot by slot, a checkpoint is compared with the state that arrives; ids only have to be
related in the same way, so each comparison keeps a map from the checkpoint's ids to the state's.

| level | how a register must match |
|---|---|
| LOOSE | imprecise numbers match anything |
| EXACT | the same, up to ids |
| RANGE | every number within the checkpoint's range, whether precise or not: for loops |

Sources: kernel/bpf/verifier.c `states_equal`, `func_states_equal`, `regsafe`, `stacksafe`, `refsafe`; slides 32, 33.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.verifier import regstate as rs
from bpfbench.verifier.regstate import RegState
from bpfbench.verifier.state import (
    ALL_SPILL,
    DYN,
    EMPTY,
    INVALID,
    IRQ,
    ITER,
    MISC,
    SPILL,
    ZEROED,
    Frame,
    Slot,
    State,
)  # fmt: skip
from bpfbench.verifier.walk import Walk

LOOSE: Final = 0
EXACT: Final = 1
RANGE: Final = 2

_MEMORY_KINDS: Final = frozenset((rs.MAP_KEY, rs.MAP_VALUE, rs.MEM, rs.BUF, rs.TP_BUFFER))


@final
class Ids:
    """Which id of the checkpoint stands for which id of the state (`struct bpf_idmap`)."""

    __slots__ = ("old", "new", "next", "lenient")

    def __init__(self, next: int) -> None:
        self.old: dict[int, int] = {}
        self.new: dict[int, int] = {}
        self.next = next

    def match(self, old: int, new: int) -> bool:
        """Same relation as before, or a new pair; both must be ids or neither."""
        if not old or not new:
            return old == new
        known = self.old.get(old)
        if known is not None:
            return known == new
        if new in self.new:
            return False
        self.old[old] = new
        self.new[new] = old
        return True

    def match_number(self, old: int, new: int) -> bool:
        """Ids of numbers: a checkpoint without one matches any; a state without one gets a fresh one."""
        if not old:
            return True
        if not new:
            self.next += 1
            new = self.next
        if not self.match(old, new):
            return False
        if old & rs.ADD_CONST:
            return self.match(old & ~rs.ADD_CONST, new & ~rs.ADD_CONST)
        return True


@final
class Comparison:
    """A checkpoint against a state; `why` names the first difference."""

    __slots__ = ("w", "level", "ids", "why")

    def __init__(self, w: Walk, level: int) -> None:
        self.w = w
        self.level = level
        self.ids = Ids(w.id_gen)
        self.why = ""

    def no(self, why: str) -> bool:
        self.why = why
        return False

    def states(self, old: State, new: State) -> bool:
        """Does `old` cover `new`? (`states_equal`)"""
        if len(old.frames) != len(new.frames):
            return self.no("call depth")
        if old.speculative and not new.speculative:
            return self.no("speculative")
        if old.sleepable != new.sleepable:
            return self.no("sleepable")
        if self.w.k.resource_text and not self.resources(old, new):
            return False
        if not self.w.k.resource_text and not self.locks(old, new):
            return False
        for i, old_frame in enumerate(old.frames):
            new_frame = new.frames[i]
            if not self.w.k.state_ids:
                self.ids = Ids(0)
            if old_frame.callsite != new_frame.callsite:
                return self.no("call site")
            if not self.frames(old_frame, new_frame, old.frame_pc(i)):
                return False
        if not self.w.k.resource_text and not self.references(old, new):
            return False
        return True

    def locks(self, old: State, new: State) -> bool:
        if old.lock_target != new.lock_target or bool(old.lock_id) != bool(new.lock_id):
            return self.no("lock")
        if old.lock_id and not self.ids.match(old.lock_id, new.lock_id):
            return self.no("lock")
        if old.rcu_locks != new.rcu_locks or old.preempt_locks != new.preempt_locks:
            return self.no("critical section")
        return True

    def resources(self, old: State, new: State) -> bool:
        if old.active_locks != new.active_locks or old.preempt_locks != new.preempt_locks \
                or old.rcu_locks != new.rcu_locks or not self.ids.match(old.irq_id, new.irq_id) \
                or not self.ids.match(old.lock_id, new.lock_id) or old.lock_target != new.lock_target:
            return self.no("critical section") if len(old.refs) == len(new.refs) else self.no("references")
        return self.references(old, new)

    def references(self, old: State, new: State) -> bool:
        if len(old.refs) != len(new.refs):
            return self.no("references")
        for a, b in zip(old.refs, new.refs, strict=True):
            if not self.w.k.state_ids:
                if a.id != b.id or a.insn != b.insn or a.frame != b.frame:
                    return self.no(f"reference {a.id}")
                continue
            if not self.ids.match(a.id, b.id) or a.kind != b.kind or a.target != b.target:
                return self.no(f"reference {a.id}")
        return True

    def frames(self, old: Frame, new: Frame, pc: int) -> bool:
        if old.callback_depth > new.callback_depth:
            return self.no("callback depth")
        k = self.w.k
        live = self.w.live[pc] if k.liveness == 1 and k.live else 0xFFFF
        chain = k.liveness == 0
        for i in range(11):
            if not live >> i & 1:
                continue
            a, b = old.regs[i], new.regs[i]
            if a is b and a.id == 0 and a.ref == 0:
                continue
            if chain and (self.level == LOOSE or not k.state_ids) and k.live and not old.live[i] & 3:
                continue
            if not self.register(a, b):
                return self.no(f"r{i}" + (f" of frame {old.number}" if old.number else ""))
        return self.stacks(old, new)

    def register(self, old: RegState, new: RegState) -> bool:
        """Does the checkpoint's register cover the state's? (`regsafe`)"""
        level = self.level
        if not self.w.k.state_ids:
            return self.register_61(old, new)
        if level == EXACT:
            return self.exact(old, new)
        if old.kind == rs.NOT_INIT:
            return self.w.k.liveness == 1 or level == LOOSE or new.kind == rs.NOT_INIT
        if old.kind != new.kind:
            return False
        base = old.kind & rs.BASE
        if base == rs.SCALAR:
            return self.number(old, new)
        if base in _MEMORY_KINDS:
            return old.same_region(new) and new.scalar.within(old.scalar) and self.ids.match(old.id, new.id) \
                and self.ids.match(old.ref, new.ref)
        if base in rs.PACKET_KINDS:
            if old.range < 0 or new.range < 0:
                if old.range != new.range:
                    return False
            elif old.range > new.range:
                return False
            return old.off == new.off and self.ids.match(old.id, new.id) and new.scalar.within(old.scalar)
        if base == rs.STACK:
            return old.frame == new.frame and self.exact(old, new)
        if base == rs.ARENA:
            return True
        return self.exact(old, new)

    def register_61(self, old: RegState, new: RegState) -> bool:
        """Before 6.3: identical states, ids and all, or a few kinds with ranges."""
        equal = old.same_but_ids(new) and old.id == new.id and old.ref == new.ref
        if old.kind == rs.STACK:
            return equal and old.frame == new.frame
        if equal or old.kind == rs.NOT_INIT:
            return True
        if new.kind == rs.NOT_INIT:
            return False
        base = old.kind & rs.BASE
        if base == rs.SCALAR:
            if self.w.explore_alu_limits or new.kind != rs.SCALAR:
                return False
            return (not old.precise and self.w.k.precision) or new.scalar.within(old.scalar)
        if base in (rs.MAP_KEY, rs.MAP_VALUE):
            if old.kind & rs.MAYBE_NULL:
                return bool(new.kind & rs.MAYBE_NULL) and old.same_but_ids(new) and self.ids.match(old.id, new.id)
            return old.same_region(new) and new.scalar.within(old.scalar)
        if base in rs.PACKET_KINDS:
            if new.kind != old.kind:
                return False
            if old.range < 0 or new.range < 0:
                if old.range != new.range:
                    return False
            elif old.range > new.range:
                return False
            if old.off != new.off or (old.id and not self.ids.match(old.id, new.id)):
                return False
            return new.scalar.within(old.scalar)
        return False

    def exact(self, old: RegState, new: RegState) -> bool:
        return old.same_but_ids(new) and self.ids.match(old.id, new.id) and self.ids.match(old.ref, new.ref)

    def number(self, old: RegState, new: RegState) -> bool:
        k = self.w.k
        if self.w.explore_alu_limits:
            return old.same_but_ids(new) and self.ids.match_number(old.id, new.id)
        if not old.precise and self.level == LOOSE and k.precision:
            return True
        if old.id & rs.ADD_CONST:
            if not new.id & rs.ADD_CONST or old.off != new.off:
                return False
        elif old.id and new.id & rs.ADD_CONST:
            return False
        if k.ids_compared and not self.ids.match_number(old.id, new.id):
            return False
        return new.scalar.within(old.scalar)

    def stacks(self, old: Frame, new: Frame) -> bool:
        """Slots of the checkpoint that matter must be covered; more slots in the state are fine (`stacksafe`)."""
        k = self.w.k
        for i, a in enumerate(old.stack):
            b = new.stack[i] if i < len(new.stack) else None
            must_equal = k.state_ids and (self.level == EXACT or (self.level == RANGE and k.liveness == 0))
            if must_equal and (b is None or a.types != b.types):
                return self.no(f"fp-{(i + 1) * 8}")
            if a is EMPTY or (b is not None and a is b and not a.spilled):
                continue
            if k.liveness == 0 and (self.level == LOOSE or not k.state_ids) and k.live and not old.stack_live[i] & 3:
                continue
            if not self.slot(a, b):
                return self.no(f"fp-{(i + 1) * 8}" + (f" of frame {old.number}" if old.number else ""))
        return True

    def slot(self, a: Slot, b: Slot | None) -> bool:
        w = self.w
        matters = [t for t in a.types if t != INVALID and not (t == MISC and w.allow_uninit)]
        if not matters:
            return True
        if b is None:
            return False
        if w.k.version >= (6, 8) and a.types[0] != INVALID and not (a.types[0] == MISC and w.allow_uninit):
            old_reg, new_reg = self.as_number(a), self.as_number(b)
            if old_reg is not None and new_reg is not None:
                return self.register(old_reg, new_reg)
        for i in range(8):
            x, y = a.types[i], b.types[i]
            if x == INVALID or (x == MISC and w.allow_uninit):
                continue
            if w.k.version >= (6, 8):
                old_reg, new_reg = self.as_number(a), self.as_number(b)
                if old_reg is not None and new_reg is not None:
                    return self.register(old_reg, new_reg)
            if x == MISC and y == ZEROED:
                continue
            if x != y:
                return False
        return self.content(a, b)

    def as_number(self, slot: Slot) -> RegState | None:
        """What a load of the whole slot would give, if that is a number (`scalar_reg_for_stack`)."""
        if slot.types == ALL_SPILL and slot.reg.kind == rs.SCALAR:
            return slot.reg
        for t in slot.types:
            if t != MISC and not (t == INVALID and self.w.allow_uninit):
                return None
        return rs.UNKNOWN_NUMBER

    def content(self, a: Slot, b: Slot) -> bool:
        top = a.types[7]
        x, y = a.reg, b.reg
        if top == SPILL:
            return self.register(x, y)
        if top == DYN:
            return x.special is not None and y.special is not None and x.special.type == y.special.type \
                and x.special.first == y.special.first and self.ids.match(x.ref, y.ref)
        if top == ITER:
            return x.special is not None and y.special is not None and x.special.name == y.special.name \
                and x.special.state == y.special.state and self.ids.match(x.ref, y.ref)
        if top == IRQ:
            return self.ids.match(x.ref, y.ref)
        return True


# Cleaning -----------------------------------------------------------------------------------------------------------

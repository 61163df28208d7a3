"""Which stack slots matter before each instruction: found while walking, per chain of calls.

Registers are known before the walk (program/liveness.py).  The stack is reached through pointers, so what an
instruction reads and writes there is known only when it has been walked.  For every chain of calls and every
instruction of the innermost function this keeps, per frame of the chain, sets of slots (bit n = the slot at
fp-8(n+1)):

| `may_read`   | read by the instruction on some path walked so far |
| `must_write` | written whole by the instruction on every path walked so far |
| `written`    | written by it or by all that follows in the function |
| `live`       | may be read by it or by what follows |

When a path ends, what changed is propagated backwards through the function, and from its first instruction to the call.
A slot that is not live at a finished checkpoint is forgotten there (`prune.py`).

Source: kernel/bpf/liveness.c (6.18); slides 32, 33.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.program.liveness import successors
from bpfbench.verifier.precision import slots_text
from bpfbench.verifier.state import State
from bpfbench.verifier.walk import Walk

EVERYTHING: Final = (1 << 64) - 1


@final
class Masks:
    """The four sets of each instruction of a function, for one frame."""

    __slots__ = ("may_read", "must_write", "written", "live")

    def __init__(self, n: int) -> None:
        self.may_read = [0] * n
        self.must_write = [0] * n
        self.written = [0] * n
        self.live = [0] * n


@final
class Instance:
    """A function under one chain of calls: `chain` is the call sites and the function's start."""

    __slots__ = ("chain", "starts", "start", "size", "updated", "dropped", "frames", "seen")

    def __init__(self, chain: tuple[int, ...], starts: tuple[int, ...], size: int) -> None:
        self.chain = chain
        self.starts = starts
        self.start = chain[-1]
        self.size = size
        self.updated = False
        self.dropped = False
        self.frames: list[Masks | None] = [None] * len(chain)
        self.seen = bytearray(size)

    def masks(self, frame: int) -> Masks:
        found = self.frames[frame]
        if found is None:
            found = self.frames[frame] = Masks(self.size)
        return found


@final
class LiveStack:
    """All instances, and the marks of the instruction being walked."""

    __slots__ = ("instances", "current", "acc", "pc", "query")

    def __init__(self) -> None:
        self.instances: dict[tuple[int, ...], Instance] = {}
        self.current: Instance | None = None
        self.acc: dict[int, int] = {}
        self.pc = 0
        self.query: list[Instance] = []

    # Marks ---------------------------------------------------------------------------------------------------------

    def begin(self, w: Walk, pc: int) -> None:
        """An instruction is about to be walked."""
        if self.current is None:
            self.current = self.lookup(w, w.state, len(w.state.frames) - 1)
        self.pc = pc
        if self.acc:
            self.acc = {}

    def read(self, w: Walk, frame: int, pc: int, mask: int) -> None:
        if self.current is None:
            self.current = self.lookup(w, w.state, len(w.state.frames) - 1)
        self._read(self.current, frame, pc, mask)

    def _read(self, inst: Instance, frame: int, pc: int, mask: int) -> None:
        m = inst.masks(frame)
        at = pc - inst.start
        new = m.may_read[at] | mask
        if new != m.may_read[at]:
            if new | m.live[at] != m.live[at]:
                inst.updated = True
            m.may_read[at] = new

    def write(self, frame: int, mask: int) -> None:
        self.acc[frame] = self.acc.get(frame, 0) | mask

    def commit(self) -> None:
        """The instruction has been walked."""
        if self.current is not None:
            self._commit(self.current)

    def _commit(self, inst: Instance) -> None:
        at = self.pc - inst.start
        seen = inst.seen[at]
        inst.seen[at] = 1
        if not self.acc and not seen:
            return
        for frame in range(len(inst.chain)):
            mask = self.acc.get(frame, 0)
            found = inst.frames[frame]
            if mask == 0 and (not seen or found is None or not found.must_write[at]):
                continue
            m = inst.masks(frame)
            old = m.must_write[at] & 0xFFFFFFFF         # 32 bits of 64: so does the kernel
            if seen:
                mask &= old
            if old != mask:
                m.must_write[at] = mask
                inst.updated = True
            if old & ~mask:
                inst.dropped = True

    def leave(self) -> None:
        """The chain of calls changes."""
        self.current = None

    def lookup(self, w: Walk, state: State, frame: int) -> Instance:
        frames = state.frames
        sites = tuple([frames[i + 1].callsite for i in range(frame)])
        sub = frames[frame].subprog
        chain = (*sites, w.subprogs[sub].start)
        found = self.instances.get(chain)
        if found is None:
            starts = tuple([w.subprogs[frames[i].subprog].start for i in range(frame + 1)])
            found = self.instances[chain] = Instance(chain, starts, w.end_of(sub) - w.subprogs[sub].start)
        return found

    # Propagation ---------------------------------------------------------------------------------------------------

    def update(self, w: Walk) -> None:
        """A path or a function ended: propagate what changed, innermost function first."""
        self.current = None
        for frame in range(len(w.state.frames) - 1, -1, -1):
            inst = self.lookup(w, w.state, frame)
            if inst.updated:
                self._propagate(w, inst)
                inst.updated = False
                inst.dropped = False

    def _propagate(self, w: Walk, inst: Instance) -> None:
        if inst.dropped:
            for m in inst.frames:
                if m is not None:
                    m.written = [0] * inst.size
        sub = w.subprog_at(inst.start)
        low = w.subprogs[sub].post_start
        high = w.subprogs[sub + 1].post_start if sub + 1 < len(w.subprogs) else len(w.postorder)
        order = w.postorder[low:high]
        rounds = 0
        changed = True
        while changed:
            rounds += 1
            changed = False
            for frame, m in enumerate(inst.frames):
                if m is not None:
                    for pc in order:
                        changed |= self._update(w, inst, m, frame, pc)
        if w.log is not None and w.log.level >= 2:
            w.log.line(f"{_chain_text(inst.chain)} live stack update done in {rounds} iterations")
        if len(inst.chain) > 1:
            self._to_caller(w, inst)

    def _update(self, w: Walk, inst: Instance, m: Masks, frame: int, pc: int) -> bool:
        follow = successors(w.insns, pc)
        if not follow:
            return False
        start = inst.start
        at = pc - start
        after = 0
        written = EVERYTHING
        for s in follow:
            after |= m.live[s - start]
            written &= m.written[s - start]
        written |= m.must_write[at]
        live = (after & ~m.must_write[at]) | m.may_read[at]
        changed = live != m.live[at] or written != m.written[at]
        if changed and w.log is not None and w.log.level >= 2 and (
                m.may_read[at] or m.must_write[at] or pc == start or w.aux[pc].prune_point):
            _log_change(w, inst, "live", frame, pc, m.live[at], live)
            _log_change(w, inst, "written", frame, pc, m.written[at], written)
        m.live[at] = live
        m.written[at] = written
        return changed

    def _to_caller(self, w: Walk, inst: Instance) -> None:
        chain = (*inst.chain[:-2], inst.starts[-2])
        outer = self.instances.get(chain)
        if outer is None:
            sub = w.subprog_at(chain[-1])
            outer = self.instances[chain] = Instance(chain, inst.starts[:-1], w.end_of(sub) - chain[-1])
        site = inst.chain[-2]
        saved_pc, saved_acc = self.pc, self.acc
        self.pc, self.acc = site, {}
        for frame in range(len(inst.chain) - 1):
            m = inst.frames[frame]
            if m is None:
                continue
            if m.written[0]:
                self.acc[frame] = m.written[0]
            self._read(outer, frame, site, m.live[0])
        self._commit(outer)
        self.pc, self.acc = saved_pc, saved_acc

    # Queries -------------------------------------------------------------------------------------------------------

    def ask(self, w: Walk, state: State) -> None:
        """The next `alive` questions are about this state."""
        self.query = [self.lookup(w, state, i) for i in range(len(state.frames))]

    def alive(self, w: Walk, state: State, frame: int) -> int:
        """The slots of a frame that may still be read from the state on, as a mask."""
        query = self.query
        last = len(query) - 1
        inst = query[last]
        m = inst.frames[frame]
        mask = m.live[state.pc - inst.start] if m is not None else 0
        for i in range(frame, last):
            site = inst.chain[i]
            outer = query[i]
            m = outer.frames[frame]
            if m is not None:
                mask |= m.live[site - outer.start + (0 if w.aux[site].calls_callback else 1)]
        return mask


def _chain_text(chain: tuple[int, ...]) -> str:
    return f"({','.join(str(site) for site in chain)})"


def _log_change(w: Walk, inst: Instance, what: str, frame: int, pc: int, old: int, new: int) -> None:
    if old == new or w.log is None:
        return
    text = f"{_chain_text(inst.chain)} frame {frame} insn {pc} "
    if new & ~old:
        text += f"+{what} {slots_text(new & ~old)} "
    if old & ~new:
        text += f"-{what} {slots_text(old & ~new)}"
    w.log.line(text)

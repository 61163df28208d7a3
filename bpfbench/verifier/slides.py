"""Where the walk of Linux 4.18, the verifier of the slides, differs from every later one.

It is the simplest form of the path walk: there are no loops, so an instruction is never met twice on one path, and

* every pruning point met leaves a checkpoint, none is ever dropped, and any checkpoint may cover a state;
* numbers are compared by their ranges always: nothing is known about which of them matter;
* only `==` and `!=` with a constant are decided; every other comparison is walked on both sides;
* the stack is accessed at known offsets only, and only pointers are saved as what they are;
* ranges are kept for the whole register, not for its low half.

Messages and log have their own wording.  The log has the state before each instruction at level 2, at level 1 only where
a path is taken up, and nothing of it is removed again.

Source: kernel/bpf/verifier.c of 4.18 and 4.19: `is_state_visited`, `check_mem_access`, `check_stack_read`,
`check_stack_boundary`, `check_cond_jmp_op`, `print_verifier_state`; slides 17-34.
"""

from __future__ import annotations

from typing import Final

from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.log import tnum_text
from bpfbench.verifier.regstate import RegState
from bpfbench.verifier.scalar import S64_MAX, S64_MIN, U64_MAX, s64
from bpfbench.verifier.state import MISC, SPILL, ZEROED, Frame, Slot, State
from bpfbench.verifier.walk import Walk

MAX_INSNS: Final = 4096             # BPF_MAXINSNS
MAX_PENDING: Final = 1024           # BPF_COMPLEXITY_LIMIT_STACK
MAX_STACK: Final = 512

NAMES: Final[dict[int, str]] = {    # as messages about arithmetic name them
    rs.MAP_PTR: "CONST_PTR_TO_MAP", rs.PACKET_END: "PTR_TO_PACKET_END",
    rs.MAP_VALUE | rs.MAYBE_NULL: "PTR_TO_MAP_VALUE_OR_NULL",
}


def visited(w: Walk, pc: int) -> bool:
    """At a pruning point: covered by any checkpoint there?  If not, leave one."""
    from bpfbench.verifier.chain import covered
    from bpfbench.verifier.compare import LOOSE, Comparison
    from bpfbench.verifier.prune import leave_checkpoint

    at = w.explored.setdefault(pc, [])
    if w.k.pruning:
        for old in at:
            compare = Comparison(w, LOOSE)
            if compare.states(old, w.state):
                old.hits += 1
                if w.observer is not None:
                    w.observer.prune(w.processed, pc, old, w.state)
                covered(w, old, w.state, False)
                return True
            old.misses += 1
            if w.observer is not None:
                w.observer.kept(w.processed, pc, old, w.state, compare.why)
    leave_checkpoint(w, pc, at)
    w.max_states_per_insn = max(w.max_states_per_insn, len(at))
    return False


def decide(insn: Instruction, a: RegState) -> int:
    """1 taken, 0 not taken, -1 depends: only a known number compared with a constant for equality."""
    if not insn.op.imm or insn.op.fn not in (ops.JEQ, ops.JNE) or not a.is_const:
        return -1
    return int((a.scalar.v == insn.imm & U64_MAX) == (insn.op.fn == ops.JEQ))


# The stack ----------------------------------------------------------------------------------------------------------


def stack_bounds(w: Walk, ptr: int, off: int, size: int, write: bool) -> None:
    """A load or store at a known place (`check_mem_access`)."""
    reg = w.state.frames[-1].regs[ptr]
    frame = w.state.frames[reg.frame]
    s = reg.scalar
    if s.m:
        raise w.refuse(f"variable stack access var_off={tnum_text(s.v, s.m, 0)} off={off} size={size}")
    off += s64(s.v)
    if off >= 0 or off < -MAX_STACK:
        raise w.refuse(f"invalid stack off={off} size={size}")
    used(w, frame, off)
    if write:
        if -off > 8 * len(frame.stack):
            frame.grow(-off)
    elif -off > 8 * len(frame.stack):
        raise w.refuse(f"invalid read from stack off {off}+0 size {size}")


def used(w: Walk, frame: Frame, off: int) -> None:
    depth = w.subprogs[frame.subprog]
    depth.stack_depth = max(depth.stack_depth, -off)


def check_fill(w: Walk, types: bytes, size: int) -> None:
    """A load from a slot that holds a pointer."""
    if size != 8:
        raise w.refuse("invalid size of register spill")
    if any(t != SPILL for t in types):
        raise w.refuse("corrupted spill memory")


def helper_memory(w: Walk, ptr: int, size: int, zero_ok: bool, raw: bool) -> bool:
    """Stack that a helper uses; True when it will be written without being read (`check_stack_boundary`)."""
    from bpfbench.verifier.chain import mark_slot

    reg = w.state.frames[-1].regs[ptr]
    frame = w.state.frames[reg.frame]
    s = reg.scalar
    if s.m:
        raise w.refuse(f"invalid variable stack read R{ptr} var_off={tnum_text(s.v, s.m, 0)}")
    off = reg.off + s64(s.v)
    if off >= 0 or off < -MAX_STACK or off + size > 0 or size < 0 or (size == 0 and not zero_ok):
        raise w.refuse(f"invalid stack type R{ptr} off={off} access_size={size}")
    if raw:
        return True
    for i in range(size):
        byte = -(off + i) - 1
        slot = frame.stack[byte >> 3] if byte >> 3 < len(frame.stack) else None
        kind = slot.types[byte & 7] if slot is not None else 0
        if slot is None or kind not in (MISC, ZEROED):
            raise w.refuse(f"invalid indirect read from stack off {off}+{i} size {size}")
        if kind == ZEROED:
            types = bytearray(slot.types)
            types[byte & 7] = MISC
            frame.stack[byte >> 3] = Slot(bytes(types), slot.reg)
        mark_slot(w, frame, byte >> 3)
    used(w, frame, off)
    return False


# The log ------------------------------------------------------------------------------------------------------------


def log_insn(w: Walk, pc: int, prev: int, fresh_path: bool) -> None:
    log = w.log
    assert log is not None
    if log.level > 1 or fresh_path:
        log.line((f"{pc}:" if log.level > 1 else f"\nfrom {prev} to {pc}:") + state_text(w.state))
    log.line(f"{pc}: {w.insn_text[pc]}")


def log_state(w: Walk) -> None:
    """After a comparison that both sides of are walked, and before an access to a map's value."""
    if w.log is not None:
        w.log.line(state_text(w.state))


def state_text(state: State) -> str:
    """Registers and slots of the current function (`print_verifier_state`)."""
    frame = state.frames[-1]
    last = len(state.frames) - 1
    out = f" frame{last}:" if last else ""
    for i, reg in enumerate(frame.regs):
        if reg.kind != rs.NOT_INIT:
            out += f" R{i}{_live(frame.live[i])}={register_text(state, reg)}"
    for i, slot in enumerate(frame.stack):
        live = _live(frame.stack_live[i]) if i < len(frame.stack_live) else ""
        if slot.types[7] == SPILL:
            out += f" fp-{8 * i + 8}{live}={rs.kind_text(slot.reg.kind, 0)}"
        elif slot.types[7] == ZEROED:
            out += f" fp-{8 * i + 8}=0"
    return out


def _live(mark: int) -> str:
    return ("_" if mark & 7 else "") + ("r" if mark & 3 else "") + ("w" if mark & 4 else "")


def register_text(state: State, reg: RegState) -> str:
    """
    >>> register_text(State(), rs.UNKNOWN_NUMBER)
    'inv(id=0)'
    """
    s = reg.scalar
    name = "inv" if reg.kind == rs.SCALAR else rs.kind_text(reg.kind, 0)
    if reg.kind in (rs.SCALAR, rs.STACK) and s.m == 0:
        call = f",call_{state.frames[reg.frame].callsite}" if reg.kind == rs.STACK else ""
        return f"{name}{s64(s.v) + (reg.off if reg.kind == rs.STACK else 0)}{call}"
    parts = [f"id={reg.id}"]
    if reg.kind != rs.SCALAR:
        parts.append(f"off={reg.off}")
    if reg.kind in rs.PACKET_KINDS:
        parts.append(f"r={max(reg.range, 0)}")
    elif reg.map is not None:
        parts.append(f"ks={reg.map.key_size},vs={reg.map.value_size}")
    if s.m == 0:
        parts.append(f"imm={s.v:x}")
    else:
        if s.smin & U64_MAX != s.umin and s.smin != S64_MIN:
            parts.append(f"smin_value={s.smin}")
        if s.smax & U64_MAX != s.umax and s.smax != S64_MAX:
            parts.append(f"smax_value={s.smax}")
        if s.umin:
            parts.append(f"umin_value={s.umin}")
        if s.umax != U64_MAX:
            parts.append(f"umax_value={s.umax}")
        if s.m != U64_MAX:
            parts.append(f"var_off={tnum_text(s.v, s.m, 0)}")
    return f"{name}({','.join(parts)})"

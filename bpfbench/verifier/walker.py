"""The path walk: executing the program in mind, one path after another (slides 29-31).

      state = start
      loop:  at a pruning point: covered by a checkpoint?  then end the path
             check the instruction, change the state
             conditional jump: push the other side
             exit: take up a pushed path, or done

`walk_main` walks the program, `walk_function` a global function by itself.  Each instruction is counted as *processed*
when it is looked at, also where the path ends there.

Source: kernel/bpf/verifier.c `do_check`, `do_check_insn`, `do_check_common`.
"""

from __future__ import annotations

from bpfbench.errors import VerifierError, Where
from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.verifier import alu, branch, calls, memory, regions, slides
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.checks import Slot
from bpfbench.verifier.flaws import refuse_flawed
from bpfbench.verifier.helpers import call_helper
from bpfbench.verifier.jump_history import push_step
from bpfbench.verifier.liveness import LiveStack
from bpfbench.verifier.log import state_text
from bpfbench.verifier.paths import finish, pop, push
from bpfbench.verifier.prune import visited
from bpfbench.verifier.references import check_leak, check_resources
from bpfbench.verifier.regstate import RegState
from bpfbench.verifier.scalar import ZERO, Scalar
from bpfbench.verifier.state import MAIN, Frame, State
from bpfbench.verifier.subprogs import insist, look_at
from bpfbench.verifier.walk import E2BIG, EACCES, EINVAL, EPERM, Refuse, Walk
from bpfbench.verifier.widen import previous_entry, widen

ALL_REGS = (1 << 11) - 1
ALL_SLOTS = (1 << 64) - 1


def show_state(w: Walk) -> None:
    """Write the registers and slots that the last instruction touched behind it."""
    log = w.log
    if log is None:
        return
    if w.k.slides:
        slides.log_state(w)
        return
    state = w.state
    log.insn_state(w.pc, state_text(state, len(state.frames) - 1, log.gen, False, w.scratched, w.scratched_slots))
    w.scratched = 0
    w.scratched_slots = 0


def start_state(w: Walk, subprog: int) -> State:
    state = State()
    frame = Frame(MAIN, 0, subprog, w.k.liveness == 0)
    state.frames.append(frame)
    state.first = w.subprogs[subprog].start
    if subprog == 0:
        if w.k.version >= (6, 8):
            look_at(w, 0)
        frame.regs[1] = RegState(rs.CTX, ZERO)
    else:
        insist(w, subprog)
        _arguments(w, subprog, frame)
    return state


def _arguments(w: Walk, subprog: int, frame: Frame) -> None:
    """A global function's arguments may be anything of their type."""
    for i, (kind, size) in enumerate(w.subprogs[subprog].args or []):
        if kind == "ctx":
            frame.regs[i + 1] = RegState(rs.CTX, ZERO)
        elif kind == "any":
            frame.regs[i + 1] = w.unknown_reg
        elif kind == "unknown":
            raise VerifierError("not supported: a global function that takes a dynptr, arena or trusted pointer",
                                Where(pc=w.pc))
        else:
            flag = rs.MAYBE_NULL if kind == "mem?" else 0
            frame.regs[i + 1] = RegState(rs.MEM | flag, ZERO, id=w.new_id(), size=size)


def walk_function(w: Walk, subprog: int, code: list[Slot], strange: list[bool]) -> None:
    """All paths through one function (and what it calls); raises Refuse."""
    w.state = start_state(w, subprog)
    w.pc = w.subprogs[subprog].start
    w.prev = -1
    w.pending.clear()
    w.explored = {}
    w.scc_visits = {}
    w.scratched = ALL_REGS
    w.scratched_slots = ALL_SLOTS
    if w.k.liveness == 1 and w.live_stack is None:
        w.live_stack = LiveStack()
    mark = w.log.mark() if w.log is not None else 0
    _walk(w, code, strange)
    if w.log is not None and w.log.level == 1 and not w.k.slides:
        w.log.cut(0 if w.k.version >= (6, 1) else mark)


def _walk(w: Walk, code: list[Slot], strange: list[bool]) -> None:
    insns, aux_of, seen, k, log, observer = w.insns, w.aux, w.seen, w.k, w.log, w.observer
    limit = k.insn_limit
    static = k.liveness == 1
    live = w.live_stack
    fresh_path = False
    prev = -1
    n = len(insns)
    while True:
        w.hist_open = False
        w.prev = prev
        pc = w.pc
        state = w.state
        if pc >= n:
            raise w.refuse(f"invalid insn idx {pc} insn_cnt {n}", 14)
        w.processed += 1
        if w.processed > limit:
            raise w.refuse(f"BPF program is too large. Processed {w.processed} insn", E2BIG)
        state.last = prev
        state.pc = pc
        aux = aux_of[pc]
        ended = False
        if aux.prune_point and visited(w, pc):
            if log is not None:
                side = " (speculative execution)" if state.speculative else ""
                log.line(f"\nfrom {prev} to {pc}{side}: safe" if fresh_path else f"{pc}: safe")
            ended = True
        else:
            if aux.jmp_point and not (w.just_kept and not k.state_ids):
                push_step(w, 0, -1, 0, ())
            w.just_kept = False
            if log is not None:
                _log_insn(w, pc, prev, fresh_path)
                if log.level >= 2 or k.slides:
                    fresh_path = False
            if observer is not None:
                observer.visit(w.processed, pc, state)
            if not state.speculative:
                seen[pc] = 1
            prev = pc
            if state.speculative and aux.nospec:
                ended = True
            else:
                if static:
                    live.begin(w, pc)  # type: ignore[attr-defined]
                try:
                    insn = insns[pc]
                    if insn is None or strange[pc]:
                        refuse_flawed(w, code[pc])
                        raise AssertionError
                    before = len(state.frames)
                    ended = _step(w, insn)
                    if static:
                        live.commit()  # type: ignore[attr-defined]
                    if len(w.state.frames) < before and not ended and insn.kind == ops.EXIT:
                        fresh_path = True
                except Refuse as no:
                    if not (k.nospec and state.speculative and no.errno in (EPERM, EACCES, EINVAL)):
                        raise
                    if static:
                        live.commit()  # type: ignore[attr-defined]
                    note = w.note(pc)
                    note.nospec = True
                    note.alu_state = 0
                    ended = True
                if not ended and state.speculative and aux_of[pc].nospec_result:
                    ended = True
        if not ended:
            continue
        if observer is not None:
            observer.end(w.processed, pc, w.state)
        w.scratched = ALL_REGS
        w.scratched_slots = ALL_SLOTS
        finish(w, w.state)
        if static:
            live.update(w)  # type: ignore[attr-defined]
        if not pop(w):
            return
        prev = w.prev
        fresh_path = True


def _log_insn(w: Walk, pc: int, prev: int, fresh_path: bool) -> None:
    log = w.log
    assert log is not None
    if w.k.slides:
        slides.log_insn(w, pc, prev, fresh_path)
        return
    if log.level >= 2 and fresh_path:
        side = " (speculative execution)" if w.state.speculative else ""
        last = len(w.state.frames) - 1
        log.line(f"\nfrom {prev} to {pc}{side}:" + state_text(w.state, last, log.gen, True, 0, 0))
    if w.scratched or w.scratched_slots:
        show_state(w)
    line = w.prog.lines.get(pc)
    if line is not None and w.prog.line_info:
        log.line(f"; {line.text.strip()} @ {line.file.rsplit('/', 1)[-1]}:{line.line}")
    log.insn(pc, w.insn_text[pc])


def _step(w: Walk, insn: Instruction) -> bool:
    """Check one instruction and move on; True when the path ends."""
    kind = insn.kind
    if kind in (ops.ALU64, ops.ALU32):
        alu.alu(w, insn)
    elif kind == ops.LDX or kind == ops.LDXS:
        memory.load(w, insn)
        alu.check_sane(w, insn.dst, "ldx")
    elif kind == ops.JMP or kind == ops.JMP32:
        w.jmps += 1
        w.pc += branch.jump(w, insn)
    elif kind == ops.STX:
        memory.store(w, insn)
    elif kind == ops.ST:
        memory.store_immediate(w, insn)
    elif kind == ops.LDDW:
        _wide_load(w, insn)
        w.pc += 1
        if not w.state.speculative:
            w.seen[w.pc] = 1
    elif kind == ops.CALL:
        w.jmps += 1
        call_helper(w, insn)
        w.scratched |= 1
    elif kind == ops.JA:
        w.jmps += 1
        w.pc += insn.jump
    elif kind == ops.EXIT:
        w.jmps += 1
        if calls.exit_program(w):
            return True
        return False
    else:
        return _rare(w, insn, kind)
    w.pc += 1
    return False


def _rare(w: Walk, insn: Instruction, kind: int) -> bool:
    if kind == ops.CALL_LOCAL:
        w.jmps += 1
        if w.state.active_locks and w.k.version < (6, 13):
            raise w.refuse("function calls are not allowed while holding a lock", EINVAL)
        calls.call_local(w, insn)
        w.scratched |= 1
    elif kind == ops.MOVSX:
        alu.move_sign_extended(w, insn)
    elif kind == ops.END:
        alu.byte_order(w, insn)
    elif kind == ops.ATOMIC:
        memory.atomic(w, insn)
    elif kind == ops.LOAD_ACQ:
        memory.load_acquire(w, insn)
    elif kind == ops.STORE_REL:
        memory.store_release(w, insn)
    elif kind in (ops.LD_ABS, ops.LD_IND):
        _packet_load(w, insn, kind)
    elif kind == ops.MAY_GOTO:
        w.jmps += 1
        _may_goto(w, insn)
    elif kind == ops.CALL_KFUNC:
        w.jmps += 1
        from bpfbench.verifier.kfunc_calls import call_kfunc

        call_kfunc(w, insn)
        w.scratched |= 1
    elif kind == ops.ADDR_CAST and not any(m.type == "arena" for m in w.prog.maps):
        if insn.imm not in (1, 1 << 16):
            raise w.refuse("addr_space_cast insn can only convert between address space 1 and 0", EINVAL)
        raise w.refuse("addr_space_cast insn can only be used in a program that has an associated arena", EINVAL)
    else:
        raise VerifierError(f"not supported: {insn.op.name} in the path walk", Where(pc=w.pc))
    w.pc += 1
    return False


def _wide_load(w: Walk, insn: Instruction) -> None:
    """dst = a 64-bit constant, a map, a map's value, a function"""
    w.overwrite(insn.dst)
    regs = w.state.frames[-1].regs
    fn = insn.op.fn
    if fn == ops.IMM:
        regs[insn.dst] = RegState(rs.SCALAR, Scalar.const(insn.imm), precise=w.unknown_reg.precise)
    elif fn == ops.FUNC:
        if w.func_info is None:
            raise w.refuse("missing btf func_info", EINVAL)
        number = w.subprog_starting(w.pc + insn.imm + 1)
        if w.subprogs[number].is_global:
            raise w.refuse("callback function not static", EINVAL)
        if number == 0:
            raise w.refuse("callback function cannot be the main program", EINVAL)
        regs[insn.dst] = RegState(rs.FUNC, ZERO, subprog=number)
    elif fn == ops.BTF_ID:
        from bpfbench.verifier.kernel_variables import address

        regs[insn.dst] = address(w, insn.imm)
    else:
        m, at = w.lddw_map[w.pc]
        if fn in (ops.MAP_VALUE, ops.MAP_IDX_VALUE):
            regs[insn.dst] = RegState(rs.MAP_VALUE, ZERO, at, map=m)
        else:
            regs[insn.dst] = RegState(rs.MAP_PTR, ZERO, map=m)


def _packet_load(w: Walk, insn: Instruction, kind: int) -> None:
    """r0 = packet bytes at a fixed offset: the old way (`check_ld_abs`)."""
    from bpfbench.verifier import progtypes

    row = progtypes.prog_type(w.prog.type)
    if row is None or not row.ld_abs:
        raise w.refuse("BPF_LD_[ABS|IND] instructions not allowed for this program type", EINVAL)
    if w.k.version >= (6, 7) and any(f.in_callback for f in w.state.frames[1:]):
        raise w.refuse("cannot use BPF_LD_[ABS|IND] within callback", EINVAL)
    if w.k.slides and len(w.subprogs) > 1:
        raise w.refuse("BPF_LD_[ABS|IND] instructions cannot be mixed with bpf-to-bpf calls", EINVAL)
    w.read(6)
    if w.k.resource_text:
        check_resources(w, False, True, "BPF_LD_[ABS|IND]")
    else:
        try:
            check_leak(w)
        except Refuse:
            raise w.refuse("BPF_LD_[ABS|IND] cannot be mixed with socket references", EINVAL) from None
        if w.state.active_locks:
            raise w.refuse("BPF_LD_[ABS|IND] cannot be used inside bpf_spin_lock-ed region", EINVAL)
    frame = w.state.frames[-1]
    ctx = frame.regs[6]
    if ctx.kind != rs.CTX:
        raise w.refuse("at the time of BPF_LD_ABS|IND R6 != pointer to skb", EINVAL)
    if kind == ops.LD_IND:
        w.read(insn.src)
    regions.pointer_offset(w, ctx, 6, False)
    calls.clear_caller_saved(w, frame)
    frame.regs[0] = w.unknown_reg
    if len(w.state.frames) > 1 and w.k.tail_exits:
        # A load outside the packet ends the function with 0.
        w.scratched |= 1
        push(w, w.pc + 1, w.pc, False)
        frame.regs[0] = RegState(rs.SCALAR, ZERO)
        calls.leave(w)
        w.pc -= 1


def _may_goto(w: Walk, insn: Instruction) -> None:
    """Jump at some time: the fall-through is walked as another round of the loop."""
    state = w.state
    here = state.parent if state.parent is not None else state      # the checkpoint made at this very instruction
    old = previous_entry(w, here, w.pc)
    queued = push(w, w.pc + 1, w.pc, False)
    queued.may_goto += 1
    if old is not None:
        widen(w, old, queued)
    w.pc += insn.off


def walk_main(w: Walk, code: list[Slot], strange: list[bool]) -> None:
    walk_function(w, 0, code, strange)

"""Calls inside the program, returns, callbacks, and the end.

A called function gets a frame of its own: r1-r5 from the caller, a fresh stack.  The walk goes straight on inside it,
and comes back at its exit with r0.  A *global* function is verified once by itself, for any arguments of its
prototype; a call to one only checks the arguments.  A callback is a function that a helper calls: the walker walks it
zero or more times, as the body of a loop whose head is the helper's call.

Sources: kernel/bpf/verifier.c `check_func_call`, `prepare_func_exit`, `push_callback_call`, `check_return_code`;
slide 25.
"""

from __future__ import annotations

from bpfbench.isa.insn import Instruction
from bpfbench.verifier import progtypes, tnum
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.log import state_text
from bpfbench.verifier.paths import push
from bpfbench.verifier.precision import mark_chain
from bpfbench.verifier.references import check_resources
from bpfbench.verifier.regstate import UNINIT, RegState
from bpfbench.verifier.scalar import S64_MAX, S64_MIN, ZERO
from bpfbench.verifier.state import MAIN, MAX_FRAMES, Frame, State
from bpfbench.verifier.walk import E2BIG, EACCES, EINVAL, ENOTSUPP, Pending, Walk
from bpfbench.verifier.widen import previous_entry, widen


def clear_caller_saved(w: Walk, frame: Frame) -> None:
    """r0-r5 hold nothing after a call."""
    for r in range(6):
        frame.regs[r] = UNINIT
    w.scratched |= 0b111111
    if w.k.liveness == 0:
        for r in range(6):
            frame.live[r] |= 4


def enter(w: Walk, state: State, subprog: int, site: int) -> Frame:
    """A new frame on top of the state's (`setup_func_entry`)."""
    if len(state.frames) >= MAX_FRAMES:
        raise w.refuse(f"the call stack of {len(state.frames) + 1} frames is too deep", E2BIG)
    frame = Frame(site, len(state.frames), subprog, w.k.liveness == 0)
    state.frames.append(frame)
    w.scratched = (1 << 11) - 1
    w.scratched_slots = (1 << 64) - 1
    return frame


def call_local(w: Walk, insn: Instruction) -> None:
    """call pc+imm"""
    target = w.pc + insn.imm + 1
    subprog = w.subprog_starting(target)
    sub = w.subprogs[subprog]
    caller = w.state.frames[-1]
    if sub.is_global:
        _call_global(w, subprog)
        return
    callee = enter(w, w.state, subprog, w.pc)
    callee.regs[1:6] = caller.regs[1:6]
    if w.k.liveness == 0:
        from bpfbench.verifier.chain import enter_frame

        enter_frame(caller, callee)
    clear_caller_saved(w, caller)
    if w.k.liveness == 1:
        w.live_stack.leave()  # type: ignore[attr-defined]
    w.pc = sub.start - 1
    if w.log is not None:
        last = len(w.state.frames) - 1
        w.log.line("caller:")
        w.log.line(state_text(w.state, last - 1, w.k.log_gen, True, 0, 0))
        w.log.line("callee:")
        w.log.line(state_text(w.state, last, w.k.log_gen, True, 0, 0))


def _call_global(w: Walk, subprog: int) -> None:
    from bpfbench.verifier.subprogs import check_arguments

    sub = w.subprogs[subprog]
    if w.state.active_locks:
        raise w.refuse("global function calls are not allowed while holding a lock,\nuse static function instead", EINVAL)
    check_arguments(w, subprog)
    if w.log is not None:
        w.log.line(f"Func#{subprog} ('{sub.name}') is global and assumed valid.")
    if sub.changes_pkt and w.k.pkt_data_subprogs:
        forget_packets(w)
    sub.called = True
    frame = w.state.frames[-1]
    clear_caller_saved(w, frame)
    frame.regs[0] = w.unknown_reg


def forget_packets(w: Walk) -> None:
    """A helper may have moved the packet: every pointer into it is void (`clear_all_pkt_pointers`)."""
    from bpfbench.verifier.references import invalid
    from bpfbench.verifier.state import Slot

    gone = invalid(w)
    kinds = (rs.PACKET, rs.PACKET_META, rs.PACKET_END)
    for frame in w.state.frames:
        for i, reg in enumerate(frame.regs):
            if reg.kind in kinds:
                frame.regs[i] = gone
        for i, slot in enumerate(frame.stack):
            if slot.spilled and slot.reg.kind in kinds:
                frame.stack[i] = Slot(slot.types, gone)


# Callbacks ----------------------------------------------------------------------------------------------------------


def push_callback(w: Walk, subprog: int, kind: str, insn: Instruction) -> None:
    """Walk the callback later, with the arguments the helper will pass (`push_callback_call`)."""
    sub = w.subprogs[subprog]
    sub.is_callback = True
    if kind == "timer":
        _push_async(w, subprog)
        return
    caller = w.state.frames[-1]
    if not w.k.callbacks_as_loops:
        _enter_callback_once(w, subprog, kind)
        return
    state = push(w, sub.start, w.pc, False)
    callee = enter(w, state, subprog, w.pc)
    arguments(w, kind, state.frames[-2], callee)
    state.callback_unroll += 1
    state.frames[-2].callback_depth += 1
    caller.callback_depth = 0


def _enter_callback_once(w: Walk, subprog: int, kind: str) -> None:
    """Before 6.7 the callback is walked once, right here."""
    caller = w.state.frames[-1]
    callee = enter(w, w.state, subprog, w.pc)
    arguments(w, kind, caller, callee)
    if w.k.liveness == 0:
        from bpfbench.verifier.chain import enter_callback

        enter_callback(kind, caller, callee)
    w.pc = w.subprogs[subprog].start - 1
    clear_caller_saved(w, caller)
    if w.log is not None:
        last = len(w.state.frames) - 1
        w.log.line("caller:")
        w.log.line(state_text(w.state, last - 1, w.k.log_gen, True, 0, 0))
        w.log.line("callee:")
        w.log.line(state_text(w.state, last, w.k.log_gen, True, 0, 0))
    for r in range(6):
        callee.live[r] |= 4         # the helper's own clearing of r0-r5 meets the new function


def _push_async(w: Walk, subprog: int) -> None:
    """A callback that runs some time later, on its own (`push_async_cb`)."""
    sub = w.subprogs[subprog]
    sub.is_async = True
    caller = w.state.frames[-1]
    state = State()
    frame = Frame(MAIN, 0, subprog, w.k.liveness == 0)
    state.frames.append(frame)
    state.first = 0                     # the kernel leaves it so, and its log shows it
    w.scratched = (1 << 11) - 1
    w.scratched_slots = (1 << 64) - 1
    w.pending.append(Pending(state, sub.start, w.pc, w.log.mark() if w.log is not None else 0))
    if len(w.pending) > 8192:
        raise w.refuse(f"The sequence of {len(w.pending)} jumps is too complex for async cb.", E2BIG)
    frame.async_entry = caller.async_entry + 1
    arguments(w, "timer", caller, frame)


def arguments(w: Walk, kind: str, caller: Frame, callee: Frame) -> None:
    """r1-r5 of a callback, by the helper that calls it."""
    regs = callee.regs
    given = caller.regs
    m = given[1].map
    uid = given[1].map_uid
    if kind == "loop":
        regs[1] = w.unknown_reg
        regs[2] = given[3]
    elif kind == "map":
        if m is None or m.type not in ("hash", "percpu_hash", "lru_hash", "lru_percpu_hash", "array", "percpu_array"):
            raise w.refuse("callback function not allowed for map", ENOTSUPP)
        regs[1] = given[1]
        regs[2] = RegState(rs.MAP_KEY, ZERO, map=m, map_uid=uid)
        regs[3] = RegState(rs.MAP_VALUE, ZERO, map=m, map_uid=uid)
        regs[4] = given[3]
    elif kind == "timer":
        regs[1] = RegState(rs.MAP_PTR, ZERO, map=m, map_uid=uid)
        regs[2] = RegState(rs.MAP_KEY, ZERO, map=m, map_uid=uid)
        regs[3] = RegState(rs.MAP_VALUE, ZERO, map=m, map_uid=uid)
    elif kind == "vma":
        regs[1] = given[1]
        regs[2] = RegState(rs.BTF_ID, ZERO, struct="vm_area_struct")
        regs[3] = given[4]
    elif kind == "user_ringbuf":
        regs[1] = RegState(rs.DYNPTR, ZERO, id=w.new_id(), special=rs.Special("local", True))
        regs[2] = given[3]
    callee.in_callback = kind != "timer"
    callee.in_async = kind == "timer"
    callee.ret_min, callee.ret_max = 0, (0 if kind == "timer" and w.k.version >= (6, 18) else 1)


# Returning ----------------------------------------------------------------------------------------------------------


def leave(w: Walk) -> None:
    """exit in a called function: back to the caller (`prepare_func_exit`)."""
    if w.k.liveness == 1:
        w.live_stack.update(w)  # type: ignore[attr-defined]
    state = w.state
    callee = state.frames[-1]
    r0 = callee.regs[0]
    if r0.kind == rs.STACK:
        raise w.refuse("cannot return stack pointer to the caller", EINVAL)
    caller = state.frames[-2]
    if callee.in_callback:
        if r0.kind != rs.SCALAR:
            raise w.refuse("R0 not a scalar value", EACCES)
        if w.k.liveness == 0:
            from bpfbench.verifier.chain import mark_read

            mark_read(w, callee, 0)
        mark_chain(w, 0)
        r0 = callee.regs[0]
        if w.k.retval_precise:
            inside = callee.ret_min <= r0.scalar.smin and r0.scalar.smax <= callee.ret_max
        else:
            inside = tnum.contains(tnum.span(callee.ret_min, callee.ret_max), (r0.scalar.v, r0.scalar.m))
        if not inside:
            raise _bad_return(w, r0, callee.ret_min, callee.ret_max, "At callback return", "R0")
        target = callee.callsite if w.k.callbacks_as_loops else callee.callsite + 1
    else:
        caller.regs[0] = r0
        if w.k.liveness == 0:
            from bpfbench.verifier.chain import leave_frame

            leave_frame(caller, callee)
        target = callee.callsite + 1
    if w.log is not None:
        last = len(state.frames) - 1
        w.log.line("returning from callee:")
        w.log.line(state_text(state, last, w.k.log_gen, True, 0, 0))
        w.log.line(f"to caller at {target}:")
        w.log.line(state_text(state, last - 1, w.k.log_gen, True, 0, 0))
    in_callback = callee.in_callback
    state.frames.pop()
    w.pc = target
    if in_callback and w.k.callbacks_as_loops:
        state.pc = target
        old = previous_entry(w, state, target)
        if old is not None:
            widen(w, old, state)


def _bad_return(w: Walk, reg: RegState, low: int, high: int, where: str, name: str) -> Exception:
    s = reg.scalar
    if w.k.version < (6, 8):
        from bpfbench.verifier.log import tnum_text

        value = f"has value {tnum_text(s.v, s.m, 0)}" if s.m != (1 << 64) - 1 else "has unknown scalar value"
        span = f"(0x{low:x}; 0x{high - low:x})" if low == 0 else f"(0x{low:x}; 0x{high ^ low:x})"
        return w.refuse(f"{where} the register {name} {value} should have been in {span}", EINVAL)
    text = f"{where} the register {name} has"
    unknown = True
    if s.smin > S64_MIN:
        text += f" smin={s.smin}"
        unknown = False
    if s.smax < S64_MAX:
        text += f" smax={s.smax}"
        unknown = False
    if unknown:
        text += " unknown scalar value"
    return w.refuse(f"{text} should have been in [{low}, {high}]", EINVAL)


def exit_program(w: Walk) -> bool:
    """An exit instruction; True when the path ends, False when it goes on in the caller."""
    main = len(w.state.frames) == 1
    if w.k.resource_text:
        check_resources(w, False, main, "BPF_EXIT instruction in main prog")
    else:
        if main and w.state.active_locks:
            raise w.refuse("bpf_spin_unlock is missing", EINVAL)
        if main and w.state.rcu_locks:
            raise w.refuse("bpf_rcu_read_unlock is missing", EINVAL)
        from bpfbench.verifier.references import check_leak

        check_leak(w)
    if not main:
        leave(w)
        return False
    check_return(w)
    return True


def check_return(w: Walk) -> None:
    """What the program leaves in r0 (`check_return_code`)."""
    reg = w.read(0)
    if w.leaks(reg):
        raise w.refuse("R0 leaks addr as return value")
    frame = w.state.frames[0]
    if frame.in_async:
        _enforce(w, reg, 0, 0, "At async callback return")
        return
    if frame.subprog and not frame.in_exception:
        if reg.kind != rs.SCALAR:
            raise w.refuse(f"At subprogram exit the register R0 is not a scalar value ({w.named(reg.kind)})", EINVAL)
        return
    allowed = progtypes.exit_range(w.prog.type, w.prog.attach_type, w.k.version)
    if allowed is None:
        return
    _enforce(w, reg, allowed[0], allowed[1], "At program exit")


def _enforce(w: Walk, reg: RegState, low: int, high: int, where: str) -> None:
    if reg.kind != rs.SCALAR:
        raise w.refuse(f"{where} the register R0 is not a known value ({w.named(reg.kind)})", EINVAL)
    if w.k.retval_precise:
        mark_chain(w, 0)
        reg = w.state.frames[-1].regs[0]
        if not (low <= reg.scalar.smin and reg.scalar.smax <= high):
            raise _bad_return(w, reg, low, high, where, "R0")
        return
    span = tnum.span(low, high)
    s = reg.scalar
    if not tnum.contains(span, (s.v, s.m)):
        from bpfbench.verifier.log import tnum_text

        value = f"has value {tnum_text(s.v, s.m, 0)}" if s.m != (1 << 64) - 1 else "has unknown scalar value"
        wanted = "0 or 1" if w.k.slides else f"in {tnum_text(span[0], span[1], 0)}"
        raise w.refuse(f"{where} the register R0 {value} should have been {wanted}", EINVAL)

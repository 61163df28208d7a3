"""Calls of helper functions: what the helper takes, what it does, what it returns.

Source: kernel/bpf/verifier.c `check_helper_call`; slide 24.
"""

from __future__ import annotations

from typing import Final

from bpfbench.isa.helpers import helper_id, helper_name
from bpfbench.isa.insn import Instruction
from bpfbench.program.program import MAP_TYPE_IDS, PROG_TYPE_IDS
from bpfbench.verifier import arguments as ar
from bpfbench.verifier import bounds, calls, dynptr
from bpfbench.verifier import helper_protos as hp
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.alu import check_sane
from bpfbench.verifier.arguments import Call
from bpfbench.verifier.paths import push
from bpfbench.verifier.precision import mark_chain
from bpfbench.verifier.references import acquire, check_leak, check_resources, release_reference
from bpfbench.verifier.regstate import RegState
from bpfbench.verifier.scalar import ZERO
from bpfbench.verifier.walk import EFAULT, EINVAL, ENOTSUPP, Refuse, Walk


def _id(name: str) -> int:
    return helper_id(name)


TAIL_CALL: Final = _id("tail_call")
LOOKUP: Final = _id("map_lookup_elem")
_RECORDED: Final = frozenset(_id(n) for n in (
    "tail_call map_lookup_elem map_update_elem map_delete_elem map_push_elem map_pop_elem map_peek_elem for_each_map_elem "
    "redirect_map map_lookup_percpu_elem").split())
_WRITES_MAP: Final = frozenset(_id(n) for n in "map_delete_elem map_update_elem map_push_elem map_pop_elem".split())
_BOUNDED: Final = frozenset(_id(n) for n in (
    "get_stack get_task_stack probe_read_str probe_read_kernel_str probe_read_user_str").split())
_CALLBACK_KINDS: Final = {_id("for_each_map_elem"): "map", _id("timer_set_callback"): "timer", _id("find_vma"): "vma",
                          _id("user_ringbuf_drain"): "user_ringbuf"}
_LOOP: Final = _id("loop")
_LOCAL_STORAGE: Final = _id("get_local_storage")
_FROM_MEM: Final = _id("dynptr_from_mem")
_DYN_DATA: Final = _id("dynptr_data")
_DYN_WRITE: Final = _id("dynptr_write")
_SNPRINTF: Final = _id("snprintf")
_CPU_ID: Final = _id("get_smp_processor_id")
_FUNC_IP: Final = _id("get_func_ip")
_UNLOCK: Final = _id("spin_unlock")
_RETURNS: Final[dict[int, int]] = {
    hp.RET_MAP_VALUE: rs.MAP_VALUE, hp.RET_SOCKET: rs.SOCKET, hp.RET_TCP_SOCK: rs.TCP_SOCK,
    hp.RET_SOCK_COMMON: rs.SOCK_COMMON, hp.RET_RINGBUF_MEM: rs.MEM | rs.RINGBUF, hp.RET_DYNPTR_MEM: rs.MEM,
    hp.RET_BTF_ID: rs.BTF_ID, hp.RET_BTF_ID_TRUSTED: rs.BTF_ID | rs.TRUSTED, hp.RET_MEM_OR_BTF_ID: rs.MEM,
}  # fmt: skip


def named(number: int) -> str:
    """The helper as messages name it."""
    name = helper_name(number) if number > 0 else "" if number else "unspec"
    return f"{'bpf_' + name if name else 'unknown'}#{number}"


def call_helper(w: Walk, insn: Instruction) -> None:
    """call helper"""
    number = insn.imm
    if w.state.active_locks and number != _UNLOCK:
        raise w.refuse("function calls are not allowed while holding a lock", EINVAL)
    proto = hp.proto(number, w.prog.type, w.prog.attach_type, w.k.version, w.bpf_capable, w.perfmon)
    if proto is None:
        raise _unknown(w, number)
    if proto.gpl_only and not w.gpl:
        raise w.refuse("cannot call GPL-restricted function from non-GPL compatible program", EINVAL)
    if proto.might_sleep and not w.sleepable:
        raise w.refuse("helper call might sleep in a non-sleepable prog", EINVAL)
    call = Call(proto)
    for n in range(len(proto.args)):
        ar.argument(w, n, call)
    _record_map(w, number, call)
    if call.raw.size:
        from bpfbench.verifier.memory import access

        for i in range(call.raw.size):
            access(w, call.raw.reg, i, 1, True, -1, False, False)
    if call.release:
        _release(w, number, call)
    changes = hp.changes_packet(number, w.k.version)
    frame = w.state.frames[-1]
    given = frame.regs[1:6]
    changes |= _effects(w, insn, number, call)
    calls.clear_caller_saved(w, frame)
    _result(w, number, call, given, frame.regs)
    _check_map(w, number, call)
    if number == _FUNC_IP and w.prog.type not in ("kprobe", "tracing"):
        raise w.refuse(f"func {named(number)} not supported for program type {PROG_TYPE_IDS[w.prog.type]}", ENOTSUPP)
    if number == TAIL_CALL and w.k.tail_exits:
        changes = _tail_call_exits(w)
    if changes:
        calls.forget_packets(w)


def _tail_call_exits(w: Walk) -> bool:
    """In a called function: a tail call that succeeds does not come back here but to the caller."""
    if len(w.state.frames) == 1:
        return False
    w.scratched |= 1
    push(w, w.pc + 1, w.pc, False)
    calls.forget_packets(w)
    w.state.frames[-1].regs[0] = w.unknown_reg
    calls.leave(w)
    w.pc -= 1
    return True


def _unknown(w: Walk, number: int) -> Refuse:
    last = max(HELPER_COUNT.get(w.k.version, 211), 0)
    if number < 0 or number > last:
        return w.refuse(f"invalid func {named(number) if 0 < number <= last else f'unknown#{number}'}", EINVAL)
    if w.k.version < (6, 8):
        return w.refuse(f"unknown func {named(number)}", EINVAL)
    return w.refuse(f"program of this type cannot use helper {named(number)}", EINVAL)


HELPER_COUNT: Final[dict[tuple[int, int], int]] = {(4, 18): 80, (6, 1): 211, (6, 12): 211, (6, 18): 211}


def _record_map(w: Walk, number: int, call: Call) -> None:
    """Which map and key an instruction uses on all paths: what rewriting may rely on (`record_func_map`, `…_key`)."""
    if number not in _RECORDED:
        return
    m = call.map
    if m is None:
        raise w.refuse("kernel subsystem misconfigured verifier" if w.k.version < (6, 16) else
                       "expected map for helper call", EINVAL)
    if m.flags & 0x80 and number in _WRITES_MAP:
        raise w.refuse("write into map forbidden")
    aux = w.note(w.pc)
    if aux.map_of_call is None:
        aux.map_of_call = m
    elif aux.map_of_call is not m:
        aux.map_poisoned = True
    if number != TAIL_CALL:
        return
    if m.type != "prog_array":
        raise w.refuse("kernel subsystem misconfigured verifier" if w.k.version < (6, 16) else
                       "expected prog array map for tail call", EINVAL)
    key = w.state.frames[-1].regs[3]
    if not (key.is_const and key.scalar.v < m.max_entries):
        aux.map_key = -2
        return
    mark_chain(w, 3)
    if aux.map_key == -1:
        aux.map_key = key.scalar.v
    elif aux.map_key != key.scalar.v:
        aux.map_key = -2


def _release(w: Walk, number: int, call: Call) -> None:
    reg = w.state.frames[-1].regs[call.release]
    if call.proto.args[call.release - 1].kind == hp.ARG_DYNPTR:
        dynptr.release(w, reg)
        return
    ok = False
    if call.ref:
        ok = release_reference(w, call.ref)
    elif reg.is_null:
        ok = True
    if not ok:
        raise w.refuse(f"func {named(number)} reference has not been acquired before", EINVAL)


def _effects(w: Walk, insn: Instruction, number: int, call: Call) -> bool:
    """Helpers with rules of their own; answers whether packet pointers are void afterwards."""
    regs = w.state.frames[-1].regs
    if number == TAIL_CALL:
        if w.k.resource_text:
            check_resources(w, False, True, "tail_call")
        else:
            if w.state.active_locks and w.k.version >= (6, 10):
                raise w.refuse("tail_call cannot be used inside bpf_spin_lock-ed region", EINVAL)
            try:
                check_leak(w)
            except Refuse:
                raise w.refuse("tail_call would lead to reference leak", EINVAL) from None
    elif number == _LOCAL_STORAGE:
        if not regs[2].is_null:
            raise w.refuse("get_local_storage() doesn't support non-zero flags", EINVAL)
        if w.k.retval_precise and w.k.fetch_back:       # a late fix that 6.12 has
            mark_chain(w, 2)
    elif number in _CALLBACK_KINDS:
        calls.push_callback(w, call.subprog, _CALLBACK_KINDS[number], insn)
    elif number == _LOOP:
        _loop(w, insn, call)
    elif number == _FROM_MEM:
        if regs[1].kind != rs.MAP_VALUE:
            raise w.refuse(f"Unsupported reg type {w.named(regs[1].kind)} for bpf_dynptr_from_mem data")
    elif number == _SNPRINTF:
        if regs[5].scalar.v % 8:
            raise Refuse(EINVAL)
    elif number == _DYN_DATA:
        held = dynptr.saved(w, _dynptr_argument(w, call))
        call.dynptr_id, call.ref = held.id, held.ref
    elif number == _DYN_WRITE:
        special = dynptr.saved(w, _dynptr_argument(w, call)).special
        return special is not None and special.type == "skb"
    return False


def _dynptr_argument(w: Walk, call: Call) -> RegState:
    for n, arg in enumerate(call.proto.args):
        if arg.kind == hp.ARG_DYNPTR:
            return w.state.frames[-1].regs[n + 1]
    raise w.refuse("verifier bug: no dynptr arg found", EINVAL)


def _loop(w: Walk, insn: Instruction, call: Call) -> None:
    frame = w.state.frames[-1]
    aux = w.note(w.pc)
    zero_flags = frame.regs[4].is_null
    if aux.loop_inline in (0, 1):
        if zero_flags:
            mark_chain(w, 4)
        aux.loop_inline = 1 if zero_flags else 2
    aux.callback = call.subprog if aux.callback in (-1, call.subprog) else -2
    if not w.k.callbacks_as_loops:
        calls.push_callback(w, call.subprog, "loop", insn)
        return
    if frame.regs[1].kind != rs.SCALAR:
        if w.k.version >= (6, 16):
            w.say("verifier bug: backtracking misuse")
        raise Refuse(EFAULT)
    mark_chain(w, 1)
    if frame.callback_depth < frame.regs[1].scalar.umax:
        calls.push_callback(w, call.subprog, "loop", insn)
    else:
        frame.callback_depth = 0
        if w.log is not None and w.log.level >= 2:
            w.log.line(f"frame{len(w.state.frames) - 1} bpf_loop iteration limit reached")


def _result(w: Walk, number: int, call: Call, given: list[RegState], regs: list[RegState]) -> None:
    """r0 after the call."""
    proto = call.proto
    if proto.ret == hp.RET_VOID:
        regs[0] = rs.UNINIT
        return
    if proto.ret == hp.RET_INTEGER:
        regs[0] = w.unknown_reg
        _bounded_result(w, number, call)
        return
    kind = _RETURNS[proto.ret]
    null = proto.ret_null
    id = 0
    if proto.ret == hp.RET_MAP_VALUE:
        m = call.map
        if m is None:
            raise w.refuse("kernel subsystem misconfigured verifier", EINVAL)
        if number == LOOKUP and m.type in ("array", "percpu_array") and 0 <= call.const_key < m.max_entries:
            null = False
        if not null and m.field("spin_lock") >= 0:
            id = w.new_id()
    if null:
        kind |= rs.MAYBE_NULL
        id = w.new_id()
    ref = 0
    if number in hp.CASTS or number == _DYN_DATA:
        ref = call.ref
    elif _acquires(number, call):
        id = ref = acquire(w)
    is_value = proto.ret == hp.RET_MAP_VALUE
    regs[0] = RegState(kind, ZERO, id=id, ref=ref, map=call.map if is_value else None,
                       size=call.mem_size & 0xFFFFFFFF if proto.ret in (hp.RET_RINGBUF_MEM, hp.RET_DYNPTR_MEM) else 0,
                       struct=proto.ret_btf or (given[0].struct if proto.ret == hp.RET_MEM_OR_BTF_ID else ""),
                       dynptr=call.dynptr_id, map_uid=call.map_uid if is_value else 0)


def _acquires(number: int, call: Call) -> bool:
    if number == LOOKUP:
        return call.map is not None and call.map.type in ("sockmap", "sockhash")
    return number in hp.ACQUIRES


def _bounded_result(w: Walk, number: int, call: Call) -> None:
    """Helpers whose result has a known range (`do_refine_retval_range`)."""
    regs = w.state.frames[-1].regs
    if number in _BOUNDED:
        s = regs[0].scalar.copy()
        s.smax = rs_signed(call.size_max)
        s.s32max = rs_signed32(call.size_max)
        s.smin = s.s32min = -4095
        if w.k.version < (6, 8):
            s.s32min = -4095
        regs[0] = regs[0].with_scalar(bounds.deduce(s, w.k.deduce))
    elif number == _CPU_ID and w.k.version >= (6, 4):
        s = regs[0].scalar.copy()
        last = w.cpus - 1
        s.umin = s.u32min = s.smin = s.s32min = 0
        s.umax = s.u32max = s.smax = s.s32max = last
        regs[0] = regs[0].with_scalar(bounds.deduce(s, w.k.deduce))
    else:
        return
    check_sane(w, 0, "retval")


def rs_signed(n: int) -> int:
    return n - (1 << 64) if n >> 63 else n


def rs_signed32(n: int) -> int:
    n &= 0xFFFFFFFF
    return n - (1 << 32) if n >> 31 else n


def _check_map(w: Walk, number: int, call: Call) -> None:
    """Does the helper work with that map? (`check_map_func_compatibility`)"""
    m = call.map
    if m is None or hp.map_admits(m.type, number, w.prog.type, w.k.version):
        return
    if m.type in ("sockmap", "sockhash") and helper_name(number) in ("map_update_elem", "map_delete_elem"):
        w.say("cannot update sockmap in this context")
    raise w.refuse(f"cannot pass map_type {MAP_TYPE_IDS[m.type]} into func {named(number)}", EINVAL)

"""Calls of helpers: check the arguments, let it happen, say what r0 holds.

What a helper does to the state besides r0 is little: it clobbers r1-r5, writes memory it was given, moves the packet
(then nothing points into it any more), acquires or releases a reference, takes a lock, calls a function back.

Source: kernel/bpf/verifier.c `check_helper_call`, `do_refine_retval_range`; slide 24.
"""

from __future__ import annotations

from typing import Final

from bpfbench.fixpoint import values as vs
from bpfbench.fixpoint.arguments import Call, argument
from bpfbench.fixpoint.arithmetic import between, between_signed
from bpfbench.fixpoint.context import TAIL_CALL, VERSION, Analysis
from bpfbench.fixpoint.state import CALLBACK, Ref, State
from bpfbench.fixpoint.values import ANON, ANY_NUMBER, END, META, NO_VALUE, NUMBER, PACKET, Value
from bpfbench.isa.helpers import helper_id, helper_name
from bpfbench.isa.insn import Instruction
from bpfbench.verifier import helper_protos as hp

LOOKUP: Final = helper_id("map_lookup_elem")
UNLOCK: Final = helper_id("spin_unlock")
CPUS: Final = 1 << 13                   # more than any kernel is built for
_BOUNDED: Final = frozenset(helper_id(n) for n in (
    "get_stack get_task_stack probe_read_str probe_read_kernel_str probe_read_user_str").split())
_CPU: Final = helper_id("get_smp_processor_id")
_LOCAL_STORAGE: Final = helper_id("get_local_storage")
_DYN_DATA: Final = helper_id("dynptr_data")
_FUNC_IP: Final = helper_id("get_func_ip")
_SNPRINTF: Final = helper_id("snprintf")
_RESULTS: Final = {
    hp.RET_MAP_VALUE: vs.VALUE, hp.RET_SOCKET: vs.SOCKET, hp.RET_TCP_SOCK: vs.TCP_SOCK,
    hp.RET_SOCK_COMMON: vs.SOCK_COMMON, hp.RET_RINGBUF_MEM: vs.RECORD, hp.RET_DYNPTR_MEM: vs.MEM,
    hp.RET_BTF_ID: vs.STRUCT, hp.RET_BTF_ID_TRUSTED: vs.STRUCT,
}


def call_helper(w: Analysis, state: State, insn: Instruction) -> Call:
    """Everything but callbacks and the early return of a tail call, which are the engine's."""
    number = insn.imm
    if state.lock is not None and number != UNLOCK:
        raise w.refuse("lock", "a helper is called while a lock is held")
    proto = w.proto(number)
    if proto is None:
        name = helper_name(number)
        raise w.refuse("helper", f"a {w.program.type} program cannot call "
                                 + (f"bpf_{name}" if name else f"helper {number}, which does not exist"))
    if proto.gpl_only and not w.gpl:
        raise w.refuse("helper", f"bpf_{proto.name} is for GPL programs only")
    if proto.might_sleep:
        raise w.refuse("helper", f"bpf_{proto.name} may sleep")
    call = Call(proto)
    for n in range(len(proto.args)):
        argument(w, state, n, call)
    _rules_of_its_own(w, state, number, call)
    if call.released:
        release(w, state, state.regs[call.released])
    result = _result(w, state, number, call)
    for r in range(6):
        state.regs[r] = NO_VALUE
    state.regs[0] = result
    if (hp.changes_packet(number, VERSION) and number != TAIL_CALL) or call.dynptr == "skb":
        forget_packet(state)
    return call


def _rules_of_its_own(w: Analysis, state: State, number: int, call: Call) -> None:
    if number == TAIL_CALL:
        if state.refs:
            raise w.refuse("reference", "a tail call would lose a reference")
    elif number == _LOCAL_STORAGE and not state.regs[2].is_zero:
        raise w.refuse("argument", "the flags of bpf_get_local_storage must be 0", 2)
    elif number == _SNPRINTF and (state.regs[5].scalar.m or state.regs[5].scalar.v % 8):
        raise w.refuse("size", "the arguments of bpf_snprintf come in multiples of 8 bytes", 5)
    elif number == _FUNC_IP and w.program.type not in ("kprobe", "tracing"):
        raise w.refuse("helper", f"bpf_get_func_ip in a {w.program.type} program")


def _result(w: Analysis, state: State, number: int, call: Call) -> Value:
    """What r0 holds after the call."""
    proto = call.proto
    if proto.ret == hp.RET_VOID:
        return NO_VALUE
    if proto.ret == hp.RET_INTEGER:
        if number in _BOUNDED and call.size_max < 1 << 31:
            return Value(NUMBER, between_signed(-4095, call.size_max), ANON)
        if number == _CPU:
            return Value(NUMBER, between(0, CPUS - 1), ANON)
        return ANY_NUMBER
    kind = _RESULTS.get(proto.ret)
    if kind is None:
        raise w.unsupported(f"the result of bpf_{proto.name} (needs the kernel's type information)")
    null = proto.ret_null
    region = call.region if proto.ret == hp.RET_MAP_VALUE else None
    if number == LOOKUP and region is not None and region.spec.type in ("array", "percpu_array") \
            and 0 <= call.key < region.spec.max_entries and region.spec.inner is None:
        null = False
    ident = w.names.fresh()
    reference = False
    if number in hp.CASTS and call.reference is not None:
        raise w.unsupported("casts of referenced sockets")
    if number in hp.ACQUIRES or (number == LOOKUP and region is not None and region.spec.type in ("sockmap", "sockhash")):
        reference = True
        frame = len(state.frames) - 1 if state.frames[-1].role == CALLBACK else 0
        state.refs = [*state.refs, Ref(ident, w.pc, frame)]
    note = "slice" if number == _DYN_DATA else proto.ret_btf
    return Value(kind, vs.ZERO_SCALAR, nullable=null, ident=ident, ref=reference, region=region,
                 size=call.mem_size if kind in (vs.RECORD, vs.MEM) else 0, note=note)


def release(w: Analysis, state: State, v: Value) -> None:
    """The resource is given back; nothing points to it any more."""
    if v.is_zero:
        return
    kept = [ref for ref in state.refs if ref.ident != v.ident]
    if len(kept) == len(state.refs):
        raise w.refuse("reference", f"{vs.text(v)} is released but not held")
    state.refs = kept
    for f in state.frames:
        f.regs = [ANY_NUMBER if x.ref and x.ident == v.ident else x for x in f.regs]
        for at, (size, x) in list(f.cells.items()):
            if x.ref and x.ident == v.ident and x.kind != vs.DYNPTR:
                f.cells[at] = (size, ANY_NUMBER)


def forget_packet(state: State) -> None:
    """The packet may have moved: what pointed into it does not any more."""
    gone = (PACKET, META, END)
    for f in state.frames:
        if any(v.kind in gone or v.sym < 0 for v in f.regs):
            f.regs = [_without(v) for v in f.regs]
        for at, (size, v) in list(f.cells.items()):
            if v.kind in gone or v.sym < 0:
                f.cells[at] = (size, _without(v))
    for symbol in {s for x, row in state.zones.edges.items() for s in (x, *row) if s < 0}:
        state.zones.forget(symbol)


def _without(v: Value) -> Value:
    if v.kind in (PACKET, META, END):
        return ANY_NUMBER
    return v.at(v.scalar, ANON, 0) if v.sym < 0 else v

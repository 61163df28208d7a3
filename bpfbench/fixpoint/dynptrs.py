"""Dynamic pointers: 16 bytes of stack that only helpers may touch, and which remember a size.

      bpf_ringbuf_reserve_dynptr(map, 8, 0, fp-16)     the cell at fp-16 is a dynamic pointer, a reference
      bpf_dynptr_data(fp-16, 0, 8)                     8 bytes or null
      bpf_ringbuf_submit_dynptr(fp-16, 0)              gone, and the slice with it

Source: kernel/bpf/verifier.c `process_dynptr_func`, `mark_stack_slots_dynptr`.
"""

from __future__ import annotations

from bpfbench.fixpoint import memory
from bpfbench.fixpoint import values as vs
from bpfbench.fixpoint.arguments import Call
from bpfbench.fixpoint.context import Analysis
from bpfbench.fixpoint.state import CALLBACK, Ref, State
from bpfbench.fixpoint.values import Value
from bpfbench.verifier import helper_protos as hp

SIZE = 16


def dynamic_pointer(w: Analysis, state: State, r: int, v: Value, arg: hp.Arg, call: Call) -> None:
    """An argument that is a dynamic pointer: to be made, used, or released."""
    wanted = "ringbuf" if arg.flags & hp.DYNPTR_RINGBUF else "local" if arg.flags & hp.DYNPTR_LOCAL else ""
    if v.kind == vs.DYNPTR:
        if arg.flags & (hp.UNINIT | hp.RELEASE) or not arg.flags & hp.RDONLY:
            raise w.refuse("dynptr", f"r{r} is a dynamic pointer that may only be read", r)
        call.dynptr = v.note
        return
    if v.scalar.m or v.scalar.smin % 8 or v.scalar.smin > -SIZE or v.scalar.smin < -512:
        raise w.refuse("dynptr", f"r{r} ({vs.text(v)}) is no place for a dynamic pointer", r)
    at = v.scalar.smin
    held = state.frames[v.frame].cells
    if arg.flags & hp.UNINIT:
        _make(w, state, r, v, at, wanted, call)
        return
    found = held.get(at)
    if found is None or found[1].kind != vs.DYNPTR:
        raise w.refuse("dynptr", f"r{r} ({vs.text(v)}) is no initialised dynamic pointer", r)
    have = found[1]
    if wanted and have.note != wanted:
        raise w.refuse("dynptr", f"r{r} is a dynamic pointer of type {have.note}, not {wanted}", r)
    call.dynptr = have.note
    if arg.flags & hp.RELEASE:
        if not have.ref:
            raise w.refuse("dynptr", f"r{r} is a dynamic pointer that holds no reference", r)
        state.refs = [ref for ref in state.refs if ref.ident != have.ident]
        del held[at]
        memory.drop_slices(state)


def _make(w: Analysis, state: State, r: int, v: Value, at: int, kind: str, call: Call) -> None:
    if kind == "local" and state.regs[1].kind != vs.VALUE:
        raise w.refuse("dynptr", f"dynamic pointers are made of map values, not of {vs.text(state.regs[1])}", 1)
    memory.stack_span(w, state, r, v, 0, SIZE)
    memory.dynptrs_hit(w, state, v.frame, at, at + SIZE)
    held = state.frames[v.frame].cells
    from bpfbench.fixpoint.cells import forget

    forget(held, at, at + SIZE)
    ident = w.names.fresh()
    owned = kind == "ringbuf"
    if owned:
        frame = len(state.frames) - 1 if state.frames[-1].role == CALLBACK else 0
        state.refs = [*state.refs, Ref(ident, w.pc, frame)]
    held[at] = (SIZE, Value(vs.DYNPTR, vs.ZERO_SCALAR, ident=ident, ref=owned, note=kind))

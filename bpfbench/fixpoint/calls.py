"""Calls inside the program: functions by summary or inline, callbacks as loops, global functions on their own.

| callee | how |
|---|---|
| static, given numbers, maps, the context | a *summary*: analysed for these arguments, remembered, reused for smaller ones |
| static, given pointers into frames, packets, references | inline: its frame on top of the caller's state |
| global | checked against its prototype here, and once by itself (verify.py) |
| callback of a helper | a loop: zero or more rounds, what it changes in the caller's frame is joined |

A summary cannot change the caller's frame or the packet, so all it has to say is what r0 may hold.  After `CONTEXTS`
different arguments a function is analysed for their join, which bounds the work by the size of the program.

Source: kernel/bpf/verifier.c `check_func_call`, `prepare_func_exit`, `push_callback_call`; slide 25.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bpfbench.fixpoint import values as vs
from bpfbench.fixpoint import widening
from bpfbench.fixpoint.arguments import Call, use
from bpfbench.fixpoint.context import VERSION, Analysis, Prototype
from bpfbench.fixpoint.covers import covers
from bpfbench.fixpoint.failures import Refused
from bpfbench.fixpoint.helpers import forget_packet
from bpfbench.fixpoint.joins import join_states
from bpfbench.fixpoint.state import ASYNC, CALLBACK, GLOBAL, MAIN, PLAIN, Frame, State
from bpfbench.fixpoint.values import ANON, ANY_NUMBER, NO_VALUE, NOTHING, NUMBER, Value, constant, pointer
from bpfbench.verifier import progtypes
from bpfbench.verifier.scalar import s64

if TYPE_CHECKING:
    from bpfbench.fixpoint.iterate import Engine

MAX_FRAMES: Final = 8
CONTEXTS: Final = 6
_SUMMARY_KINDS: Final = frozenset((NOTHING, NUMBER, vs.CTX, vs.MAP, vs.VALUE))
_EACH_MAPS: Final = ("hash", "percpu_hash", "lru_hash", "lru_percpu_hash", "array", "percpu_array")


# Returning ----------------------------------------------------------------------------------------------------------


def leave(w: Analysis, state: State, exits: list[State]) -> None:
    """exit: of the program, or of a called function (then the state goes to `exits`)."""
    frame = state.frames[-1]
    if len(state.frames) > 1 and frame.site != MAIN:
        exits.append(state)
        return
    if state.refs:
        ref = state.refs[0]
        raise w.refuse("reference", f"the reference acquired at insn {ref.pc} is not released", 0)
    if state.lock is not None:
        raise w.refuse("lock", "a lock is held at the end")
    r0 = w.read(state, 0)
    if frame.role == ASYNC:
        _returns(w, r0, 0, 0, "a callback that runs later")
    elif frame.role == GLOBAL:
        if r0.kind != NUMBER:
            raise w.refuse("return-value", f"a global function returns a number, not {vs.text(r0)}", 0)
    else:
        allowed = progtypes.exit_range(w.program.type, w.program.attach_type, VERSION)
        if allowed is not None:
            _returns(w, r0, allowed[0], allowed[1], f"a {w.program.type} program")


def _returns(w: Analysis, r0: Value, low: int, high: int, who: str) -> None:
    if r0.kind != NUMBER or not low <= r0.scalar.smin <= r0.scalar.smax <= high:
        raise w.refuse("return-value", f"{who} returns {low}..{high}, not {vs.text(r0)}", 0)


# Functions ----------------------------------------------------------------------------------------------------------


def call_function(w: Analysis, engine: Engine, state: State, target: int) -> list[State]:
    """call pc+imm: the states after it."""
    function = w.cfg.blocks[w.cfg.block_of[target]].function
    if len(state.frames) >= MAX_FRAMES:
        raise w.refuse("call-depth", f"{len(state.frames) + 1} frames; {MAX_FRAMES} are allowed")
    proto = w.prototypes.get(function)
    if proto is not None and proto.is_global:
        return [_call_global(w, state, function, proto)]
    args = state.regs[1:6]
    if _summarised(w, state, function, args):
        return _by_summary(w, engine, state, function, args)
    return _inline(w, engine, state, function)


def _inline(w: Analysis, engine: Engine, state: State, function: int) -> list[State]:
    site = w.pc
    caller = state.frames[-1]
    frame = Frame(function, site, len(state.frames))
    frame.regs[1:6] = caller.regs[1:6]
    caller.regs[0:6] = [NO_VALUE] * 6
    state.frames.append(frame)
    out = [returned(w, s) for s in engine.run(function, [state])]
    w.pc = site
    return engine.merge(out)


def returned(w: Analysis, state: State) -> State:
    """The callee's frame goes, r0 stays."""
    r0 = state.regs[0]
    if r0.kind == vs.STACK:
        raise w.refuse("caller-stack", "a function returns the address of a frame", 0)
    state.frames.pop()
    state.regs[0] = r0
    return state


def _call_global(w: Analysis, state: State, function: int, proto: Prototype) -> State:
    if state.lock is not None:
        raise w.refuse("lock", "a global function is called while a lock is held")
    if proto.args is None:
        raise w.unsupported(f"the prototype of the global function {proto.name}")
    for i, (kind, size) in enumerate(proto.args):
        r = i + 1
        v = w.read(state, r)
        if kind == "any" and v.kind != NUMBER or kind == "ctx" and v.kind != vs.CTX:
            raise w.refuse("argument", f"argument {r} of {proto.name} is {vs.text(v)}", r)
        if kind.startswith("mem") and not (v.is_zero and kind == "mem?"):
            if v.nullable and kind == "mem":
                raise w.refuse("maybe-null", f"argument {r} of {proto.name} is {vs.text(v)}", r)
            for write in (False, True):
                use(w, state, r, v.settled(), size, write, True)
    w.called_globals.add(function)
    if function in w.changes_packet:
        forget_packet(state)
    state.regs[0:6] = [ANY_NUMBER] + [NO_VALUE] * 5
    return state


# Summaries ----------------------------------------------------------------------------------------------------------


def _summarised(w: Analysis, state: State, function: int, args: list[Value]) -> bool:
    if state.lock is not None or function in w.changes_packet:
        return False
    live = w.live[w.cfg.functions[function].start]
    return all(not live >> (i + 1) & 1 or (v.kind in _SUMMARY_KINDS and not v.nullable and not v.ref)
               for i, v in enumerate(args))


def _argument(v: Value) -> Value:
    """As the callee sees it: what the caller's frame calls an object or the packet's length means nothing there."""
    return v.named(v.sym, v.delta, 0) if v.sym >= 0 else v.at(v.scalar, ANON, 0).named(ANON, 0, 0)


def _by_summary(w: Analysis, engine: Engine, state: State, function: int, args: list[Value]) -> list[State]:
    live = w.live[w.cfg.functions[function].start]
    plain = [_argument(v) if live >> (i + 1) & 1 else NO_VALUE for i, v in enumerate(args)]
    key = (function, len(state.frames), w.checking)
    known = engine.summaries.setdefault(key, [])
    results: list[Value] | None = None
    entry = _entry(function, w.pc, plain, len(state.frames))
    for old, outcome in known:
        if covers(old, entry):
            results = outcome
            break
    if results is None:
        if len(known) >= CONTEXTS:
            for old, _ in known[-1:]:
                w.joins += 1
                old.frames[-1].site = entry.frames[-1].site
                entry = join_states(old, entry, w.names, w.thresholds)
        results = _summarise(w, engine, state, function, entry)
        if results is None:
            return _inline(w, engine, state, function)
        known.append((entry, results))
        del known[:-CONTEXTS - 1]
    out = []
    for r0 in results:
        after = state.copy()
        after.regs[0:6] = [r0] + [NO_VALUE] * 5
        if r0.ident:
            after.regs[0] = r0.named(r0.sym, r0.delta, w.names.fresh())
        out.append(after)
    return out


def _entry(function: int, site: int, args: list[Value], depth: int) -> State:
    """A state with nothing but the function's arguments; frames below stand only for their number."""
    state = State()
    for number in range(depth + 1):
        state.frames.append(Frame(function, number, number))
    state.frames[-1].regs[1:6] = args
    return state


def _summarise(w: Analysis, engine: Engine, state: State, function: int, entry: State) -> list[Value] | None:
    """What r0 may hold afterwards; None when the function does more than compute it."""
    site = w.pc
    out: list[Value] = []
    for s in engine.run(function, [entry.copy()]):
        r0 = s.regs[0]
        if s.refs or s.lock is not None or r0.ref or r0.kind in (*vs.IN_PACKET, vs.END):
            w.pc = site
            return None
        if r0.kind == vs.STACK:
            raise w.refuse("caller-stack", "a function returns the address of a frame", 0)
        r0 = r0.at(r0.scalar, r0.sym if r0.sym == vs.ZERO else ANON, r0.delta if r0.sym == vs.ZERO else 0)
        for i, known in enumerate(out):
            if known.alike(r0) and len(out) >= 4 and known.kind == NUMBER:
                scalar = widening.join(known.scalar, r0.scalar)
                out[i] = Value(NUMBER, scalar, ANON) if scalar.m else constant(s64(scalar.v))
                break
        else:
            out.append(r0)
    w.pc = site
    return out


# Callbacks ----------------------------------------------------------------------------------------------------------


def call_back(w: Analysis, engine: Engine, state: State, call: Call, given: list[Value]) -> list[State]:
    """The helper calls a function of the program zero or more times; `state` is the one after the call."""
    name = call.proto.name
    if name == "timer_set_callback":
        region = call.region
        assert region is not None
        args = [pointer(vs.MAP, region=region), pointer(vs.KEY, region=region), pointer(vs.VALUE, region=region)]
        w.async_entries.setdefault((call.function, region.index), args)
        return [state]
    args = _callback_arguments(w, name, given)
    if len(state.frames) >= MAX_FRAMES:
        raise w.refuse("call-depth", f"{len(state.frames) + 1} frames; {MAX_FRAMES} are allowed")
    heads = [state]
    site = w.pc
    checking, dropped = w.checking, engine.dropped
    w.checking = False
    try:
        for turn in range(60):
            grown = False
            for s in [s for head in heads for s in _one_round(w, engine, head, call.function, args, site)]:
                if any(covers(old, s) for old in heads):
                    continue
                grown = True
                heads = engine.absorb(heads, s, turn)
            if not grown:
                break
        else:
            raise w.refuse("too-complex", "a callback does not settle")
    finally:
        w.checking = checking
    engine.dropped = dropped
    for head in heads:
        for s in _one_round(w, engine, head, call.function, args, site):
            if not any(covers(old, s) for old in heads):
                raise Refused("too-complex", "a callback does not settle", site)
    w.pc = site
    return [s.copy() for s in heads]


def _one_round(w: Analysis, engine: Engine, head: State, function: int, args: list[Value], site: int) -> list[State]:
    """The callback once, from and to the state of its caller."""
    state = head.copy()
    frame = Frame(function, site, len(state.frames), CALLBACK)
    frame.regs[1:6] = args
    state.frames.append(frame)
    held = len(state.refs)
    out = []
    w.pc = site
    for s in engine.run(function, [state]):
        r0 = s.regs[0]
        w.pc = site
        try:
            if r0.kind != NUMBER or not 0 <= r0.scalar.smin <= r0.scalar.smax <= 1:
                raise w.refuse("callback", f"a callback returns 0 or 1, not {vs.text(r0)}", 0)
            if len(s.refs) != held:
                raise w.refuse("reference", "a callback leaves with another number of references than it came with")
        except Refused:
            if w.checking:
                raise
            engine.dropped = True
            continue
        s.frames.pop()
        s.regs[0] = ANY_NUMBER
        out.append(s)
    return out


def _callback_arguments(w: Analysis, helper: str, given: list[Value]) -> list[Value]:
    """r1-r5 of a callback, by the helper that calls it; `given` are r0-r5 of the call."""
    none = NO_VALUE
    if helper == "loop":
        return [ANY_NUMBER, given[3], none, none, none]
    if helper == "for_each_map_elem":
        region = given[1].region
        assert region is not None
        if region.spec.type not in _EACH_MAPS:
            raise w.refuse("map-kind", f"bpf_for_each_map_elem does not work on {region.spec.type} maps", 1)
        return [given[1], pointer(vs.KEY, region=region), pointer(vs.VALUE, region=region), given[3], none]
    if helper == "user_ringbuf_drain":
        return [Value(vs.DYNPTR, vs.ZERO_SCALAR, note="local"), given[3], none, none, none]
    raise w.unsupported(f"callbacks of bpf_{helper}")


def global_entry(w: Analysis, function: int) -> State:
    """A global function by itself: any arguments of its prototype."""
    state = State()
    frame = Frame(function, MAIN, 0, GLOBAL)
    for i, (kind, size) in enumerate(w.prototypes[function].args or []):
        if kind == "ctx":
            frame.regs[i + 1] = pointer(vs.CTX)
        elif kind == "any":
            frame.regs[i + 1] = ANY_NUMBER
        else:
            frame.regs[i + 1] = Value(vs.MEM, vs.ZERO_SCALAR, nullable=kind == "mem?", ident=w.names.fresh(), size=size)
    state.frames.append(frame)
    return state


def entry_state(w: Analysis) -> State:
    """The program: r1 is the context."""
    state = State()
    frame = Frame(0, MAIN, 0, PLAIN)
    frame.regs[1] = pointer(vs.CTX)
    state.frames.append(frame)
    return state


def async_entry(w: Analysis, function: int, args: list[Value]) -> State:
    state = State()
    frame = Frame(function, MAIN, 0, ASYNC)
    frame.regs[1:1 + len(args)] = args
    state.frames.append(frame)
    return state



"""How deep calls nest and how much stack they use together.

Every chain of calls must fit in eight frames and 512 bytes of stack (each function's use rounded up); with a tail
call on the way, in 256 bytes per function that leads to it.

Source: kernel/bpf/verifier.c `check_max_stack_depth_subprog`; slide 17.
"""

from __future__ import annotations

from typing import Final

from bpfbench.isa import ops
from bpfbench.verifier.state import MAX_FRAMES
from bpfbench.verifier.walk import E2BIG, Walk

MAX_STACK: Final = 512
TRACING: Final = ("kprobe", "tracepoint", "perf_event", "raw_tracepoint")


def _rounded(w: Walk, depth: int) -> int:
    """Stack of a function as counted: at least 1 byte, up to a multiple of 16 (JIT, 6.10 on) or 32."""
    if w.k.version >= (6, 8):
        return (depth + 15) // 16 * 16
    return (max(depth, 1) + 31) // 32 * 32


def check_stack_depth(w: Walk) -> None:
    tail = any(sub.has_tail_call for sub in w.subprogs)
    private = w.k.priv_stack and not tail and w.prog.type in TRACING
    for i in range(len(w.subprogs) - 1, -1, -1):
        if i == 0 or w.subprogs[i].is_async:
            _check(w, i, private and i == 0)


def _check(w: Walk, start: int, private: bool) -> None:
    """Walk every chain of calls from a function (an explicit stack: frames, where each goes on)."""
    subs = w.subprogs
    depth = 0
    idx = start
    pc = subs[idx].start
    frame = 0
    returns: list[tuple[int, int]] = []
    tail_reachable = subs[idx].has_tail_call
    depth = _enter(w, idx, depth, frame, tail_reachable, private)
    while True:
        end = w.end_of(idx)
        target = -1
        while pc < end:
            insn = w.insns[pc]
            if insn is not None and (insn.kind == ops.CALL_LOCAL or (insn.kind == ops.LDDW and insn.op.fn == ops.FUNC)):
                callee = w.subprog_starting(pc + insn.imm + 1)
                if subs[callee].is_async and insn.kind != ops.CALL_LOCAL:
                    pc += 1
                    continue
                target = callee
                break
            pc += 1
        if target < 0:
            if not returns:
                return
            if not _is_private(w, idx, private):
                depth -= _rounded(w, subs[idx].stack_depth)
            frame -= 1
            pc, idx = returns.pop()
            continue
        returns.append((pc + 1, idx))
        idx = target
        pc = subs[idx].start
        tail_reachable = tail_reachable or subs[idx].has_tail_call
        frame += 1
        if frame >= MAX_FRAMES:
            raise w.refuse(f"the call stack of {frame} frames is too deep !", E2BIG)
        depth = _enter(w, idx, depth, frame, tail_reachable, private)
        if tail_reachable:
            for _, caller in returns:
                subs[caller].tail_call_reachable = True


def _is_private(w: Walk, idx: int, private: bool) -> bool:
    return private and _rounded(w, w.subprogs[idx].stack_depth) >= 64


def _enter(w: Walk, idx: int, depth: int, frame: int, tail: bool, private: bool) -> int:
    sub = w.subprogs[idx]
    if idx and tail and depth >= 256:
        raise w.refuse(f"tail_calls are not allowed when call stack of previous frames is {depth} bytes. Too large")
    size = _rounded(w, sub.stack_depth)
    if _is_private(w, idx, private):
        if size > MAX_STACK:
            raise w.refuse(f"stack size of subprog {idx} is {size}. Too large")
        return depth
    depth += size
    if depth > MAX_STACK:
        raise w.refuse(f"combined stack size of {frame + 1} calls is {depth}. Too large")
    return depth

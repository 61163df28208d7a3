"""What is refused before anything is interpreted: how the program is built, how deep its calls nest.

| check | refused |
|---|---|
| `check_load` | a program type that is not loaded with this attach type |
| `check_graph` | jumps out of a function, functions that run on, unreachable code, recursion |
| `check_instructions` | unknown operations, malformed wide loads, maps that do not exist |
| `check_stack_depth` | chains of calls that need more than 512 bytes (after the analysis, which measures each frame) |

Sources: kernel/bpf/verifier.c `check_subprogs`, `check_cfg`, `resolve_pseudo_ldimm64`, `check_max_stack_depth`.
"""

from __future__ import annotations

from typing import Final

from bpfbench.fixpoint.context import TAIL_CALL, VERSION, Analysis
from bpfbench.fixpoint.failures import Refused
from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.verifier import progtypes

MAX_FRAMES: Final = 8
MAX_FUNCTIONS: Final = 256
MAX_STACK: Final = 512
TAIL_STACK: Final = 256
MAX_INSNS: Final = 1_000_000


def check(w: Analysis) -> None:
    """Everything that can be said before the analysis; raises Refused."""
    if not w.program.insns:
        raise Refused("shape", "the program is empty", 0)
    if len(w.program.insns) > MAX_INSNS:
        raise Refused("shape", f"{len(w.program.insns)} instructions; {MAX_INSNS} are taken", 0)
    check_load(w)
    check_graph(w)
    check_instructions(w)


def check_load(w: Analysis) -> None:
    prog = w.program
    if w.row is None:
        raise Refused("load", f"unknown program type {prog.type}", 0)
    if not progtypes.attach_accepted(prog.type, prog.attach_type, VERSION):
        raise Refused("load", f"{prog.type} is not loaded for attach type {prog.attach_type}", 0)


def check_graph(w: Analysis) -> None:
    if w.cfg.flaws:
        flaw = w.cfg.flaws[0]
        rule = "not-supported" if "indirect" in flaw.message else "shape"
        said = f"not supported: {flaw.message}" if rule == "not-supported" else flaw.message
        raise Refused(rule, said, flaw.pc)
    if len(w.cfg.functions) > MAX_FUNCTIONS:
        raise Refused("shape", f"{len(w.cfg.functions)} functions; {MAX_FUNCTIONS} are allowed", 0)
    _call_depth(w)
    dead = w.cfg.unreachable()
    if not dead:
        reached = _called(w)
        dead = [f.start for f in w.cfg.functions if f.index not in reached]
    if dead:
        raise Refused("unreachable", "no path reaches this instruction", dead[0])


def _called(w: Analysis) -> set[int]:
    """Functions that some chain of calls from the entry reaches."""
    found, todo = {0}, [0]
    while todo:
        at = todo.pop()
        for call in w.cfg.calls:
            if call.caller == at and call.callee not in found and w.cfg.blocks[w.cfg.block_of[call.pc]].reachable:
                found.add(call.callee)
                todo.append(call.callee)
    return found


def _call_depth(w: Analysis) -> None:
    """Longest chain of calls; a chain that comes back to a function has none."""
    calls: dict[int, list[tuple[int, int]]] = {}
    for call in w.cfg.calls:
        if not call.callback:
            calls.setdefault(call.caller, []).append((call.callee, call.pc))
    height: dict[int, int] = {}
    for root in range(len(w.cfg.functions)):
        _height(root, calls, height)
    if height[0] > MAX_FRAMES:
        raise Refused("call-depth", f"a chain of {height[0]} calls; {MAX_FRAMES} frames are allowed", calls[0][0][1])


def _height(root: int, calls: dict[int, list[tuple[int, int]]], height: dict[int, int]) -> None:
    """Frames from `root` down (an explicit stack, as programs may have 256 functions in a row)."""
    work = [(root, 0)]
    active = {root}
    while work:
        at, i = work.pop()
        below = calls.get(at, [])
        if i < len(below):
            callee, pc = below[i]
            work.append((at, i + 1))
            if callee in active:
                raise Refused("call-depth", "a function calls itself, directly or by way of others", pc)
            if callee not in height:
                work.append((callee, 0))
                active.add(callee)
            continue
        height[at] = 1 + max((height[callee] for callee, _ in below), default=0)
        active.discard(at)


def check_instructions(w: Analysis) -> None:
    functions = w.cfg.functions
    storage: dict[str, int] = {}
    for f in functions:
        for pc, insn in w.cfg.function_insns(f.index):
            if insn.kind in (ops.UNKNOWN, ops.CALLX, ops.NOSPEC, ops.PERCPU, ops.ZEXT32) or insn.op.internal:
                raise Refused("encoding", f"unknown operation: {insn.flaw or insn.op.name}", pc)
            if insn.kind in (ops.LDX, ops.LDXS) and insn.flaw:
                raise Refused("encoding", insn.flaw, pc)        # Linux looks for these even where nothing leads
            if insn.kind == ops.LDDW:
                _wide(w, pc, insn, storage)
            if f.index and not w.has_func_info and (
                    insn.kind in (ops.LD_ABS, ops.LD_IND) or (insn.kind == ops.CALL and insn.imm == TAIL_CALL)):
                raise Refused("callback", "a function that may return early needs type information", pc)


def _wide(w: Analysis, pc: int, insn: Instruction, storage: dict[str, int]) -> None:
    if insn.flaw:
        raise Refused("encoding", insn.flaw, pc)
    fn = insn.op.fn
    if fn == ops.BTF_ID:
        raise Refused("not-supported", "not supported: address of a kernel variable", pc)
    if fn in (ops.MAP_IDX, ops.MAP_IDX_VALUE):
        raise Refused("encoding", "a map by index needs an array of maps at load", pc)
    if fn not in (ops.MAP_FD, ops.MAP_VALUE):
        return
    if not 0 <= insn.imm < len(w.regions):
        raise Refused("encoding", f"map {insn.imm} does not exist", pc)
    region = w.regions[insn.imm]
    spec = region.spec
    for kind, _, _ in region.fields:
        problem = progtypes.map_refused(w.program.type, kind)
        if problem:
            raise Refused("special-field", problem, pc)
    if spec.type in ("cgroup_storage", "percpu_cgroup_storage") and storage.setdefault(spec.type, insn.imm) != insn.imm:
        raise Refused("map-kind", "only one cgroup storage of each kind is allowed", pc)
    if fn == ops.MAP_FD:
        if insn.imm2:
            raise Refused("encoding", "a map's address takes no offset", pc)
        return
    at = insn.imm2 & 0xFFFFFFFF
    if spec.type not in ("array", "arena", "insn_array"):
        raise Refused("map-kind", f"values of {spec.type} maps have no fixed address", pc)
    if spec.type != "array":
        raise Refused("not-supported", f"not supported: addresses in {spec.type} maps", pc)
    if spec.max_entries != 1 or at >= spec.value_size:
        raise Refused("out-of-bounds", f"byte {at} of the only value of {region}", pc)


# Stack --------------------------------------------------------------------------------------------------------------


def check_stack_depth(w: Analysis, roots: list[int]) -> None:
    """Frames on every chain of calls from the roots, rounded up to 16 bytes each."""
    calls: dict[int, list[tuple[int, int]]] = {}
    later = set(roots[1:])
    for call in w.cfg.calls:
        if not (call.callback and call.callee in later):
            calls.setdefault(call.caller, []).append((call.callee, call.pc))
    tail = {f.index for f in w.cfg.functions if any(
        i.kind == ops.CALL and i.imm == TAIL_CALL for _, i in w.cfg.function_insns(f.index))}
    for root in roots:
        _descend(w, root, calls, tail)


def _descend(w: Analysis, root: int, calls: dict[int, list[tuple[int, int]]], tail: set[int]) -> None:
    seen: dict[tuple[int, bool], tuple[int, int]] = {}
    work = [(root, 0, 1, root in tail, -1)]
    while work:
        at, depth, frames, tailed, pc = work.pop()
        if frames > MAX_FRAMES:
            raise Refused("call-depth", f"a chain of {frames} calls; {MAX_FRAMES} frames are allowed", pc)
        if pc >= 0 and tailed and depth >= TAIL_STACK:
            raise Refused("stack-depth", f"a tail call below frames of {depth} bytes", pc)
        total = depth + (w.depth[at] + 15) // 16 * 16
        if total > MAX_STACK:
            raise Refused("stack-depth", f"{frames} frames need {total} bytes; {MAX_STACK} are allowed", max(pc, 0))
        known = seen.get((at, tailed))
        if known is not None and known[0] >= depth and known[1] >= frames:
            continue
        seen[(at, tailed)] = (max(depth, known[0] if known else 0), max(frames, known[1] if known else 0))
        for callee, site in calls.get(at, []):
            work.append((callee, total, frames + 1, tailed or callee in tail, site))

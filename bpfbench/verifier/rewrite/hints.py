"""What the verifier found out about each instruction, as far as rewriting needs it.

A finished walk knows which instructions can be reached, through which kind of pointer each access goes, and which map a
call is given.  `from_walk` reads it off a `Walk`; the passes see only this record, so they can be shown and tested with
hints written by hand.

Source: struct bpf_insn_aux_data in include/linux/bpf_verifier.h.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from bpfbench.isa.insn import Instruction
from bpfbench.program.program import Program
from bpfbench.verifier import regstate as rs

if TYPE_CHECKING:
    from bpfbench.verifier.regstate import MapView
    from bpfbench.verifier.walk import Walk

CTX, SOCKET, SOCK_COMMON, TCP_SOCK, XDP_SOCK, BTF_ID = "ctx", "socket", "sock_common", "tcp_sock", "xdp_sock", "btf_id"
_KINDS: dict[int, str] = {rs.CTX: CTX, rs.SOCKET: SOCKET, rs.SOCK_COMMON: SOCK_COMMON, rs.TCP_SOCK: TCP_SOCK,
                          rs.XDP_SOCK: XDP_SOCK, rs.BTF_ID: BTF_ID}

KEY_UNKNOWN = -1                # no constant key seen
KEY_POISONED = -2               # different keys on different paths


@final
class Hint:
    """One instruction.

    `seen` reachable · `pointer` what an access goes through ("ctx", "socket", … or "") · `map` the map of a call, None
    when there is none or paths differ (`map_poisoned`) · `map_key` constant key · `callback` the function of a
    bpf_loop that can be inlined, else -1 · `spills` pairs of spills and fills around a fast call that can go ·
    `nospec`, `nospec_result` barriers before and after · `alu_state`, `alu_limit` masking of pointer arithmetic ·
    `sanitize_spill` barrier after a spill · `zext` the upper half of a 32-bit result is read later
    """

    __slots__ = ("seen", "pointer", "map", "map_poisoned", "map_key", "callback", "spills", "nospec", "nospec_result",
                 "alu_state", "alu_limit", "sanitize_spill", "zext", "unprivileged_map")

    def __init__(self) -> None:
        self.seen = True
        self.pointer = ""
        self.map: MapView | None = None
        self.map_poisoned = False
        self.map_key = KEY_UNKNOWN
        self.callback = -1
        self.spills = 0
        self.nospec = False
        self.nospec_result = False
        self.alu_state = 0
        self.alu_limit = 0
        self.sanitize_spill = False
        self.zext = False
        self.unprivileged_map = False


@final
class Function:
    """One function: first slot, `stack_depth` in bytes, stack below which fast-call spills lie (`fast_off`,
    negative)."""

    __slots__ = ("start", "stack_depth", "fast_off", "keep_fast_stack", "extra")

    def __init__(self, start: int, stack_depth: int, fast_off: int = 0, keep_fast_stack: bool = False) -> None:
        self.start = start
        self.stack_depth = stack_depth
        self.fast_off = fast_off
        self.keep_fast_stack = keep_fast_stack
        self.extra = 0


@final
class Hints:
    """All of it: per slot, per function, and for the program (direct packet writes, privileges, version)."""

    __slots__ = ("insns", "functions", "writes_packet", "privileged", "bypass_v1", "reads_tstamp_type")

    def __init__(self, insns: list[Hint], functions: list[Function]) -> None:
        self.insns = insns
        self.functions = functions
        self.writes_packet = False
        self.privileged = True
        self.bypass_v1 = True
        self.reads_tstamp_type = False


def none(prog: Program) -> Hints:
    """Hints of someone who knows nothing but the instructions: everything reachable, no pointer known."""
    return Hints([Hint() for _ in prog.insns], [Function(0, 0)])


def from_walk(walk: Walk, edges: set[tuple[int, int]] | None = None) -> Hints:
    """What a finished walk knows; `edges` (pairs of slots that some path took) sharpen the zero extensions."""
    insns: list[Hint] = []
    for aux, seen in zip(walk.aux, walk.seen, strict=True):
        hint = Hint()
        hint.seen = bool(seen)
        hint.pointer = _KINDS.get(aux.ptr_kind & rs.BASE, "")
        hint.map = None if aux.map_poisoned else aux.map_of_call
        hint.map_poisoned = aux.map_poisoned
        hint.map_key = aux.map_key
        hint.callback = aux.callback if aux.loop_inline == 1 else -1
        hint.spills = aux.fastcall_spills
        hint.nospec, hint.nospec_result = aux.nospec, aux.nospec_result
        hint.alu_state, hint.alu_limit = aux.alu_state, aux.alu_limit
        hint.sanitize_spill = aux.sanitize_spill
        insns.append(hint)
    functions = [Function(sub.start, sub.stack_depth, sub.fastcall_off) for sub in walk.subprogs]
    from bpfbench.verifier.rewrite.subregs import mark

    mark(walk.prog.insns, insns, [f.start for f in functions], walk.prog.type, walk.k.version, edges)
    hints = Hints(insns, functions)
    hints.writes_packet = walk.seen_direct_write
    hints.privileged = walk.bpf_capable
    hints.bypass_v1 = walk.bypass_v1
    hints.reads_tstamp_type = any(_reads_tstamp_type(insn, hints.insns[pc]) for pc, insn in enumerate(walk.insns))
    return hints


def _reads_tstamp_type(insn: Instruction | None, hint: Hint) -> bool:
    return insn is not None and hint.pointer == CTX and insn.off == 180 and insn.op.size == 1


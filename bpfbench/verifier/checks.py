"""What is refused before any path is walked: the shape of the program.

The kernel looks at the whole program several times before it executes anything in mind:

| pass | what it finds |
|---|---|
| `find_subprogs` | calls out of the program |
| `check_jumps` | jumps out of their function, functions that run on into the next one |
| `resolve_loads` | malformed wide loads, unknown maps, unknown opcodes |
| `walk_cfg` | unreachable instructions, jumps into a wide load, back edges where loops are not allowed |

`walk_cfg` is the depth-first walk of slides 26-28 with the arrays `stack` and `status`; it also marks where paths meet.

Sources: kernel/bpf/verifier.c `add_subprog_and_kfunc`, `check_subprogs`, `resolve_pseudo_ldimm64`, `check_cfg`.
"""

from __future__ import annotations

import struct
from typing import Final, cast

from bpfbench.isa import ops
from bpfbench.isa.codec import decode
from bpfbench.isa.insn import Instruction
from bpfbench.isa.ops import OP_BY_CODE
from bpfbench.program.program import MAP_TYPE_IDS, MapSpec
from bpfbench.verifier import helper_protos as hp
from bpfbench.verifier import progtypes
from bpfbench.verifier.regstate import MapView
from bpfbench.verifier.walk import (
    E2BIG,
    EBADF,
    EBUSY,
    EINVAL,
    ENOTSUPP,
    EPROTO,
    Subprog,
    Walk,
)  # fmt: skip

MAX_SUBPROGS: Final = 256
LDDW: Final = 0x18
CALL: Final = 0x85
EXIT: Final = 0x95
JA: Final = 0x05
JA32: Final = 0x06
Slot = tuple[int, int, int, int, int]       # code, dst, src, off, imm


def slots(raw: bytes) -> list[Slot]:
    """The wire fields of every slot; equal ones are one tuple."""
    known: dict[object, object] = {}            # compiled code would copy what it knows to be a tuple
    found: list[object] = []
    for code, regs, off, imm in struct.iter_unpack("<BBhi", raw):
        slot: object = (code, regs & 15, regs >> 4, off, imm)
        found.append(known.setdefault(slot, slot))
    return cast("list[Slot]", found)


def find_subprogs(w: Walk, code: list[Slot]) -> None:
    """Functions are what calls and function addresses name (slide 25)."""
    starts = {0}
    n = len(code)
    for pc, (op, _, src, off, imm) in enumerate(code):
        if op == CALL and src == 2:
            _kernel_function(w, pc, imm, off)
            continue
        local = op == CALL and src == 1
        address = op == LDDW and src == 4
        if not local and not address:
            continue
        target = pc + imm + 1
        if not 0 <= target < n:
            raise w.refuse("call to invalid destination", EINVAL)
        starts.add(target)
        if len(starts) > MAX_SUBPROGS:
            raise w.refuse("too many subprograms", E2BIG)
    w.subprogs = [Subprog(start) for start in sorted(starts)]
    if w.log is not None and w.log.level >= 2:
        for i, sub in enumerate(w.subprogs):
            w.log.line(f"func#{i} @{sub.start}")


def _kernel_function(w: Walk, pc: int, type_id: int, off: int) -> None:
    """A call of a kernel function, named by its type id (`add_kfunc_call`)."""
    if not w.gpl:
        raise w.refuse("cannot call kernel function from non-GPL compatible program", EINVAL)
    if not type_id and not off:
        return
    if off < 0:
        w.say("negative offset disallowed for kernel module function call")
        raise w.refuse("failed to find BTF for kernel function", EINVAL)
    if off:
        w.say("kfunc offset > 0 without fd_array is invalid")
        raise w.refuse("failed to find BTF for kernel function", EPROTO)
    from bpfbench.verifier.kfunc_calls import add

    add(w, pc, type_id)


def check_jumps(w: Walk, code: list[Slot]) -> None:
    """Jumps stay in their function, and functions end in an exit or a jump."""
    number = 0
    start, end = 0, w.end_of(0)
    tail_call = hp._TAIL_CALL
    for pc, (op, _, src, off, imm) in enumerate(code):
        sub = w.subprogs[number]
        cls = op & 7
        if op == CALL and src == 0 and imm == tail_call:
            sub.has_tail_call = True
            sub.tail_call_reachable = True
        if cls == 0 and op & 0xE0 in (0x20, 0x40):
            sub.has_ld_abs = True
        if cls in (5, 6) and op & 0xF0 not in (0x80, 0x90) and not (op == 0x0D and w.k.version >= (6, 19)):
            long_jump = op == JA32 and w.k.version >= (6, 1)
            target = _s32(pc + 1 + (imm if long_jump else off))
            if not start <= target < end:
                raise w.refuse(f"jump out of range from insn {pc} to {target}", EINVAL)
        if pc == end - 1:
            ok = op in (EXIT, JA) or (op == JA32 and w.k.version >= (6, 6))
            if not ok:
                raise w.refuse("last insn is not an exit or jmp", EINVAL)
            number += 1
            start = end
            if number < len(w.subprogs):
                end = w.end_of(number)


def check_abnormal(w: Walk) -> None:
    """Functions that may return early need type information (`check_abnormal_return`)."""
    if w.func_info is not None:
        return
    for sub in w.subprogs[1:]:
        if sub.has_ld_abs:
            raise w.refuse("LD_ABS is not allowed in subprogs without BTF", EINVAL)
        if sub.has_tail_call:
            raise w.refuse("tail_call is not allowed in subprogs without BTF", EINVAL)


def view(spec: MapSpec, index: int, fields: list[tuple[str, int, int]], has_btf: bool) -> MapView:
    inner = view(spec.inner, index, [], False) if spec.inner is not None else None
    return MapView(index, spec.type, spec.key_size, spec.value_size, spec.max_entries, spec.flags, inner, spec.contents,
                   spec.frozen, fields, spec.name[:15], has_btf, MAP_TYPE_IDS.get(spec.type, 0))


def resolve_loads(w: Walk, code: list[Slot]) -> None:
    """Wide loads, map references, opcodes."""
    used: dict[int, MapView] = {}
    n = len(code)
    pc = 0
    while pc < n:
        op, dst, src, off, imm = code[pc]
        if op & 7 == 1 and (op & 0xE0 not in (0x60, 0x80 if w.k.movsx else 0x60) or imm):
            raise w.refuse("BPF_LDX uses reserved fields", EINVAL)
        if op == LDDW:
            if pc == n - 1 or code[pc + 1][:4] != (0, 0, 0, 0):
                raise w.refuse("invalid bpf_ld_imm64 insn", EINVAL)
            since = _SINCE_LOAD.get(src, (0, 0))
            if since > w.k.version:
                raise w.refuse("unrecognized bpf_ld_imm64 insn", EINVAL)
            if src not in (0, 4):
                _map_load(w, code, pc, used)
            pc += 2
            continue
        if not _known_opcode(w, op):
            raise w.refuse(f"unknown opcode {op:02x}", EINVAL)
        pc += 1


def whole_wide_loads(insns: list[Instruction | None], code: list[Slot]) -> list[Instruction | None]:
    """The instructions with wide loads in one piece that the codec found flawed: the kernel takes two slots together
    and looks at offset and register only when a path comes there."""
    found = [pc for pc, insn in enumerate(insns) if insn is not None and insn.flaw and insn.op.code == LDDW]
    if not found:
        return insns
    out = insns[:]
    for pc in found:
        _, dst, src, _, imm = code[pc]
        imm2 = code[pc + 1][4]
        raw = struct.pack("<BBhiBBhi", LDDW, src << 4, 0, imm, 0, 0, 0, imm2)
        whole = decode(raw, strict=False)[0]
        if whole is not None and not whole.flaw:
            whole.dst = dst
            out[pc], out[pc + 1] = whole, None
    return out


# The kernel that first knew a kind of wide load, by the number in its source field.
_SINCE_LOAD: Final = {2: (5, 2), 3: (5, 8), 4: (5, 13), 5: (5, 15), 6: (5, 15)}

# Codes that were known before the instruction that uses them today had a meaning.
_OLD_CODES: Final = frozenset((0x06, 0xD7, 0xE5)) - {0xE5, 0xD7}


def _s32(value: int) -> int:
    return (value + 0x80000000 & 0xFFFFFFFF) - 0x80000000


def _known_opcode(w: Walk, op: int) -> bool:
    for row in OP_BY_CODE[op]:
        if row.group == "internal" or row.kind in (ops.NOSPEC, ops.UNKNOWN, ops.CALLX):
            continue
        since = row.since.split(".")
        if (int(since[0]), int(since[1])) <= w.k.version or op in _OLD_CODES:
            return True
    return False


def _map_load(w: Walk, code: list[Slot], pc: int, used: dict[int, MapView]) -> None:
    _, _, src, _, imm = code[pc]
    imm2 = code[pc + 1][4]
    if src == 3:
        from bpfbench.verifier.kernel_variables import find

        find(w, pc, imm, imm2)
        return
    if src not in (2, 6) and not (src in (1, 5) and imm2 == 0):
        raise w.refuse("unrecognized bpf_ld_imm64 insn", EINVAL)
    if src in (5, 6):
        raise w.refuse("fd_idx without fd_array is invalid", EPROTO)
    if not 0 <= imm < len(w.prog.maps):
        text = "fd -1 is not pointing to valid bpf_map"
        raise w.refuse(text, EBADF)
    m = used.get(imm)
    fresh = m is None
    if m is None:
        spec = w.prog.maps[imm]
        fields, has_btf = special_fields(w, spec)
        m = used[imm] = view(spec, imm, fields, has_btf)
        w.maps.append(m)
        for kind, _, _ in fields:
            problem = progtypes.map_refused(w.prog.type, kind)
            if problem:
                raise w.refuse(problem, EINVAL)
        if spec.type == "struct_ops":
            raise w.refuse("bpf_struct_ops map cannot be used in prog", EINVAL)
        if w.sleepable and spec.type not in progtypes.SLEEPABLE_MAPS:
            raise w.refuse("Sleepable programs can only use array, hash, ringbuf and local storage maps", EINVAL)
    at = 0
    if src == 2:
        at = imm2 & 0xFFFFFFFF
        _direct_value(w, m, at)
    w.lddw_map[pc] = (m, at)
    if fresh and m.type in ("cgroup_storage", "percpu_cgroup_storage"):
        if w.cgroup_storage.setdefault(m.type, imm) != imm:
            raise w.refuse("only one cgroup storage of each type is allowed", EBUSY)


def special_fields(w: Walk, spec: MapSpec) -> tuple[list[tuple[str, int, int]], bool]:
    """Locks, timers … in the map's value, from its BTF."""
    if not spec.btf_value or not w.prog.btf:
        return [], False
    from bpfbench.verifier.value_types import fields_of

    return fields_of(w.prog.btf, spec.btf_value), True


def _direct_value(w: Walk, m: MapView, at: int) -> None:
    if at >= 1 << 29:
        raise w.refuse(f"direct value offset of {at} is not allowed", EINVAL)
    if m.type not in ("array", "arena", "insn_array"):
        raise w.refuse("no direct value access support for this map type", EINVAL)
    if m.type == "array":
        errno = ENOTSUPP if m.max_entries != 1 else EINVAL if at >= m.value_size else 0
        if errno:
            raise w.refuse(f"invalid access to map value pointer, value_size={m.value_size} off={at}", errno)


# The depth-first walk -----------------------------------------------------------------------------------------------

DISCOVERED: Final = 0x10
EXPLORED: Final = 0x20
FALLTHROUGH: Final = 1
BRANCH: Final = 2


class CfgWalk:
    """Slides 26-28: `stack` of instructions being visited, `status` of each."""

    __slots__ = ("w", "code", "stack", "status")

    def __init__(self, w: Walk, code: list[Slot]) -> None:
        self.w = w
        self.code = code
        self.stack: list[int] = [0]
        self.status = [0] * len(code)
        self.status[0] = DISCOVERED

    def push(self, t: int, target: int, edge: int, loop_ok: bool = False) -> bool:
        """Follow the edge t -> target; True if the target is to be visited first."""
        w, status = self.w, self.status
        if status[t] >= DISCOVERED | edge:
            return False
        if not 0 <= target < len(self.code):
            raise w.refuse(f"jump out of range from insn {t} to {target}", EINVAL)
        if edge == BRANCH:
            w.note(target).prune_point = True
            w.note(target).jmp_point = True
            w.note(target).jump_target = True
        if status[target] == 0:
            status[t] = DISCOVERED | edge
            status[target] = DISCOVERED
            self.stack.append(target)
            return True
        if status[target] & 0xF0 == DISCOVERED:
            if w.k.loops and w.bpf_capable and (loop_ok or w.k.call_loops_ok):
                return False
            raise w.refuse(f"back-edge from insn {t} to {target}", EINVAL)
        status[t] = DISCOVERED | edge
        return False

    def visit(self, t: int) -> bool:
        """One instruction: True while an edge out of it is being followed."""
        w = self.w
        op, _, src, off, imm = self.code[t]
        cls = op & 7
        if op == LDDW and src == 4:
            return self._call(t, 2, True)
        if cls not in (5, 6):
            return self.push(t, t + (2 if op == LDDW else 1), FALLTHROUGH)
        fn = op & 0xF0
        if fn == 0x90:
            return False
        if fn == 0x80:
            return self._visit_call(t, src, imm)
        if fn == 0x00:
            return self._visit_goto(t, op, cls, off, imm)
        w.note(t).prune_point = True
        if op == 0xE5 and src == 0 and w.k.may_goto:
            w.note(t).checkpoint = True
        if self.push(t, t + 1, FALLTHROUGH, True):
            return True
        return self.push(t, t + off + 1, BRANCH, True)

    def _visit_goto(self, t: int, op: int, cls: int, off: int, imm: int) -> bool:
        w = self.w
        if op & 8:
            from bpfbench.verifier.walk import Refuse

            raise Refuse(EINVAL)
        target = t + 1 + (imm if cls == 6 and w.k.version >= (6, 1) else off)
        if self.push(t, target, FALLTHROUGH, True):
            return True
        if w.k.slides:
            if t + 1 < len(self.code):
                w.note(t + 1).prune_point = True
            return False
        aux = w.note(target)
        aux.prune_point = aux.jmp_point = aux.jump_target = True
        return False

    def _visit_call(self, t: int, src: int, imm: int) -> bool:
        w = self.w
        aux = w.note(t)
        if src == 0:
            if imm in hp.CALLS_BACK_LATER:
                aux.prune_point = True
            if imm in hp.CALLS_BACK and w.k.callbacks_as_loops:
                aux.calls_callback = True
                aux.checkpoint = True
                aux.prune_point = True
                aux.jmp_point = True
            if hp.changes_packet(imm, w.k.version):
                w.subprogs[w.subprog_at(t)].changes_pkt = True
        elif src == 2 and aux.iter_next:
            aux.prune_point = True
            aux.checkpoint = True
        return self._call(t, 1, src == 1)

    def _call(self, t: int, size: int, local: bool) -> bool:
        w = self.w
        if self.push(t, t + size, FALLTHROUGH):
            return True
        w.note(t + size).prune_point = True
        w.note(t + size).jmp_point = True
        if not local:
            return False
        target = t + self.code[t][4] + 1
        w.note(t).prune_point = True
        caller, callee = w.subprogs[w.subprog_at(t)], w.subprogs[w.subprog_at(target)]
        caller.changes_pkt = caller.changes_pkt or callee.changes_pkt
        return self.push(t, target, BRANCH, self.code[t][0] == LDDW)


def walk_cfg(w: Walk, code: list[Slot]) -> None:
    """Depth first from instruction 0; everything must be reached."""
    walk = CfgWalk(w, code)
    while walk.stack:
        t = walk.stack[-1]
        if not walk.visit(t):
            walk.status[t] = EXPLORED
            walk.stack.pop()
    pc = 0
    while pc < len(code):
        if walk.status[pc] != EXPLORED:
            raise w.refuse(f"unreachable insn {pc}", EINVAL)
        if code[pc][0] == LDDW:
            if walk.status[pc + 1] != 0:
                raise w.refuse(f"jump into the middle of ldimm64 insn {pc}", EINVAL)
            pc += 1
        pc += 1


def call_arguments(w: Walk, code: list[Slot]) -> dict[int, int]:
    """How many arguments the calls take whose prototype is known, by pc (`get_call_summary`)."""
    out: dict[int, int] = {}
    for pc, (op, _, src, _, imm) in enumerate(code):
        if op == CALL and src == 0:
            proto = hp.proto(imm, w.prog.type, w.prog.attach_type, w.k.version, w.bpf_capable, w.perfmon)
            if proto is not None:
                out[pc] = len(proto.args)
        elif op == CALL and src == 2 and pc in w.kfuncs:
            out[pc] = len(w.kfuncs[pc].args)
    return out


def fastcall_patterns(w: Walk, code: list[Slot]) -> None:
    """Spills and fills around calls that clobber few registers (`mark_fastcall_patterns`)."""
    for number, sub in enumerate(w.subprogs):
        end = w.end_of(number)
        lowest = 0
        for pc in range(sub.start, end):
            op, dst, _, off, _ = code[pc]
            if op == 0x7B and dst == 10:
                lowest = min(lowest, off)
        for pc in range(sub.start, end):
            if code[pc][0] == CALL and code[pc][2] in (0, 2):
                _fastcall_at(w, code, sub, pc, lowest)


def _call_summary(w: Walk, pc: int, src: int, imm: int) -> tuple[int, bool, bool] | None:
    """(arguments, gives nothing, clobbers few registers) of the call, None when unknown (`get_call_summary`)."""
    if src == 0:
        proto = hp.proto(imm, w.prog.type, w.prog.attach_type, w.k.version, w.bpf_capable, w.perfmon)
        return (len(proto.args), proto.ret == hp.RET_VOID, proto.fastcall) if proto is not None else None
    func = w.kfuncs.get(pc)
    if func is None:
        return None
    from bpfbench.verifier.kfunc_calls import FASTCALL

    return len(func.args), func.ret == "void", func.name in FASTCALL


def _fastcall_at(w: Walk, code: list[Slot], sub: Subprog, pc: int, lowest: int) -> None:
    summary = _call_summary(w, pc, code[pc][2], code[pc][4])
    if summary is None:
        return
    count, nothing, fastcall = summary
    clobbered = (1 << (count + 1)) - 1
    if nothing:
        clobbered &= ~1
    expected = ~clobbered & 0b111111
    i, off = 1, lowest
    while i <= 6:
        if pc - i < 0 or pc + i >= len(code):
            break
        stx, ldx = code[pc - i], code[pc + i]
        if stx[0] != 0x7B or ldx[0] != 0x79 or stx[1] != 10 or ldx[2] != 10 or stx[2] != ldx[1]:
            break
        if not expected >> stx[2] & 1 or stx[3] != off or ldx[3] != off:
            break
        expected &= ~(1 << stx[2])
        w.note(pc - i).fastcall = True
        w.note(pc + i).fastcall = True
        i += 1
        off += 8
    if i == 1:
        return
    if fastcall:
        w.note(pc).fastcall_spills = i - 1
    sub.fastcall_off = min(sub.fastcall_off, off)

"""The computed blanks of reasons.py about calls: which helper, which argument, which resource."""

from __future__ import annotations

import re

from bpfbench.isa import ops
from bpfbench.isa.helpers import helper_name
from bpfbench.program.program import MAP_TYPES, PROG_TYPES
from bpfbench.verifier import helper_protos, progtypes
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.case import Case
from bpfbench.verifier.reason_facts import Values, register
from bpfbench.verifier.reason_memory import subject
from bpfbench.verifier.regstate import RegState
from bpfbench.verifier.route import slot_at
from bpfbench.verifier.scalar import s64
from bpfbench.verifier.words import span

# Calls ----------------------------------------------------------------------------------------------------------------


def called(case: Case, v: Values) -> None:
    insn = case.insn
    v["number"] = str(insn.imm) if insn is not None and insn.is_call else v.get("func", "?").rpartition("#")[2]
    number = int(v["number"]) if v["number"].isdigit() else 0
    v["func"] = f"bpf_{helper_name(number)}" if helper_name(number) else v.get("func", "the helper")
    v["others"] = ""
    types = [t for t in PROG_TYPES if t in progtypes.PROG_TYPES and not progtypes.PROG_TYPES[t].needs_btf
             and helper_protos.proto(number, t, 0, case.version) is not None]
    v["types"] = ", ".join(types[:6]) + (" and others" if len(types) > 6 else "") or "no type of program here"


def argument(case: Case, v: Values) -> None:
    r = int(v["reg"])
    insn, reg = case.insn, case.reg(r)
    v["role"], v["remedy"] = "", f"Pass one of the kinds listed in r{r}."
    if insn is not None and insn.kind == ops.CALL:
        proto = helper_protos.proto(insn.imm, case.program.type, case.program.attach_type, case.version)
        if proto is not None and 0 < r <= len(proto.args):
            v["role"] = f" ({role(proto.args[r - 1])})"
    if reg is not None and reg.kind & rs.MAYBE_NULL:
        v["remedy"] = f"Before instruction {case.pc}: `if r{r} == 0 goto …`."
    elif reg is not None and reg.kind == rs.SCALAR:
        v["remedy"] = f"Pass a pointer in r{r}, not a number; check the order of the arguments."


# kind of argument -> in words
ROLES = {
    helper_protos.ARG_CONST_MAP_PTR: "a map", helper_protos.ARG_MAP_KEY: "a key of the map",
    helper_protos.ARG_MAP_VALUE: "a value of the map", helper_protos.ARG_MEM: "memory, its size in the next argument",
    helper_protos.ARG_CTX: "the program's context", helper_protos.ARG_SOCK_COMMON: "a socket of any kind",
    helper_protos.ARG_SOCKET: "a full socket", helper_protos.ARG_BTF_ID_SOCK_COMMON: "a socket of any kind",
    helper_protos.ARG_RINGBUF_MEM: "a reserved record", helper_protos.ARG_PERCPU_BTF_ID: "a per-CPU variable",
    helper_protos.ARG_FUNC: "a function", helper_protos.ARG_STACK: "a pointer to the stack",
    helper_protos.ARG_CONST_STR: "a constant string", helper_protos.ARG_SPIN_LOCK: "a bpf_spin_lock in a map's value",
    helper_protos.ARG_TIMER: "a bpf_timer in a map's value", helper_protos.ARG_KPTR: "a kernel pointer in a map's value",
    helper_protos.ARG_DYNPTR: "a dynamic pointer",
}  # fmt: skip


def role(arg: helper_protos.Arg) -> str:
    """What an argument is for.

    >>> role(helper_protos.proto(86, "sched_cls").args[0])
    'a socket of any kind'
    """
    if arg.kind == helper_protos.ARG_FIXED_MEM:
        words = f"{arg.size} bytes of memory"
    elif arg.kind == helper_protos.ARG_BTF_ID:
        words = f"a kernel structure{f' {arg.btf}' if arg.btf else ''}"
    else:
        words = ROLES.get(arg.kind, "a number")
    return words + (", or null" if arg.maybe_null else "")


def packet_argument(case: Case, v: Values) -> None:
    last = case.last
    r = next((i for i in range(1, 6) if last is not None and last.regs[i].kind & rs.BASE in rs.PACKET_KINDS), 1)
    register(case, v, "ptr", r)


def arguments(case: Case, v: Values) -> None:
    """{subjects}: the registers that the refusal is about, with their values."""
    shown = [f"r{r} is {case.is_(r)}" for r in case.subjects()]
    v["subjects"] = ", ".join(shown) if shown else "its arguments"
    v["subjects_dot"] = f" There, {v['subjects']}." if shown else ""
    v["r1_is"] = case.is_(1)
    sizes = [r for r in range(1, 6) if (reg := case.reg(r)) is not None and reg.kind == rs.SCALAR
             and reg.scalar.umin == 0]
    v["size_is"] = f"r{sizes[0]} ({span(case.reg(sizes[0]).scalar)})" if sizes else "0"  # type: ignore[union-attr]


def _map_argument(case: Case) -> tuple[int, RegState | None]:
    last = case.last
    for r in range(1, 6):
        if last is not None and last.regs[r].kind & rs.BASE == rs.MAP_PTR:
            return r, last.regs[r]
    return -1, None


def map_and_helper(case: Case, v: Values) -> None:
    r, reg = _map_argument(case)
    kind = reg.map.type if reg is not None and reg.map is not None and reg.map.type else ""
    if not kind and "t" in v:
        kind = MAP_TYPES[int(v["t"])] if int(v["t"]) < len(MAP_TYPES) else f"type {v['t']}"
    number = f" ({v['t']})" if "t" in v else ""
    v["map"] = f"a map of type {kind or 'that is not known'}{number}" + (f" in r{r}" if r > 0 else "")
    v["wanted_maps"], v["remedy"] = "", "Use the helper that belongs to the map."
    admitted = helper_protos.MAP_ADMITS.get(kind)
    if admitted:
        v["wanted_maps"] = f"; {kind} works with {', '.join(admitted.split()[:5])}"
        v["remedy"] = f"Use one of {', '.join('bpf_' + n for n in admitted.split()[:5])}, or another type of map."
    insn = case.insn
    if insn is not None and insn.kind == ops.CALL:
        name = helper_name(insn.imm)
        takes = [] if insn.imm <= 3 else [t for t, names in helper_protos.MAP_ADMITS.items() if name in names.split()]
        if takes:
            v["wanted_maps"] += f"; {v['helper']} works on {', '.join(takes[:5])}"


def without_btf(case: Case, v: Values) -> None:
    v["nobtf"] = "the program has no func_info" if not case.program.func_info else \
        "its BTF does not make that function a callback"


def early_exit(case: Case, v: Values) -> None:
    at = -1
    for number, (first, end) in enumerate(case.functions()):
        for pc in range(first, end):
            insn = case.insn_at(pc)
            if number and insn is not None and (insn.kind in (ops.LD_ABS, ops.LD_IND)
                                                or insn.kind == ops.CALL and insn.imm == 12) and at < 0:
                at = pc
                v["function"] = f"{number} (at {first})"
    v.setdefault("function", "after the first")
    v["use_at"] = case.at(at) if at >= 0 else "a tail call or packet load"
    v["at"] = str(at)


def kfunc(case: Case, v: Values) -> None:
    at = case.pc if case.insn is not None and case.insn.kind == ops.CALL_KFUNC else \
        case.find(lambda pc, insn: insn.kind == ops.CALL_KFUNC)
    insn = case.insn_at(at)
    v["Kfunc_at"] = f"Instruction {at}" if at >= 0 else "An instruction"
    v["at"] = str(at)
    v["btf_id"] = str(insn.imm) if insn is not None else "given"


def map_btf(case: Case, v: Values) -> None:
    v["map_words"] = f"the map {v['map']}" if v.get("map") else "a value of " + next(
        (f"the {reg.map.type or 'given'} map" for r in range(1, 6) if (reg := case.reg(r)) is not None
         and reg.map is not None), "its map")


def leaked(case: Case, v: Values) -> None:
    found = re.search(r"Unreleased reference id=(\d+) alloc_insn=(\d+)", "\n".join(case.messages))
    id_, alloc = (int(found.group(1)), int(found.group(2))) if found else (case.refs or [(0, -1)])[0]
    v.update(id=str(id_), alloc=str(alloc), alloc_at=case.at(alloc) if alloc >= 0 else "the program")
    last = case.last
    holders = [f"r{r}" for r in range(11) if last is not None and last.regs[r].ref == id_]
    spilled = [f"fp-{8 * i + 8}" for i, s in enumerate(last.stack if last is not None else []) if s.reg.ref == id_]
    v["holder"] = f", in {', '.join(holders + spilled)}" if holders or spilled else \
        " (no register holds it any more)"
    insn = case.insn_at(alloc)
    name = helper_name(insn.imm) if insn is not None and insn.kind == ops.CALL else ""
    release = {"ringbuf_reserve": "bpf_ringbuf_submit or bpf_ringbuf_discard", "kptr_xchg": "its destructor"}.get(
        name, "bpf_sk_release" if name.startswith("sk") else "the release function")
    v["remedy"] = f"Call {release} on this path before instruction {case.pc}."


def unowned(case: Case, v: Values) -> None:
    reg = subject(case, v)
    v["released"] = ", or it was released before" if reg is not None and reg.kind == rs.SCALAR else ""


def dynptr(case: Case, v: Values) -> None:
    arguments(case, v)
    last = case.last
    insn = case.insn
    v["does_call"] = f"{v.get('helper', 'The helper')} is called at {case.pc} with {v['subjects']}"
    slots: list[str] = []
    for r in case.subjects():
        reg = case.reg(r)
        if reg is not None and reg.kind == rs.STACK and reg.scalar.m == 0 and last is not None:
            at = (-(reg.off + s64(reg.scalar.v)) - 1) // 8
            content = case.stack(reg.frame, at)
            slots.append(f"the stack at r{r} holds {content or 'nothing'}")
    if insn is not None and insn.kind in (ops.ST, ops.STX) and case.last is not None:
        place = slot_at(case.last, insn.dst, insn.off)
        where = f"the slot fp-{8 * place[1] + 8}" if place is not None else "the stack"
        v["does_call"] = f"{v['Insn']} writes into {where}"
        slots = ["a dynamic pointer lies there that holds a reference (ring buffer memory)"]
    v["dynptr"] = "; ".join(slots) or f"{case.message}"
    wanted = {"Expected an initialized": "a dynamic pointer that a helper has made, at its place",
              "Dynptr has to be": "16 bytes of stack without a dynamic pointer",
              "cannot overwrite": "that a referenced dynamic pointer is released before its bytes are overwritten",
              "Expected a dynptr of type": f"a dynamic pointer of type {v.get('t', '?')}"}  # fmt: skip
    if "name" in v or "iterator" in case.message:
        kind = f"an iterator of type {v['name']}" if "name" in v else "an iterator on the stack"
        wanted = {"expected an init": f"{kind} that was made and not ended yet",
                  "expected uninit": f"stack that holds no iterator yet, for {kind}"}
    v["dynptr_wanted"] = next((w for start, w in wanted.items() if case.message.startswith(start)),
                              "a dynamic pointer as it was made, used through its helpers")


def compared(case: Case, v: Values) -> None:
    insn = case.insn
    v["src_or_imm"] = "a register" if insn is None else (
        f"the constant {insn.imm}" if insn.op.imm else f"r{insn.src}, which is {case.is_(insn.src)}")
    v["where_words"] = ""


def kfunc_argument(case: Case, v: Values) -> None:
    arguments(case, v)
    v["wants"] = case.message.partition("expected ")[2] or case.message.partition("must ")[2] \
        or case.message.partition("expects ")[2] or "a constant" if "const" in case.message else case.message
    if "arg" in v and case.last is not None:
        r = int(v["arg"]) + 1
        if r <= 5:
            v["subjects"] = f"r{r}, argument #{v['arg']}, is {case.is_(r)}; the kernel says: {case.message}"


def kernel_variable(case: Case, v: Values) -> None:
    at = case.find(lambda pc, insn: insn.kind == ops.LDDW and insn.op.fn == ops.BTF_ID and insn.imm == int(v["id"]))
    v["Variable_at"] = f"Instruction {at}" if at >= 0 else "A wide load"
    v["at"] = str(at)

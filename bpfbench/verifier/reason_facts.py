"""The computed blanks of reasons.py: what a sentence needs beyond the numbers of the message.

A filler is a function of the case and the values found so far, to which it adds.  Each is one question about one kind
of refusal: which bytes would be touched, which field lies near, which loop, what was lost where.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Final

from bpfbench.isa import ops
from bpfbench.isa.codec import encode, wire
from bpfbench.isa.insn import Instruction
from bpfbench.verifier import progtypes
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.case import Case
from bpfbench.verifier.route import Step, untaken_writers
from bpfbench.verifier.words import integer

Values = dict[str, str]
Filler = Callable[[Case, Values], None]

# the values that an explanation hands on as facts
PUBLISHED: Final = frozenset(
    "to from frames size off limit count code by bits number fd kind op where has range low high need have want func "
    "field name at id alloc smallest largest end i i_at first count helper map type btf_id lost access".split())

_BLANK: Final = re.compile(r"\{(\w+)\}")
_ONE: Final = re.compile(r"\b1 bytes\b")


def gather(case: Case, match: re.Match[str] | None) -> Values:
    """What every row may name."""
    values: Values = {}
    for name, text in (match.groupdict() if match is not None else {}).items():
        if text is not None:
            values.setdefault(name.rstrip("0123456789") if name[-1].isdigit() else name, text)
    values["message"] = case.message
    values["pc"] = str(case.pc)
    values["type"] = case.program.type or "this type"
    values["license"] = case.program.license
    values["insn"] = case.at(case.pc) if case.pc >= 0 else "the program"
    values["Insn"] = capital(values["insn"])
    values["helper"] = case.helper()
    r = int(values["reg"]) if "reg" in values else case.base()
    register(case, values, "r", r)
    insn = case.insn
    if insn is not None:
        register(case, values, "dst", insn.dst)
        register(case, values, "src", insn.src)
        if insn.op.imm:
            values.update(src=str(insn.imm), src_is="a constant")
        values.setdefault("size", str(insn.op.size))
    for name in ("to", "from"):
        if name in values:
            values[f"{name}_at"] = case.at(int(values[name]))
            values[f"{capital(name)}_at"] = capital(values[f"{name}_at"])
    return values


def register(case: Case, values: Values, name: str, r: int) -> None:
    """The blanks {name} and {name_is} ({is} for r)."""
    values[name] = f"r{r}" if r >= 0 else "the register"
    values["is" if name == "r" else f"{name}_is"] = case.is_(r) if r >= 0 else "something that the log does not show"
    if name == "r" and r >= 0:
        values.setdefault("reg", str(r))


def fill(text: str, values: Values) -> str:
    return _ONE.sub("1 byte", _BLANK.sub(lambda m: values.get(m.group(1), "?"), text))


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def signed(n: int) -> str:
    return f"{n:+d}"


def without_message(case: Case) -> tuple[str, str, list[str]]:
    """The system call failed before the verifier said anything."""
    prog = case.program
    if not prog.insns:
        return "The program has no instructions.", "at least one instruction", []
    if prog.type not in progtypes.PROG_TYPES or case.version < progtypes.SINCE.get(prog.type, (0, 0)):
        return (f"This kernel ({case.version[0]}.{case.version[1]}) has no program type {prog.type}.",
                "a program type of this kernel", ["Load on a newer kernel."])
    if not progtypes.attach_accepted(prog.type, prog.attach_type, case.version):
        allowed = progtypes.ACCEPTED.get(prog.type) or ()
        known = ", ".join(str(n) for n in sorted(allowed))
        return (f"A program of type {prog.type} was to be loaded with expected attach type {prog.attach_type}.",
                f"one of the attach types {known}", ["Set expected_attach_type (libbpf does by the section's name)."])
    if case.errno == "EPERM":
        return (f"Programs of type {prog.type} are not for a process with these capabilities.",
                "CAP_PERFMON for tracing, CAP_NET_ADMIN for networking, both with CAP_BPF",
                ["Load with these capabilities."])
    if case.last is not None:
        return (f"At {case.at(case.pc)} the verifier stopped without a message ({case.errno}).",
                "what this instruction asks for", [])
    return (f"The system call failed with {case.errno} before the verifier looked at an instruction.",
            "attributes that bpf(2) takes", [])


# Shape ----------------------------------------------------------------------------------------------------------------


def above(case: Case, v: Values) -> None:
    to = int(v["to"])
    before = next((pc for pc in range(to - 1, -1, -1) if case.insn_at(pc) is not None), -1)
    insn = case.insn_at(before)
    if insn is None or before < 0:
        v["above"] = "nothing jumps there"
    elif not insn.falls_through:
        v["above"] = f"{case.at(before)} before it never goes on, and no jump leads there"
    else:
        v["above"] = f"{case.at(before)} before it is not reached either"


def function_of_jump(case: Case, v: Values) -> None:
    at = int(v["from"])
    first, end = case.bounds(at) if case.complete else (0, at)
    v.update(first=str(first), end=str(end - 1) if case.complete else "its last", next=str(at + 1))


def into_wide(case: Case, v: Values) -> None:
    to = int(v["to"]) if "to" in v else -1
    if "from" in v:
        insn = case.insn_at(int(v["from"]))
        to = int(v["from"]) + 1 + (insn.jump if insn is not None else 0)
    else:
        to += 1                                 # the message names the first slot
    v["to"] = str(to)
    jumps = [pc for pc, insn in enumerate(case.program.insns) if insn is not None and insn.is_jump
             and pc + 1 + insn.jump == to]
    v["jumper"] = f"{capital(case.at(jumps[0]))} jumps to slot {to}. " if jumps else ""
    v["wide"] = f"wide load {to - 1} (`{case.text(to - 1)}`)" if case.text(to - 1) else f"wide load at {to - 1}"


def open_end(case: Case, v: Values) -> None:
    for first, end in case.functions() if case.complete else []:
        last = next((pc for pc in range(end - 1, first - 1, -1) if case.insn_at(pc) is not None), -1)
        insn = case.insn_at(last)
        if insn is None or insn.kind not in (ops.EXIT, ops.JA):
            v["tail"] = f"The function that begins at {first} ends with {case.at(last)}, which goes on to what " \
                        f"lies behind it."
            v["at"] = str(last)
            return
    v["tail"] = "A function ends with an instruction that goes on."


def back_edge(case: Case, v: Values) -> None:
    v["loop_rule"] = "this kernel accepts none" if case.version < (5, 3) else "the process has no CAP_BPF"
    if case.version >= (5, 3) and case.privileged:
        v["loop_rule"] = "this one has no end that the verifier can see"


def loop_state(case: Case, v: Values) -> None:
    to = int(v["to"])
    last = case.last
    shown = []
    if last is not None:
        shown = [f"r{i} = {case.value(i)}" for i in range(10) if last.regs[i].kind != rs.NOT_INIT]
    v["regs"] = ", ".join(shown) or "no register"
    conditions = [f"`{case.text(s.pc)}` at {s.pc}" for s in _round(case.steps, to)
                  if (insn := case.insn_at(s.pc)) is not None and insn.kind in (ops.JMP, ops.JMP32)]
    v["test"] = f"changes what its condition ({conditions[-1]}) tests" if conditions else \
        "has a condition: on this path nothing decides whether to leave it"
    v["counter"] = f"Let {conditions[-1]} depend on" if conditions else "Leave the loop by"


def _round(steps: list[Step], to: int) -> list[Step]:
    """The steps since the last visit of that instruction."""
    out: list[Step] = []
    for step in reversed(steps):
        out.append(step)
        if step.pc == to and len(out) > 1:
            break
    out.reverse()
    return out


def wild_call(case: Case, v: Values) -> None:
    n = len(case.program.insns)
    bad = case.find(lambda pc, insn: insn.kind == ops.CALL_LOCAL and not 0 <= pc + 1 + insn.imm < n)
    insn = case.insn_at(bad)
    v["end"] = str(n - 1)
    v["callers"] = "A call leads outside of the program." if insn is None else \
        f"{capital(case.at(bad))} calls instruction {bad + 1 + insn.imm}, and the program has {n} slots."
    v["at"] = str(bad)


def counted(case: Case, v: Values) -> None:
    v["count"] = str(len(case.functions()))


def call_chain(case: Case, v: Values) -> None:
    sites: list[int] = []
    for i, step in enumerate(case.steps[:-1]):
        if case.steps[i + 1].depth > step.depth:
            sites = sites[: step.depth] + [step.pc]
    if case.last is not None:
        sites = sites[: case.last.depth] + [case.pc]
    if not sites:
        sites = [pc for pc, insn in enumerate(case.program.insns) if insn is not None and insn.kind == ops.CALL_LOCAL]
        v["chain"] = "Functions call each other too deeply, or in a circle: the calls are at " \
            + ", ".join(map(str, sites)) + "."
        return
    again = " (the function calls itself, directly or not)" if len(set(sites)) < len(sites) else ""
    v["chain"] = "The calls at " + ", ".join(map(str, sites)) + f" are all in progress{again}."


def stack_use(case: Case, v: Values) -> None:
    """The deepest slot that each function touches through r10."""
    parts: list[str] = []
    for number, (first, end) in enumerate(case.functions()):
        deepest = 0
        for pc in range(first, end):
            insn = case.insn_at(pc)
            if insn is None:
                continue
            if insn.kind in (ops.ST, ops.STX, ops.ATOMIC) and insn.dst == 10 or insn.kind == ops.LDX and insn.src == 10:
                deepest = max(deepest, -insn.off)
            elif insn.kind == ops.ALU64 and insn.op.fn == ops.ADD and insn.op.imm:
                before = case.insn_at(pc - 1)
                if before is not None and before.op.fn == ops.MOV and before.src == 10 and before.dst == insn.dst:
                    deepest = max(deepest, -insn.imm)
        if deepest:
            parts.append(f"function {number} (at {first}) at least {deepest}")
    v["use"] = ", ".join(parts) or "the log does not show how much each"
    v["over"] = str(max(int(v.get("size", "0")) - 512, 0))


def forks(case: Case, v: Values) -> None:
    counts = Counter(step.pc for step in case.steps)
    branches = [(n, pc) for pc, n in counts.items() if (insn := case.insn_at(pc)) is not None
                and insn.kind in (ops.JMP, ops.JMP32, ops.MAY_GOTO)]
    top = sorted(branches, reverse=True)[:3]
    v["hot"] = "on this path the branches met most often are " + ", ".join(
        f"{pc} (`{case.text(pc)}`, {n} times)" for n, pc in top) if top else "no branch was met on this path"
    v["merge"] = f"the branch at {top[0][1]}" if top else "loops with fewer rounds"


# Single instructions --------------------------------------------------------------------------------------------------


def _flawed(case: Case) -> tuple[int, Instruction | None]:
    if case.insn is not None:
        return case.pc, case.insn
    at = case.find(lambda pc, insn: bool(insn.flaw) or insn.kind == ops.UNKNOWN or insn.dst > 10 or insn.src > 10)
    return at, case.insn_at(at)


def opcode(case: Case, v: Values) -> None:
    at, insn = _flawed(case)
    v["Flawed_at"] = f"Instruction {at}" if insn is not None else "An instruction"
    v["at"] = str(at)
    v["bytes"] = encode([insn]).hex(" ") if insn is not None else "its bytes are not in the log"
    v["bits"] = str(insn.op.size * 8) if insn is not None else "?"


def reserved_field(case: Case, v: Values) -> None:
    opcode(case, v)
    _, insn = _flawed(case)
    if insn is None:
        v["field"] = "a value other than 0"
        return
    _, dst, src, off, imm = wire(insn)
    named = [f"{name} = {n}" for name, n in (("dst_reg", dst), ("src_reg", src), ("off", off), ("imm", imm)) if n]
    v["field"] = " and ".join(named[:4]) + f" ({v['bytes']})" if named else f"the bytes {v['bytes']}"
    v["Flawed_at"] += f" (`{case.text(int(v['at']))}`)" if case.text(int(v["at"])) else ""


def shift(case: Case, v: Values) -> None:
    insn = case.insn
    bits = 32 if insn is not None and insn.kind == ops.ALU32 else 64
    v.update(bits=str(bits), most=str(bits - 1))


def half_load(case: Case, v: Values) -> None:
    at = case.pc if case.pc >= 0 else case.find(lambda pc, insn: insn.code == 0x18 and bool(insn.flaw))
    insn = case.insn_at(at)
    v["Flawed_at"] = f"Instruction {at}" if at >= 0 else "An instruction"
    v["at"] = str(at)
    v["bytes"] = encode([insn]).hex(" ") if insn is not None else "0x18"
    following = case.insn_at(at + 1)
    if at + 1 >= len(case.program.insns):
        v["half"] = "the program ends before its second half"
    elif following is not None:
        v["half"] = f"what follows ({encode([following]).hex(' ')}) is no second half"
    else:
        v["half"] = f"its source {insn.src if insn is not None else '?'} is not known here"


def map_load(case: Case, v: Values) -> None:
    """The wide load behind a message that does not say where it is."""
    insns = case.program.insns
    maps = case.program.maps
    wanted_off = int(v["off"]) if "off" in v else None
    value = "value" in case.message
    at = case.find(lambda pc, insn: insn.kind == ops.LDDW and insn.op.fn not in (ops.IMM, ops.FUNC, ops.BTF_ID)
                   and (insn.imm >= len(maps) or insn.imm < 0 if not value else
                        insn.op.fn in (ops.MAP_VALUE, ops.MAP_IDX_VALUE)
                        and (wanted_off is None or insn.imm2 & 0xFFFFFFFF == wanted_off)
                        and (wanted_off is not None or 0 <= insn.imm < len(maps) and maps[insn.imm].type
                             not in ("array", "arena", "insn_array"))))  # fmt: skip
    insn = insns[at] if at >= 0 else None
    v["map_load"] = capital(case.at(at)) if at >= 0 else "A wide load"
    v["at"] = str(at)
    v.setdefault("fd", "given by an index without a table")
    v["map"] = "the map"
    if insn is not None and 0 <= insn.imm < len(maps):
        found = maps[insn.imm]
        v["map"] = f"map {insn.imm} ({found.name + ', ' if found.name else ''}{found.type})"
    v["last"] = str(int(v["limit"]) - 1) if "limit" in v else ""


# Registers ------------------------------------------------------------------------------------------------------------


def uninitialised(case: Case, v: Values) -> None:
    r = int(v["reg"])
    lost, remedy = "nothing on the path to it writes it", f"Set r{r} before, on every path."
    last = case.last
    for i in range(len(case.steps) - 2, -1, -1):
        step, after = case.steps[i], case.steps[i + 1]
        if last is None or step.depth != last.depth or step.regs[r].kind == rs.NOT_INIT:
            if last is not None and step.depth < last.depth:
                break
            continue
        lost = f"{case.at(step.pc)} destroyed it"
        remedy = f"Keep the value in r6 to r9 or on the stack across instruction {step.pc}."
        if 1 <= r <= 5 and after.depth >= step.depth:
            lost = f"the call at {step.pc} (`{case.text(step.pc)}`) destroyed it, as every call does with r1 to r5"
        break
    else:
        passed = untaken_writers(case.steps, case.program.insns, r)
        if passed:
            at = passed[-1].step.pc
            lost = f"the path went past the instruction that writes it at the branch {at} (`{case.text(at)}`)"
            remedy = f"Also write r{r} on the way that the branch at {at} takes here."
        elif last is not None and last.depth and r <= 5:
            lost = "the caller did not pass it, or it was destroyed"
    if last is not None and last.depth and r > 5 and "destroyed" not in lost:
        lost = "a function begins with r1 to r5 and r10 only, and this one did not write it"
    if "nothing" in lost and case.steps and case.steps[0].regs[r].struct:
        lost = "the log begins after whatever left it so"
    if r == 0 and case.insn is not None and case.insn.kind == ops.EXIT and "nothing" in lost:
        remedy = "Set r0, the return value, before `exit`."
    v.update(lost=lost, remedy=remedy)


def pointer_operand(case: Case, v: Values) -> None:
    """The operand that is the pointer: the one the message names, or the other."""
    insn = case.insn
    r = int(v["reg"])
    if insn is not None and not insn.op.imm and insn.kind in (ops.ALU64, ops.ALU32):
        a, b = case.reg(insn.dst), case.reg(insn.src)
        if a is not None and b is not None and a.kind == rs.SCALAR and b.kind != rs.SCALAR:
            r = insn.src
    register(case, v, "ptr", r)
    if r != int(v["reg"]):
        v["ptr_is"] += f", and r{v['reg']}, which is {case.is_(int(v['reg']))}"


def two_pointers(case: Case, v: Values) -> None:
    v["difference"] = "the distance of packet pointers is compared, not computed." if "pkt" in case.value(
        case.insn.dst if case.insn is not None else 0) else "addresses cannot be added up."


def dst_or_named(case: Case, v: Values) -> None:
    register(case, v, "r", int(v["reg"]))


def base_register(case: Case, v: Values) -> None:
    """The register that the access goes through; of a call the argument of the kind that the message names."""
    if "reg" in v and v["reg"] != str(case.base()):
        return
    r = case.base()
    if case.insn is not None and case.insn.is_call and case.last is not None:
        kinds = [i for i in range(1, 6) if rs.kind_text(case.last.regs[i].kind).startswith(v.get("kind", "map_value"))]
        moved = [i for i in kinds if case.last.regs[i].scalar.m]
        r = (moved or kinds or [1])[0]
    register(case, v, "r", r)


def pointer_and_number(case: Case, v: Values) -> None:
    insn = case.insn
    ptr, num = case.base(), -1
    if insn is not None and insn.kind in (ops.ALU64, ops.ALU32) and not insn.op.imm:
        ptr, num = insn.dst, insn.src
        a = case.reg(insn.dst)
        if a is not None and a.kind == rs.SCALAR:
            ptr, num = insn.src, insn.dst
    if insn is not None and insn.op.imm and insn.kind in (ops.ALU64, ops.ALU32):
        v.update(num=f"the constant {insn.imm}", num_is=f"the number {insn.imm}", num_min=str(insn.imm))
        register(case, v, "ptr", insn.dst)
        return
    register(case, v, "ptr", ptr)
    register(case, v, "num", num)
    reg = case.reg(num)
    v["num_min"] = integer(reg.scalar.smin) if reg is not None else "anything"


def subtraction(case: Case, v: Values) -> None:
    insn = case.insn
    pointer = case.reg(insn.src) if insn is not None else None
    v["remedy"] = "Copy the pointer, and subtract the number from the copy."
    if pointer is not None and pointer.kind == rs.STACK:
        v["remedy"] = "Copy the pointer, and add the number, negated, to the copy."


def returned(case: Case, v: Values) -> None:
    register(case, v, "r", int(v.get("reg", "0")))
    v["where"] = {"program exit": "the program", "callback return": "the callback"}.get(v.get("where", ""),
                                                                                         v.get("where", ""))

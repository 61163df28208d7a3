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
from bpfbench.isa.helpers import helper_name
from bpfbench.isa.insn import Instruction
from bpfbench.program.program import PROG_TYPES
from bpfbench.verifier import contexts, helper_protos, progtypes
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.case import Case
from bpfbench.verifier.regstate import RegState
from bpfbench.verifier.route import Step, untaken_writers
from bpfbench.verifier.scalar import S64_MIN, U64_MAX, s64
from bpfbench.verifier.words import describe, integer, span

Values = dict[str, str]
Filler = Callable[[Case, Values], None]

# the values that an explanation hands on as facts
PUBLISHED: Final = frozenset(
    "to from frames size off limit count code by bits number fd kind op where has range low high need have want func "
    "field name at id alloc smallest largest end i i_at first count helper map type btf_id lost access".split())

_BLANK: Final = re.compile(r"\{(\w+)\}")


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
    return _BLANK.sub(lambda m: values.get(m.group(1), "?"), text)


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


def returned(case: Case, v: Values) -> None:
    register(case, v, "r", int(v.get("reg", "0")))
    v["where"] = {"program exit": "the program", "callback return": "the callback"}.get(v.get("where", ""),
                                                                                         v.get("where", ""))


# Memory ---------------------------------------------------------------------------------------------------------------


def null_check(case: Case, v: Values) -> None:
    r = int(v["reg"])
    reg, last = case.reg(r), case.last
    same = [f"r{i}" for i in range(10) if last is not None and reg is not None and i != r and reg.id
            and last.regs[i].id == reg.id]
    v["copies"] = f" (or the same for its copy {', '.join(same)})" if same else ""


def no_pointer(case: Case, v: Values) -> None:
    r = int(v["reg"])
    reg = case.reg(r)
    v["since"] = ""
    v["remedy"] = "Use the pointer itself; a number, even one that was an address, is no pointer."
    for i in range(len(case.steps) - 2, -1, -1):
        step, after = case.steps[i], case.steps[i + 1]
        if case.last is None or step.depth != case.last.depth or after.depth != step.depth:
            continue
        old, new = step.regs[r], after.regs[r]
        if old is new or old.kind in (rs.NOT_INIT, rs.SCALAR) or new.kind != rs.SCALAR:
            continue
        v["since"] = f"; it was {describe(old)} until {case.at(step.pc)}"
        insn = case.insn_at(step.pc)
        if insn is not None and insn.kind == ops.CALL:
            name = helper_name(insn.imm)
            void = "packet pointers are void after it" if old.kind & rs.BASE in rs.PACKET_KINDS else "it is released"
            v["since"] += f" ({void})"
            v["remedy"] = f"Load data and data_end again after bpf_{name}, and compare again." \
                if "packet" in void else "Use it before it is released."
        break
    if reg is not None and reg.kind == rs.SCALAR and reg.scalar.m == 0 and reg.scalar.v == 0:
        v["remedy"] = "This path is where the pointer is null: do not use it here."
    elif reg is not None and reg.kind & rs.BASE == rs.PACKET_END:
        v["remedy"] = "data_end is for comparisons; read through data."


def read_only(case: Case, v: Values) -> None:
    r = int(v.get("reg") or case.base())
    register(case, v, "r", r)
    reg = case.reg(r)
    v["why_read_only"] = ""
    if "packet" in case.message or reg is not None and reg.kind & rs.BASE in rs.PACKET_KINDS:
        v["why_read_only"] = f"; programs of type {v['type']} may only read the packet"
    elif reg is not None and reg.kind & rs.RDONLY:
        v["why_read_only"] = "; it is read-only memory"


def context_field(case: Case, v: Values) -> None:
    insn = case.insn
    write = insn is not None and insn.kind in (ops.ST, ops.STX)
    v.update(does="writes" if write else "reads", does_noun="write" if write else "read")
    v.setdefault("off", str(insn.off) if insn is not None else "?")
    v.setdefault("size", str(insn.op.size) if insn is not None else "?")
    register(case, v, "r", case.base())
    v["fields"], v["remedy"] = "", "Use the fields that this context has, in their size."
    if not v["off"].lstrip("-").isdigit() or not case.complete:
        return
    off, size = int(v["off"]), int(v["size"])
    near = _fields_near(case, off, write)
    if near:
        v["fields"] = "There: " + "; ".join(near) + "."
        v["remedy"] = f"Use {near[0].split(' at')[0]} as it lies, or another field."
    elif write and _fields_near(case, off, False):
        v["fields"] = f"This field may be read, not written ({_fields_near(case, off, False)[0]})."
        v["remedy"] = "Only read it."
    else:
        v["fields"] = f"No field that a program of type {case.program.type} may {v['does_noun']} lies at {off}."
    if size and off % size:
        v["fields"] += f" {off} is no multiple of {size}."


def _fields_near(case: Case, off: int, write: bool) -> list[str]:
    try:
        layout = contexts.layout(case.program.type, case.program.attach_type, case.version)[1 if write else 0]
    except (KeyError, ValueError):
        return []
    seen: dict[tuple[str, int], list[int]] = {}
    for key, field in layout.items():
        at, width = key >> 4, key & 15
        if field.off <= off < field.off + field.size or at <= off < at + width:
            seen.setdefault((field.name, field.off), []).append(width)
    return [f"{name} at {at} ({' or '.join(str(w) for w in sorted(set(widths)))} bytes at a time)"
            for (name, at), widths in sorted(seen.items())][:3]


def store_form(case: Case, v: Values) -> None:
    v["op_words"] = {"ST": "a store of a constant cannot be rewritten for this kind of memory",
                     "ATOMIC": "atomic operations need plain memory"}.get(v["op"], "this form is not allowed")


def _subject(case: Case, v: Values) -> RegState | None:
    r = int(v["reg"]) if "reg" in v else case.base()
    register(case, v, "r", r)
    return case.reg(r)


def _measures(case: Case) -> tuple[int | None, int | None, int | None]:
    """(limit, off, size) of a message about bounds, wherever in the messages it stands."""
    for message in reversed(case.messages):
        found = re.search(r"(?:_size=(\d+) )?off=(-?\d+),? size=(\d+)(?:.*r=(\d+)\))?", message)
        if found:
            limit = found.group(1) or found.group(4)
            return (int(limit) if limit else None), int(found.group(2)), int(found.group(3))
    return None, None, None


def outside(case: Case, v: Values) -> None:
    reg = _subject(case, v)
    limit, off, size = _measures(case)
    insn = case.insn
    size = size if size is not None else (insn.op.size if insn is not None else 0)
    if limit is None and reg is not None:
        limit = reg.map.value_size if reg.map is not None else reg.size
    v.update(limit=str(limit) if limit is not None else "?", size=str(size), off=str(off) if off is not None else "?")
    if off is None:
        v["access"] = "The access may lie outside"
        v["remedy"] = "Bound the offset."
        return
    end = v.get("end", "min" if off < 0 else "max")
    which = "" if reg is None or reg.scalar.m == 0 else \
        ("At the smallest offset it" if end == "min" else "At the largest offset it")
    last = f" to {off + size - 1}" if size > 1 else ""
    v["access"] = f"{which or 'It'} touches byte{'s' if size > 1 else ''} {off}{last} of an object of {limit} bytes"
    if limit is not None and reg is not None and reg.scalar.m and end == "max":
        v["remedy"] = f"Bound the variable part of {v['r']} by {limit - size - (off - reg.scalar.umax)}, so that the " \
                      f"last access still ends inside: `if index > {limit - size - (off - reg.scalar.umax)} goto …`."
    else:
        v["remedy"] = f"Keep the offset between 0 and {(limit or 0) - size}."
    if limit is not None and size > limit:
        v["remedy"] = f"Access at most {limit} bytes, or make the object larger."


def smallest(case: Case, v: Values) -> None:
    reg = _subject(case, v)
    if reg is None:
        v.update(smallest="anything", largest="anything")
        return
    insn = case.insn
    fixed = reg.off + (insn.off if insn is not None and insn.kind in (ops.LDX, ops.LDXS, ops.ST, ops.STX) else 0)
    pointer = reg.kind != rs.SCALAR
    low = reg.scalar.smin + (fixed if pointer and reg.scalar.smin != S64_MIN else 0)
    high = reg.scalar.umax + (fixed if pointer and reg.scalar.umax != U64_MAX else 0)
    v.update(smallest=integer(low), largest=integer(high))


def packet_access(case: Case, v: Values) -> None:
    reg = _subject(case, v)
    limit, off, size = _measures(case)
    insn = case.insn
    if off is None and insn is not None:
        off = insn.off + (reg.off if reg is not None else 0)
        size = insn.op.size
    known = limit if limit is not None else (reg.range if reg is not None else 0)
    need = (off or 0) + (size or 0)
    v.update(off=str(off), size=str(size), need=str(need))
    have = "and nothing is known to exist there" if known <= 0 else f"and only the first {known} are known to exist"
    if reg is not None and reg.range < 0:
        have = "and this path is where the comparison with data_end failed"
    v["access"] = f"The access of {size} bytes at offset {off} needs {need} bytes, {have}"
    v["remedy"] = f"Before instruction {case.pc}: `if (data + {need} > data_end) return …;`" \
        " with the same pointer, on the way to the access."
    if reg is not None and reg.scalar.m:
        v["remedy"] = f"Compare a pointer that was made from {v['r']} (with the same variable offset, plus " \
                      f"{need}) with data_end."
    if (off or 0) < 0:
        v["remedy"] = "Do not access before the beginning of the packet."


def map_flags(case: Case, v: Values) -> None:
    writing = v["way"] == "write into"
    register(case, v, "r", case.base() if case.base() >= 0 else (case.subjects() or [1])[0])
    v["way_word"] = "write to" if writing else "read"
    limit, off, size = _measures(case)
    v["bytes"] = f" ({size} bytes at offset {off} of {limit})" if size is not None else ""
    v["flag"] = "BPF_F_RDONLY_PROG" if writing else "BPF_F_WRONLY_PROG"


def alignment(case: Case, v: Values) -> None:
    parts = [int(p) for p in re.findall(r"(?:^|\+)(-?\d+)(?=\+|$)", re.sub(r"\([^)]*\)", "0", v["sum"]))]
    size = int(v["size"])
    variable = re.search(r"\((0x[0-9a-f]+); (0x[0-9a-f]+)\)", v["sum"])
    if variable and not int(variable.group(2), 16):
        parts.append(s64(int(variable.group(1), 16)))       # 6.1 shows a constant so
    total = sum(parts)
    register(case, v, "r", case.base() if case.base() >= 0 else (case.subjects() or [0])[0])
    summed = [p for p in parts if p]
    v["where"] = f"offset {total}" + (f" ({' '.join(signed(p) for p in summed)})" if len(summed) > 1 else "") + (f" plus a variable part {variable.group(0)}"
                                      if variable and int(variable.group(2), 16) else "")
    v["multiple"] = "is no multiple" if total % size else "is not always a multiple"
    v["why"] = "the stack always" if "stack" in v["what"] else "strict alignment" \
        if "packet" in v["what"] or "value" in v["what"] else "this kind of memory"
    v["remedy"] = f"Use an offset such as {total - total % size} or {total - total % size + size}." \
        if total % size else f"Make the variable part a multiple of {size} (`index &= ~{size - 1}`)."


def socket_field(case: Case, v: Values) -> None:
    r = int(v["reg"]) if "reg" in v else case.base()
    register(case, v, "r", r)
    v["fields"], v["remedy"] = "", "Use the fields of this structure, in their size."
    if v.get("kind") in ("sock", "sock_common", "tcp_sock", "xdp_sock") and "off" in v:
        off, size = int(v["off"]), int(v["size"])
        for at in range(off - off % 8, off + 8):
            for width in (1, 2, 4, 8):
                field = contexts.sock_access(v["kind"], at, width) if at >= 0 else None
                if field is not None and not v["fields"]:
                    v["fields"] = f"There: {field.name} at {field.off} ({field.size} bytes)."
        if size and off % size:
            v["fields"] += f" {off} is no multiple of {size}."


# Stack ----------------------------------------------------------------------------------------------------------------


def signed_off(case: Case, v: Values) -> None:
    v["off_signed"] = signed(int(v["off"]))


def variable_stack(case: Case, v: Values) -> None:
    v["off_words"] = f" (from {v['off']} on)" if "off" in v else ""


def stack_range(case: Case, v: Values) -> None:
    off, size = int(v["off"]), int(v["size"])
    v["off_signed"] = signed(off)
    v["written"] = "" if "write" in v["way"] else " that were written before"
    if size <= 0:
        v["where"] = f"A size of {size} is not possible"
        v["remedy"] = "Pass a size of at least 1."
    elif off < -512 or off + size > 0:
        v["where"] = f"It ends at r10{signed(off + size)}, above the frame" if off + size > 0 else \
            "It begins below the frame, which has 512 bytes"
        v["remedy"] = f"Use r10{signed(-size)} or lower." if off + size > 0 else "Use at most 512 bytes of stack."
    else:
        v["where"] = "Nothing was written there on this path"
        v["remedy"] = "Write these bytes before they are read."


def stack_hole(case: Case, v: Values) -> None:
    off, i, size = int(v["off"]), int(v["i"]), int(v["size"])
    at = off + i
    v["through"] = f" through {v['r']}, which is {v['is']}" if "reg" in v and int(v["reg"]) != 10 else ""
    v.update(off_signed=signed(off), byte_signed=signed(at), end_signed=signed(off + size - 1))
    content = case.stack(case.last.depth if case.last is not None else 0, (-at - 1) // 8)
    base = (-at - 1) // 8 * 8 + 8
    marks = len(content) == 8 and not set(content) - set("?rm0dif")
    if content and not marks:
        content = f"a saved register ({content}), not all of its bytes"
    what = "" if not marks else "d: part of a dynamic pointer" if "d" in content else "i: part of an iterator" if "i" in content else \
        "? marks bytes without content"
    v["slot"] = f" (fp-{base} holds {content.replace('?', '_')}{'; ' if what else ''}{what.replace('?', '_')})" if content else ""
    v["never"] = "belongs to a helper's object" if marks and set(content) & set("dif") else \
        "was never written on this path"


def stack_variable(case: Case, v: Values) -> None:
    reg = _subject(case, v)
    v["written"] = "" if "write" in case.message else " and was written before"
    found = re.search(r"size=(\d+)", case.message)
    size = int(found.group(1)) if found else None
    v["where"] = "The range of the offset leaves the frame"
    if reg is not None and reg.scalar.m:
        low, high = reg.off + reg.scalar.smin, reg.off + s64(reg.scalar.smax)
        v["where"] = f"That is r10{signed(low)} to r10{signed(high)} as the first byte" \
            if -(1 << 30) < low and high < 1 << 30 else "The variable part has no useful bounds"
        if -512 <= low and high < 0:
            v["where"] += ", and not all of these bytes were written" if "read" in case.message \
                else ", which with the size of the access leaves the frame"
        if size is not None:
            v["where"] += f"; the access has {size} byte{'s' if size != 1 else ''}"


def access_size(case: Case, v: Values) -> None:
    insn = case.insn
    v["size"] = str(insn.op.size) if insn is not None else "?"
    base = case.base()
    reg = case.reg(base)
    if insn is not None and reg is not None and reg.kind == rs.STACK and reg.scalar.m == 0:
        at = reg.off + s64(reg.scalar.v) + insn.off
        slot = (-at - 1) // 8
        v["slot"] = f"fp-{8 * slot + 8} = {case.stack(reg.frame, slot) or 'a pointer'}"
    else:
        v["slot"] = "its place is not constant"


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
            v["role"] = f" ({repr(proto.args[r - 1])[4:-1]})"
    if reg is not None and reg.kind & rs.MAYBE_NULL:
        v["remedy"] = f"Before instruction {case.pc}: `if r{r} == 0 goto …`."
    elif reg is not None and reg.kind == rs.SCALAR:
        v["remedy"] = f"Pass a pointer in r{r}, not a number; check the order of the arguments."


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
        from bpfbench.program.program import MAP_TYPES

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
    reg = _subject(case, v)
    v["released"] = ", or it was released before" if reg is not None and reg.kind == rs.SCALAR else ""


def dynptr(case: Case, v: Values) -> None:
    arguments(case, v)
    last = case.last
    insn = case.insn
    v["does_call"] = f"{v['helper']} is called at {case.pc}" if insn is not None and insn.is_call else \
        f"{v['Insn']} writes the stack"
    slots: list[str] = []
    for r in case.subjects():
        reg = case.reg(r)
        if reg is not None and reg.kind == rs.STACK and reg.scalar.m == 0 and last is not None:
            at = (-(reg.off + s64(reg.scalar.v)) - 1) // 8
            content = case.stack(reg.frame, at)
            slots.append(f"the stack at r{r} holds {content or 'nothing'}")
    v["dynptr"] = "; ".join(slots) or f"{case.message}"
    wanted = {"Expected an initialized": "a dynamic pointer that a helper has made, at its place",
              "Dynptr has to be": "16 bytes of stack without a dynamic pointer",
              "cannot overwrite": "that a referenced dynamic pointer is released before its bytes are overwritten",
              "Expected a dynptr of type": f"a dynamic pointer of type {v.get('t', '?')}"}  # fmt: skip
    v["dynptr_wanted"] = next((w for start, w in wanted.items() if case.message.startswith(start)),
                              "a dynamic pointer as it was made, used through its helpers")


def compared(case: Case, v: Values) -> None:
    insn = case.insn
    v["src_or_imm"] = "a register" if insn is None else (
        f"the constant {insn.imm}" if insn.op.imm else f"r{insn.src}, which is {case.is_(insn.src)}")
    v["where_words"] = ""

"""The computed blanks of reasons.py about memory: which bytes, of what, in which field, how far from the end."""

from __future__ import annotations

import re

from bpfbench.isa import ops
from bpfbench.isa.helpers import helper_name
from bpfbench.verifier import contexts
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.case import Case
from bpfbench.verifier.reason_facts import Values, register, signed
from bpfbench.verifier.regstate import RegState
from bpfbench.verifier.scalar import S64_MIN, U64_MAX, s64
from bpfbench.verifier.words import describe, integer

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


def subject(case: Case, v: Values) -> RegState | None:
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
    reg = subject(case, v)
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
    reg = subject(case, v)
    v.update(lowest="The offset may be as small as anything", low_wanted="an offset that is never negative")
    if reg is None:
        v.update(smallest="anything", largest="anything")
        return
    insn = case.insn
    fixed = reg.off + (insn.off if insn is not None and insn.kind in (ops.LDX, ops.LDXS, ops.ST, ops.STX) else 0)
    pointer = reg.kind != rs.SCALAR
    low = reg.scalar.smin + (fixed if pointer and reg.scalar.smin != S64_MIN else 0)
    high = reg.scalar.umax + (fixed if pointer and reg.scalar.umax != U64_MAX else 0)
    v.update(smallest=integer(low), largest=integer(high), lowest=f"The offset may be as small as {integer(low)}")
    if reg.kind & rs.BASE in rs.PACKET_KINDS:       # here the variable part alone counts
        v.update(lowest=f"The variable part of the offset may be as small as {integer(reg.scalar.smin)}",
                 low_wanted="a variable part that is never negative, whatever constant is added to it")


def packet_access(case: Case, v: Values) -> None:
    reg = subject(case, v)
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
    sum_text = f" ({' '.join(signed(p) for p in summed)})" if len(summed) > 1 else ""
    v["where"] = f"offset {total}{sum_text}" + (f" plus a variable part {variable.group(0)}"
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
    v["written"] = "" if "write" in v.get("way", "") else " that were written before"
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
    what = "" if not marks else "; d: part of a dynamic pointer" if "d" in content else \
        "; i: part of an iterator" if "i" in content else "; _ marks bytes without content"
    v["slot"] = f" (fp-{base} holds {content.replace('?', '_')}{what})" if content else ""
    v["never"] = "belongs to a helper's object" if marks and set(content) & set("dif") else \
        "was never written on this path"


def stack_variable(case: Case, v: Values) -> None:
    reg = subject(case, v)
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

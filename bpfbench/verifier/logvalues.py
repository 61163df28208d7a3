"""Register states read back from the text of a kernel's log: the inverse of log.py, for kernels from 4.18 on.

    R1_w=pkt(off=8,r=8) R2=scalar(smin=0,smax=umax=255,var_off=(0x0; 0xff)) fp-8=mmmm????

`state` cuts such a line into frame, registers, slots and resources; `register` and `slot` turn one value into what the
verifier has for it.  What a kernel leaves out of its text is what it knows nothing about, and is filled in so; where an
older kernel leaves out what another view already says, it is taken from that view.

| written by | a number | unknown ranges |
|---|---|---|
| 4.18 to 5.17 | `inv5`, `inv(id=0,umax_value=7,…)` | left out, or equal to another |
| 5.18 to 6.7 | `5`, `scalar(umax=7,…)` | the same |
| 6.8 on | `5`, `scalar(smin=smin32=0,smax=umax=7,…)` | left out |

Sources: kernel/bpf/log.c and, before 6.6, kernel/bpf/verifier.c `print_verifier_state`, `print_reg_state`.
"""

from __future__ import annotations

import re
from typing import Final, final

from bpfbench.verifier import regstate as rs
from bpfbench.verifier.regstate import MapView, RegState, Special
from bpfbench.verifier.scalar import S32_MAX, S32_MIN, S64_MAX, S64_MIN, U32_MAX, U64_MAX, UNKNOWN, Scalar, s32, s64
from bpfbench.verifier.state import DYN, INVALID, ITER, SPILL, TYPE_CHARS, Slot

ITEM: Final = re.compile(r"\s*(?:frame(\d+):|R(\d+)(?:_\w+)?=|fp(-\d+)(?:_\w+)?=|refs=([\d,]+)|(cb|async_cb)(?=\s|$))")
_REFS: Final = re.compile(r"[\d,]+")
NOT_SHOWN: Final = RegState(rs.NOT_INIT, UNKNOWN, struct="?")      # the log begins after it was written

_KINDS: Final = {name: kind for kind, name in enumerate(rs.NAMES) if name not in ("?", "ptr_")}
_KINDS.update({"inv": rs.SCALAR, "alloc_mem": rs.MEM | rs.RINGBUF, "map_ptr": rs.MAP_PTR, "rdonly_buf": rs.BUF | rs.RDONLY,
               "rdwr_buf": rs.BUF, "unknown": rs.SCALAR})
_PREFIXES: Final = (("rdonly_", rs.RDONLY), ("ringbuf_", rs.RINGBUF), ("alloc_", rs.RINGBUF), ("user_", rs.USER),
                    ("percpu_", rs.PERCPU), ("rcu_", rs.RCU), ("untrusted_", rs.UNTRUSTED),
                    ("trusted_", rs.TRUSTED))  # fmt: skip
_RANGES: Final = {
    "smin": "smin", "smax": "smax", "umin": "umin", "umax": "umax", "smin32": "s32min", "smax32": "s32max",
    "umin32": "u32min", "umax32": "u32max", "smin_value": "smin", "smax_value": "smax", "umin_value": "umin",
    "umax_value": "umax", "s32_min": "s32min", "s32_max": "s32max", "u32_min": "u32min", "u32_max": "u32max",
    "s32_min_value": "s32min", "s32_max_value": "s32max", "u32_min_value": "u32min", "u32_max_value": "u32max",
}  # fmt: skip
_NEW_NAMES: Final = frozenset(("smin32", "smax32", "umin32", "umax32"))


@final
class Shown:
    """What one line of state shows: the frame, registers and slots by number (None: printed without content)."""

    __slots__ = ("frame", "regs", "slots", "refs", "good")

    def __init__(self) -> None:
        self.frame = 0
        self.regs: dict[int, RegState] = {}
        self.slots: dict[int, str] = {}         # the text: what a slot holds may depend on what was stored
        self.refs: list[int] | None = None
        self.good = True                        # the whole text was understood


def state(text: str, exact: bool) -> Shown:
    """The items of a state line; `exact` for kernels from 6.8 on, whose ranges are complete.

    >>> shown = state(" frame1: R0=5 fp-8=mmmm????", True)
    >>> shown.frame, shown.regs, shown.slots
    (1, {0: <5>}, {0: 'mmmm????'})
    """
    out = Shown()
    at = 0
    text = text.rstrip()
    while at < len(text):
        found = ITEM.match(text, at)
        if found is None:
            out.good = not text[at:].strip()
            return out
        at = found.end()
        if found.group(1):
            out.frame = int(found.group(1))
        elif found.group(4) is not None:
            out.refs = [int(n) for n in found.group(4).split(",") if n]
        elif found.group(5):
            continue
        else:
            end = value_end(text, at)
            value = text[at:end]
            at = end
            if found.group(2) is not None:
                number = int(found.group(2))
                reg = register(value, out.frame, exact)
                if number > 10 or reg is None:
                    out.good = False
                else:
                    out.regs[number] = reg
            else:
                out.slots[-int(found.group(3)) // 8 - 1] = value
    return out


def value_end(text: str, at: int) -> int:
    """Where the value that begins at `at` ends: at a blank outside parentheses."""
    depth = 0
    for i in range(at, len(text)):
        if text[i] == "(":
            depth += 1
        elif text[i] == ")":
            depth -= 1
        elif text[i] == " " and depth <= 0:
            return i
    return len(text)


# One register --------------------------------------------------------------------------------------------------------


def register(text: str, frame: int, exact: bool = True) -> RegState | None:
    """The state behind one value, None when the text is no state of a register.

    >>> register("map_value_or_null(id=1,ks=4,vs=16)", 0), register("fp-8", 0), register("Pinv7", 0)
    (<map_value_or_null(id=1,ks=4,vs=16)>, <fp-8>, <P7>)
    """
    text = text.split(",call_")[0]                      # 4.18 names the call site of the frame
    precise = text.startswith("P") or text.startswith("invP")
    body = text[1:] if text.startswith("P") else text
    if body.startswith("invP"):
        body = "inv" + body[4:]
    if body.startswith("inv") and body != "inv" and body[3] != "(":
        body = body[3:]
    constant = _integer(body)
    if constant is not None:
        return RegState(rs.SCALAR, Scalar.const(constant), precise=precise)
    if body.startswith("fp"):
        try:
            stack = _stack_pointer(body, frame, exact)
        except ValueError:
            return None
        if stack is not None:
            return stack
    name, _, rest = body.partition("(")
    if rest and not rest.endswith(")") or not re.fullmatch(r"[A-Za-z_]\w*", name):
        return None
    kind, struct = _kind(name)
    try:
        return _filled(kind, struct, _details(rest[:-1]), precise, exact)
    except ValueError:
        return None                                     # a number that is none: the line is damaged


def _integer(text: str) -> int | None:
    if re.match(r"-?0\d", text):
        return None                                     # no number is printed so; these are types of stack bytes
    try:
        return int(text, 0) if text[:1].isdigit() or text[:2] in ("-0",) or text[:1] == "-" else None
    except ValueError:
        return None


def _stack_pointer(body: str, frame: int, exact: bool) -> RegState | None:
    found = re.fullmatch(r"fp(?:\[(\d+)\])?(-?\d+|\+\d+|-0x[0-9a-f]+|0x[0-9a-f]+)?(?:\((.*)\))?", body)
    if found is None:
        return None
    owner = int(found.group(1)) if found.group(1) else frame
    if found.group(2) is not None:
        return RegState(rs.STACK, Scalar.const(0), s64(int(found.group(2), 0)), frame=owner)
    reg = _filled(rs.STACK, "", _details(found.group(3) or ""), False, exact)
    return RegState(rs.STACK, reg.scalar, reg.off, reg.id, frame=owner)


def _kind(name: str) -> tuple[int, str]:
    """(kind, structure name) of a name such as `rdonly_mem_or_null` or `trusted_ptr_task_struct`."""
    if name in _KINDS:
        return _KINDS[name], ""
    if name.endswith("_or_null") and name[:-8] in _KINDS:
        return _KINDS[name[:-8]] | rs.MAYBE_NULL, ""
    for prefix, flag in _PREFIXES:
        if name.startswith(prefix) and len(name) > len(prefix):
            kind, struct = _kind(name[len(prefix):])
            return kind | flag, struct
    for start, flag in (("ptr_or_null_", rs.MAYBE_NULL), ("ptr_", 0)):
        if name.startswith(start):
            return rs.BTF_ID | flag, name[len(start):]
    return rs.BTF_ID | rs.UNTRUSTED, name


def _details(text: str) -> dict[str, str]:
    """`a=b=5,var_off=(0x0; 0xff)` as {a: 5, b: 5, var_off: (0x0; 0xff)}."""
    out: dict[str, str] = {}
    depth = 0
    item = ""
    for char in text + ",":
        depth += (char == "(") - (char == ")")
        if char != "," or depth > 0:
            item += char
            continue
        *names, value = item.strip().split("=")
        for name in names:
            out[name] = value
        if not names and value:
            out[value] = ""
        item = ""
    return out


def _filled(kind: int, struct: str, d: dict[str, str], precise: bool, exact: bool) -> RegState:
    base = kind & rs.BASE
    link = re.fullmatch(r"(\d+)([+-]\d+)?", d.get("id", "0"))
    id_ = int(link.group(1)) if link else 0
    off = int(d.get("off", "0") or "0", 0)
    off = s64(off) if off > S64_MAX else off
    if link and link.group(2):
        id_, off = id_ | rs.ADD_CONST64, int(link.group(2))
    imm = d.get("imm")
    scalar = Scalar.const(0)
    if imm is not None:
        scalar = Scalar.const(int(imm, 0) if exact or imm.startswith("-") else int(imm, 16))
    elif base == rs.SCALAR or d.keys() & _RANGES.keys() or "var_off" in d:
        scalar = ranges(d, exact or bool(d.keys() & _NEW_NAMES))
    view = None
    if base in (rs.MAP_PTR, rs.MAP_KEY, rs.MAP_VALUE):
        view = MapView(-1, "", int(d.get("ks", "0")), int(d.get("vs", "0")), 0, 0, None, None, False, [],
                       d.get("map", ""), False, 0)
    r = int(d.get("r", "0") or "0", 0)
    flags = rs.NON_OWNING if "non_own_ref" in d else 0
    special = Special(d["type"], True) if "type" in d else None
    return RegState(kind | flags, scalar, off, id_, int(d.get("ref_obj_id", "0")), precise, view,
                    s64(r), int(d.get("sz", d.get("mem_size", "0")), 0), 0, 0, struct, 0, special)


def ranges(d: dict[str, str], exact: bool) -> Scalar:
    """The six views of a number from those that were printed."""
    given = {_RANGES[name]: int(value, 0) for name, value in d.items() if name in _RANGES}
    v, m = 0, U64_MAX
    bits = re.fullmatch(r"\((0x[0-9a-f]+); (0x[0-9a-f]+)\)", d.get("var_off", ""))
    if bits:
        v, m = int(bits.group(1), 16), int(bits.group(2), 16)
    elif d.get("var_off"):
        v, m = int(d["var_off"], 0) & U64_MAX, 0
    umin, umax = given.get("umin", 0), given.get("umax", U64_MAX)
    if exact:
        smin, smax = given.get("smin", S64_MIN), given.get("smax", S64_MAX)
        low = (given.get("u32min", 0), given.get("u32max", U32_MAX))
        slow = (given.get("s32min", S32_MIN), given.get("s32max", S32_MAX))
    else:
        same = umax <= S64_MAX or umin > S64_MAX            # signed and unsigned order agree
        smin = given.get("smin", s64(umin) if same else S64_MIN)
        smax = given.get("smax", s64(umax) if same else S64_MAX)
        low = (given.get("u32min", _half(umin, umax, v, given, "s32min", 0)),
               given.get("u32max", _half(umax, umax, (v | m), given, "s32max", U32_MAX)))
        half = S32_MIN <= smin and smax <= S32_MAX
        slow = (given.get("s32min", smin if half else S32_MIN), given.get("s32max", smax if half else S32_MAX))
    if m == U64_MAX and not given:
        return UNKNOWN
    return Scalar(v, m, umin & U64_MAX, umax & U64_MAX, s64(smin), s64(smax), low[0] & U32_MAX, low[1] & U32_MAX,
                  s32(slow[0]), s32(slow[1]))


def _half(bound: int, umax: int, bits: int, given: dict[str, int], other: str, unknown: int) -> int:
    """A bound of the low half that an old kernel left out: it equals the bound of the whole, or says nothing."""
    if bound > U32_MAX:
        return unknown
    if other in given and given[other] >= 0:
        return bound if given[other] == bound else unknown
    return bound if umax <= U32_MAX or bits & U32_MAX == bound else unknown


# One slot ------------------------------------------------------------------------------------------------------------


def slot(text: str, frame: int, exact: bool, stored: RegState | None) -> Slot | None:
    """Eight bytes of stack: types of bytes, a saved register, or both; None when it is no such text.

    `stored` is the register that was just stored there, if any: older kernels name only its kind.
    """
    if len(text) == 8 and not set(text) - set(TYPE_CHARS):
        return Slot(bytes(TYPE_CHARS.index(c) for c in text), rs.UNINIT)
    special = re.fullmatch(r"(dynptr|iter)_(\w+|<invalid>)(?:\((.*)\))?", text)
    if special is not None:
        return _object(special.group(1), special.group(2), _details(special.group(3) or ""))
    strange: Slot | None = None
    for count in range(8):
        if set(text[:count]) - set(TYPE_CHARS):
            break
        types = bytes([TYPE_CHARS.index(c) for c in text[:count]] + [SPILL] * (8 - count))
        reg = _saved(text[count:], frame, exact, stored)
        if reg is not None and reg.kind != rs.BTF_ID | rs.UNTRUSTED:
            return Slot(types, reg)
        if reg is not None and strange is None:
            strange = Slot(types, reg)          # the name of a kind that is not known here
    return strange


def _saved(text: str, frame: int, exact: bool, stored: RegState | None) -> RegState | None:
    bare = text.lstrip("P")
    if bare in ("", "inv", "scalar") and stored is not None and stored.kind == rs.SCALAR:
        return stored
    if bare == "":
        return RegState(rs.SCALAR, UNKNOWN, precise=text == "P")
    if text in ("fp", "ctx", "inv") or not exact and "(" not in text and _integer(bare) is None:
        kind = _kind(text)[0]
        if stored is not None and stored.kind == kind:
            return stored
    return register(text, frame, exact)


def _object(what: str, name: str, d: dict[str, str]) -> Slot:
    """A dynamic pointer or iterator, in its lower half."""
    number = {key: int(d[key]) if d.get(key, "").isdigit() else 0 for key in ("id", "ref_id", "dynptr_id", "depth")}
    if what == "dynptr":
        reg = RegState(rs.DYNPTR, UNKNOWN, id=number["id"], ref=number["ref_id"], dynptr=number["dynptr_id"],
                       special=Special(name, True))
        return Slot(bytes([DYN]) * 8, reg)
    states = {"active": 1, "drained": 2}
    reg = RegState(rs.BTF_ID, UNKNOWN, ref=number["ref_id"],
                   special=Special("", True, states.get(d.get("state", ""), 0), number["depth"], name))
    return Slot(bytes([ITER]) * 8, reg)


def empty(types: bytes) -> bool:
    return all(t == INVALID for t in types)

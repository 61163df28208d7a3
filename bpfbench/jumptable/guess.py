"""Point 1 of the post, first step: what is this indirect branch? A guess with evidence, made without any CFG.

`scan` finds every `br` (and its authenticated forms) by its bit pattern; `guess` evaluates the branch register over
the straight line of code above it.  The formula decides the class:

    formula of the branch register                    class
    ------------------------------------------------  -------------------------------------------------------------
    B + k * entry[T + i]                               jump table; computed goto when compilers never make that form
    u64 entry[T + 8*i]                                 jump table (Go, or bounded), computed goto, or pointer table:
                                                       the contents decide (`tables` in verify)
    constant                                           fixed address (in the function: a jump; outside: a veneer)
    [constant], in a stub                              plt or veneer
    [p + k]                                            virtual call (a pointer out of an object)
    [p + 8*i], p not constant                          computed goto (interpreters keep the table in a register)
    a register that the function was given             tail call
    x30                                                return
    anything joined over paths that are not seen       unknown: step two knows more

The golang linker of 1.19 to 1.21 leaves a direct hint, symbols `function.jumpN`; `hints` reads them, and ours.
"""

from __future__ import annotations

import re
from typing import Final, final

from . import a64
from .cfg import Cfg
from .functions import FunctionMap
from .image import Image
from .slicing import Slicer
from .values import Entry, Extended, Index, Memory, Opaque, Value

JUMP_TABLE: Final = "jump table"
COMPUTED_GOTO: Final = "computed goto"
TAIL_CALL: Final = "tail call"
VIRTUAL_CALL: Final = "virtual call"
FIXED: Final = "fixed address"
PLT: Final = "plt"
VENEER: Final = "veneer"
RETURN: Final = "return"
UNKNOWN: Final = "unknown"
GIVEN: Final = "(given by the caller)"
KINDS: Final = (JUMP_TABLE, COMPUTED_GOTO, TAIL_CALL, VIRTUAL_CALL, FIXED, PLT, VENEER, RETURN, UNKNOWN)

# br Xn little-endian: rn in bits 5..9, 0xd61f0000; with authentication 0xd61f08xx, 0xd71f08xx, 0xd61f0c..
_BR: Final = re.compile(rb"[\x00\x20\x40\x60\x80\xa0\xc0\xe0][\x00-\x03]\x1f\xd6|.[\x08-\x0f]\x1f[\xd6\xd7]", re.DOTALL)


@final
class Shape:
    """A dispatch as a formula: target = `anchor + scale * entry`, entry of `size` bytes at `table + size * index`.

    `anchor_site` is the instruction that makes the anchor (0: none, the entry is the target); `relative` is true when
    each entry counts from its own address.  `form` names it as the field does: G1 G2 G4 C1 C2 C4 D8 R4 S4 M2, X else.
    """

    __slots__ = ("entry", "scale", "anchor", "relative", "form")

    def __init__(self, entry: Entry, scale: int, anchor: int, relative: bool) -> None:
        self.entry = entry
        self.scale = scale
        self.anchor = anchor
        self.relative = relative
        self.form = _form(entry, scale, anchor, relative)

    def __repr__(self) -> str:
        base = "entry's address" if self.relative else f"{self.anchor:#x}"
        return f"{self.form}: {base} + {self.scale}*{self.entry!r}"


def _form(entry: Entry, scale: int, anchor: int, relative: bool) -> str:
    size, signed = entry.size, entry.signed
    if relative:
        return "S4" if size == 4 and scale == 1 else "X"
    if size == 8:
        return "D8" if scale == 1 and anchor == 0 else "X"
    if scale == 4:
        return {(1, True): "G1", (2, True): "G2", (4, True): "G4", (1, False): "C1", (2, False): "C2"}.get(
            (size, signed), "X"
        )
    if scale == 1 and size == 4 and signed:
        return "R4" if anchor == entry.table else "C4"
    if scale == -1 and size == 2 and not signed and anchor == entry.table:
        return "M2"
    return "X"


@final
class Guess:
    """What a branch seems to be: `kind`, the `value` of its register, the `shape` if it dispatches over a table."""

    __slots__ = ("branch", "kind", "value", "shape", "evidence")

    def __init__(self, branch: int, kind: str, value: Value | None, shape: Shape | None, evidence: str) -> None:
        self.branch = branch
        self.kind = kind
        self.value = value
        self.shape = shape
        self.evidence = evidence

    def __repr__(self) -> str:
        return f"Guess({self.branch:#x}, {self.kind}: {self.evidence})"


def scan(image: Image) -> list[int]:
    """Addresses of all indirect branches (br, braa...; not ret, not calls) in executable code, in order."""
    out: list[int] = []
    for start, end, _ in image.code_ranges():
        raw = image.read(start, end - start)
        if raw is None:
            continue
        skew = -start & 3
        pos = skew
        while True:
            m = _BR.search(raw, pos)
            if m is None:
                break
            at = m.start()
            if (at - skew) & 3:
                pos = at + 1
                continue
            op = a64.decode(int.from_bytes(raw[at : at + 4], "little"))
            if op.op == a64.BR or (op.op == a64.BRAUTH and not op.ext):
                out.append(start + at)
            pos = at + 4
    return sorted(set(out))


def shape_of(value: Value) -> Shape | None:
    """The dispatch that `value` is, or None."""
    found = value.entry()
    if found is None:
        return None
    entry, scale = found
    others = [(a, c) for a, c in value.terms if a is not entry]
    if not others:
        return Shape(entry, scale, value.const & (1 << 64) - 1, False)
    if (
        len(others) == 1
        and isinstance(others[0][0], Index)
        and others[0][1] == entry.size
        and value.const == entry.table
    ):
        return Shape(entry, scale, entry.table, True)
    return None


def guess(image: Image, functions: FunctionMap, cfg: Cfg, slicer: Slicer, branch: int) -> Guess:
    """Classifies the branch at `branch` from what `cfg` shows: a window in step one, the function in step two."""
    insn = cfg.insn(branch)
    section = image.section(branch)
    if section is not None and section.name.startswith((".plt", ".iplt")):
        return Guess(branch, PLT, None, None, f"in section {section.name}")
    if insn.op == a64.BRAUTH:
        return Guess(branch, TAIL_CALL, None, None, "authenticated branch: never a compiler's table")
    if insn.rn == 30:
        return Guess(branch, RETURN, None, None, "branch to the link register")
    value = slicer.value(insn.rn, branch)
    shape = shape_of(value)
    if shape is not None:
        kind, why = _dispatch(cfg, shape)
        return Guess(branch, kind, value, shape, f"x{insn.rn} = {value!r}{why}")
    kind, why = _other(image, functions, cfg, slicer, branch, insn.rn, value)
    if kind == UNKNOWN:
        torn = _torn_down(cfg, branch)
        if torn:
            kind, why = TAIL_CALL, f"{why}; the frame is torn down at {torn:#x}"
    return Guess(branch, kind, value, None, why)


def _dispatch(cfg: Cfg, shape: Shape) -> tuple[str, str]:
    """Jump table or computed goto, as far as the formula tells; 8-byte entries are settled in step two."""
    if shape.form == "C4" and not _made_by_own_adr(cfg, shape.anchor):
        return COMPUTED_GOTO, ": 4-byte label differences against a label, which no compiler uses for a switch"
    return JUMP_TABLE, f": form {shape.form}"


def _made_by_own_adr(cfg: Cfg, anchor: int) -> bool:
    """Is the anchor the address of an `adr` that computes it, as in clang's 4-byte tables?"""
    if cfg.start <= anchor < cfg.end:
        insn = cfg.insn(anchor)
        return insn.op == a64.ADR and insn.imm == 0
    return False


def _other(
    image: Image, functions: FunctionMap, cfg: Cfg, slicer: Slicer, branch: int, reg: int, value: Value
) -> tuple[str, str]:
    constant = value.constant
    if constant is not None:
        if image.executable(constant):
            kind = VENEER if reg in (16, 17) and constant not in cfg.function else FIXED
            return kind, f"x{reg} = {constant:#x}"
        return UNKNOWN, f"x{reg} = {constant:#x}, which is not code"
    atom = value.single
    if isinstance(atom, Memory):
        return _from_memory(image, cfg, slicer, branch, reg, atom)
    if isinstance(atom, Extended) and atom.value.single is not None:
        atom = atom.value.single
    if isinstance(atom, Opaque):
        if atom.why in ("joined", "cycle"):
            pointers = _joined(image, slicer, branch, reg)
            if pointers and (pointers != "an argument" or reg > 15):
                return TAIL_CALL, f"x{reg} is {pointers}, by the path that leads here"
        return _from_register(cfg, branch, reg, atom)
    memory = next((a for a, _ in value.terms if isinstance(a, (Memory, Extended))), None)
    if memory is not None:
        return UNKNOWN, f"x{reg} = {value!r}: a table whose address is not known here"
    return UNKNOWN, f"x{reg} = {value!r}"


def _torn_down(cfg: Cfg, branch: int) -> int:
    """Address of the instruction just above that restores x30 from the stack: no dispatch follows an epilogue."""
    block = cfg.block(branch)
    at = branch - 4
    while at >= block.start and branch - at < 80:
        insn = cfg.insn(at)
        if insn.op in a64.CALLS:
            return 0
        if insn.op == a64.LOADP and insn.rn == a64.SP and 30 in (insn.rd, insn.rm) and not insn.vector:
            return at
        if insn.op == a64.LOAD and insn.rn == a64.SP and insn.rd == 30 and not insn.vector:
            return at
        at -= 4
    return 0


def _joined(image: Image, slicer: Slicer, branch: int, reg: int) -> str:
    """Evidence that every definition that arrives is a code pointer and none a table entry; "" when not so."""
    seen: set[tuple[int, int]] = set()
    found: list[str] = []
    work = [(reg, branch)]
    while work:
        loc, addr = work.pop()
        if (loc, addr) in seen or len(seen) > 40:
            continue
        seen.add((loc, addr))
        for v in slicer.alternatives(loc, addr):
            atom = v.single if v is not None else None
            if v is None or isinstance(atom, Memory):
                found.append("a pointer from memory" if v else "an argument")
            elif v.constant is not None and image.executable(v.constant):
                found.append(f"{v.constant:#x}")
            elif isinstance(atom, Opaque) and atom.why == "call" and atom.loc == 0:
                found.append("a result")
            elif isinstance(atom, Opaque) and atom.why == "entry":
                found.append("an argument")
            elif isinstance(atom, Opaque) and atom.why in ("joined", "cycle"):
                work.append((atom.loc, atom.site))
            else:
                return ""
    return " or ".join(sorted(set(found)))


def _from_memory(image: Image, cfg: Cfg, slicer: Slicer, branch: int, reg: int, atom: Memory) -> tuple[str, str]:
    if atom.address is not None:
        name = image.imports.get(atom.address, "")
        if reg in (16, 17) and branch - atom.site <= 16:
            return VENEER, f"stub through the pointer at {atom.address:#x} {name}".rstrip()
        return TAIL_CALL, f"through the pointer at {atom.address:#x} {name}".rstrip()
    if atom.stride == 8:
        if _has_table(cfg, atom):
            return COMPUTED_GOTO, f"8-byte table held in x{atom.base}"
        return TAIL_CALL, f"through an array of pointers at x{atom.base}"
    if atom.base == 31:
        return TAIL_CALL, f"pointer kept on the stack at sp+{atom.offset:#x}"
    return VIRTUAL_CALL, f"pointer loaded from x{atom.base}+{atom.offset:#x} at {atom.site:#x}"


def _has_table(cfg: Cfg, atom: Memory) -> bool:
    """An interpreter's dispatch: several branches in the function load through the same register."""
    count = 0
    for at in cfg.indirect:
        insn = cfg.insn(at)
        for back in range(1, 16):
            k = at - 4 * back
            if k < cfg.start:
                break
            i = cfg.insn(k)
            if i.op == a64.LOAD and i.rd == insn.rn:
                count += i.mode == a64.INDEX and i.size == 8 and i.rn == cfg.insn(atom.site).rn
                break
    return count >= 3


def _from_register(cfg: Cfg, branch: int, reg: int, atom: Opaque) -> tuple[str, str]:
    if atom.why == "entry":
        place = f"x{atom.loc}" if atom.loc < 32 else "a spill place"
        return TAIL_CALL, f"x{reg} is {place} as on entry {GIVEN}"
    if atom.why == "call" and atom.loc == 0:
        return TAIL_CALL, f"x{reg} was returned by a call"
    if atom.why == "computed":
        insn = cfg.insn(atom.site)
        if insn.op == a64.CSEL:
            return TAIL_CALL, f"x{reg} selected between two pointers at {atom.site:#x}"
        return UNKNOWN, f"x{reg} computed at {atom.site:#x} in a way that no dispatch uses"
    return UNKNOWN, f"x{reg} differs by the path that leads here"


_HINT: Final = re.compile(r"^(.+)\.jump(\d+)$")


def hints(image: Image) -> dict[int, tuple[str, int]]:
    """Table address -> (function name, size in bytes), from `function.jumpN` symbols (Go, and our annotator)."""
    out: dict[int, tuple[str, int]] = {}
    for s in image.symbols:
        m = _HINT.match(s.name)
        if m is not None and s.kind == "OBJECT" and s.size:
            out[s.addr] = (m.group(1), s.size)
    return out

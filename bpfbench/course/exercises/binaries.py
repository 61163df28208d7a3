"""Binary files: what an object's relocations mean, jump tables found and rewritten (stages 04, 25, 26)."""

from __future__ import annotations

import struct
from random import Random
from typing import Any, Final

from bpfbench.course.exercise import Exercise, Failed, Plain, as_if
from bpfbench.course.exercises.support import first_difference
from bpfbench.course.exercises.switches import switch, switch_and_table
from bpfbench.course.plug import plugged
from bpfbench.jumptable import a64, guess, recover
from bpfbench.jumptable.image import Image
from bpfbench.jumptable.ranges import Range
from bpfbench.jumptable.rewrite import Rewriter
from bpfbench.jumptable.values import Entry, Index

STYLES: Final = (("gcc", 1), ("clang", 1), ("gcc", 2), ("clang", 2))
FORMATS: Final = {(1, False): "B", (1, True): "b", (2, False): "H", (2, True): "h"}


def program_case(random: Random, style: str, size: int) -> dict[str, Any]:
    """A program to be made from its number."""
    return {"style": style, "size": size, "number": random.randrange(10000)}


def image_of(case: Any) -> Image:
    return Image(switch(Random(case["number"]), case["style"], case["size"]), "switch")


# A switch, recognised ------------------------------------------------------------------------------------------------

FIELDS: Final = ("table", "size", "signed", "shift", "anchor", "count")
Insns = list[dict[str, Any]]


def described(insn: a64.Insn, at: int) -> dict[str, Any]:
    """An instruction in the words of the exercise; registers are numbers, addresses are absolute."""
    if insn.op == a64.ADDI and insn.writes == a64.FLAGS_BIT:
        return {"at": at, "op": "cmp", "rn": insn.rn, "imm": -insn.imm}
    if insn.op == a64.BCOND:
        return {"at": at, "op": "branch", "if": a64.COND_NAMES[insn.cond], "to": at + insn.imm}
    if insn.op in (a64.ADR, a64.ADRP):
        base = at if insn.op == a64.ADR else at & ~0xFFF
        return {"at": at, "op": a64.OP_NAMES[insn.op], "rd": insn.rd, "address": base + insn.imm}
    if insn.op == a64.ADDI:
        return {"at": at, "op": "addi", "rd": insn.rd, "rn": insn.rn, "imm": insn.imm}
    if insn.op in (a64.ADDR, a64.ADDX):
        return {"at": at, "op": "add", "rd": insn.rd, "rn": insn.rn, "rm": insn.rm, "extend": a64.EXT_NAMES[insn.ext],
                "shift": insn.shift}
    if insn.op == a64.LOAD and insn.mode == a64.INDEX:
        return {"at": at, "op": "load", "rd": insn.rd, "rn": insn.rn, "rm": insn.rm, "size": insn.size,
                "signed": insn.signed}
    if insn.op == a64.MOVR:
        return {"at": at, "op": "mov", "rd": insn.rd, "rm": insn.rm}
    if insn.op == a64.BR:
        return {"at": at, "op": "br", "rn": insn.rn}
    row = {"at": at, "op": "other"}
    return row | {"rd": insn.rd} if insn.writes and insn.writes < 1 << 32 else row


def code_before(image: Image, start: int, branch: int) -> Insns:
    """The function's instructions in the order of their addresses, up to the indirect branch."""
    words = image.words(start, (branch - start) // 4 + 1)
    return [described(a64.decode(word), start + 4 * i) for i, word in enumerate(words)]


def _matched(answer: Any, code: Insns) -> dict[str, Any] | None:
    found = answer(code)
    if found is None:
        return None
    if not isinstance(found, dict) or set(found) != set(FIELDS):
        raise Failed(f"match returns None or a dict with {', '.join(FIELDS)}, this is {found!r}"[:200])
    for key in FIELDS:
        if not isinstance(found[key], bool if key == "signed" else int):
            raise Failed(f"'{key}' is {found[key]!r}")
    return {key: found[key] for key in FIELDS}


def _guess_step(answer: Any, counts: dict[int, int]) -> Any:
    def step(image: Image, functions: Any, cfg: Any, slicer: Any, branch: int) -> guess.Guess:
        owner = functions.at(branch)
        code = code_before(image, owner.start, branch)
        found = _matched(answer, code)
        if found is None:
            return guess.Guess(branch, guess.UNKNOWN, None, None, "no table")
        load = next((row["at"] for row in reversed(code) if row["op"] == "load"), branch)
        insn = a64.decode(image.word(load) or 0)
        entry = Entry(found["size"], found["signed"], found["table"], ((load, Index(insn.rm, load, insn.ext)),))
        counts[found["table"]] = found["count"]
        shape = guess.Shape(entry, 1 << found["shift"], found["anchor"], False)
        return guess.Guess(branch, guess.JUMP_TABLE, None, shape, f"form {shape.form}")

    return step


def rows(image: Image) -> list[list[Any]]:
    """The tables that recovery finds: where, entries, what they lead to."""
    return [[t.function.name, hex(t.address), t.size, t.signed, t.shift, [hex(to) for to in t.targets]]
            for t in recover(image).tables]


def _match_attempt(answer: Any, case: Any) -> Plain:
    if not callable(answer):
        raise Failed(f"the answer must be a function, not {type(answer).__name__}")
    image = image_of(case)
    if not case["whole"]:
        return [_matched(answer, code) for code in windows(image)]
    counts: dict[int, int] = {}

    def index_range(ranges: Any, shape: Any) -> Range:
        return Range(0, counts[shape.entry.table] - 1, 0)

    with plugged("bpfbench.jumptable.guess.guess", _guess_step(answer, counts)):
        with plugged("bpfbench.jumptable.sizes.index_range", index_range):
            return rows(image)


def windows(image: Image) -> list[Insns]:
    """The code before each indirect branch."""
    starts = sorted(s.addr for s in image.symbols if s.kind == "FUNC")
    return [code_before(image, max(s for s in starts if s <= at), at) for at in guess.scan(image)]


def _match_expected(case: Any) -> Plain:
    image = image_of(case)
    if case["whole"]:
        return rows(image)
    found = [b.table for b in recover(image).branches]
    return [t and {"table": t.address, "size": t.size, "signed": t.signed, "shift": t.shift, "anchor": t.anchor,
                   "count": t.count} for t in found]  # fmt: skip


def _last(code: Insns, end: int, register: int) -> int:
    """The last instruction before `end` that writes the register, -1 without one."""
    return next((i for i in range(end - 1, -1, -1) if code[i].get("rd") == register), -1)


def _match(last_entry: bool = True, page_only: bool = False, unsigned: bool = False, after: bool = False,
           any_compare: bool = False, strict: bool = True, eager: bool = False) -> Any:  # fmt: skip
    """match with one thing wrong."""

    def mistaken(code: Insns) -> dict[str, Any] | None:
        end = len(code) - 1
        add = _last(code, end, code[end]["rn"])
        if not eager and (add < 0 or code[add]["op"] != "add"):
            return None
        if add < 0 or code[add]["op"] != "add":
            return {"table": 0, "size": 1, "signed": False, "shift": 2, "anchor": 0, "count": 0}
        anchor, load = _last(code, add, code[add]["rn"]), _last(code, add, code[add]["rm"])
        low = _last(code, load, code[load]["rn"])
        page = _last(code, low, code[low]["rn"])
        index, at = code[load]["rm"], load
        while True:
            found = _last(code, at, index)
            tests = [i for i in range(max(found, 0), load) if code[i]["op"] == "cmp"
                     and code[i]["rn"] == index and code[i + 1]["op"] == "branch"]
            if tests or found < 0 or code[found]["op"] != "mov":
                break
            index, at = code[found]["rm"], found
        compares = [i for i in range(load) if code[i]["op"] == "cmp"]
        test = compares[-1] if any_compare else tests[-1]
        branch = next(row for row in code[test:] if row["op"] == "branch") if not any_compare else code[tests[-1] + 1]
        more = last_entry and (branch["if"] == "hi" or not strict)
        return {"table": code[page]["address"] + (0 if page_only else code[low]["imm"]), "size": code[load]["size"],
                "signed": not unsigned and code[add]["extend"].startswith("s") or code[load]["signed"],
                "shift": code[add]["shift"], "anchor": code[end]["at"] + 4 if after else code[anchor]["address"],
                "count": code[test]["imm"] + more}

    return mistaken


def match_cases(random: Random) -> list[Any]:
    made = [{"whole": False, **program_case(random, *style)} for style in STYLES * 2]
    return made + [{"whole": True, **program_case(random, *style)} for style in STYLES[1:3]]


def line(row: dict[str, Any]) -> str:
    rest = "  ".join(f"{key} {hex(value) if key in ('address', 'to') else value}" for key, value in row.items()
                     if key not in ("at", "op"))
    return f"    {row['at']:#x}  {row['op']:7} {rest}"


def draw_match(case: Any, wanted: Plain, got: Plain) -> str:
    if case["whole"]:
        return first_difference(wanted, got)
    for code, ours, yours in zip(windows(image_of(case)), wanted, got, strict=True):
        if ours != yours:
            said = []
            for key in FIELDS if ours and yours else ():
                if ours[key] != yours[key]:
                    said.append(f"  {key}: expected {shown(ours[key])}, got {shown(yours[key])}")
            said = said or [f"  expected {'a table' if ours else 'None, no table'}"]
            return "\n".join([*map(line, code[-14:]), *said])
    return ""


def shown(value: Any) -> str:
    return hex(value) if type(value) is int and value > 99 else str(value)


# A table, rewritten --------------------------------------------------------------------------------------------------


class _Moved(dict[int, int]):
    """Old address to new address; knows what a wrong old address may come from."""

    def __init__(self, moved: dict[int, int], size: int, shift: int, anchor: int) -> None:
        super().__init__(moved)
        self.known = size, shift, anchor

    def __missing__(self, old: int) -> int:
        size, shift, anchor = self.known
        why = ""
        if old - (1 << 8 * size + shift) in self:
            why = ": old entries may have a sign"
        elif anchor + (old - anchor << shift) in self or anchor + (old - anchor - (1 << 8 * size) << shift) in self:
            why = ": an old entry counts instructions, not bytes: shift it"
        raise Failed(f"{old:#x} is not the old address of a target{why}")


def _new_table(answer: Any, table: dict[str, Any], moved: dict[int, int]) -> bytes:
    found = answer(bytes.fromhex(table["raw"]), table["size"], table["signed"], table["shift"], table["anchor"],
                   _Moved(moved, table["size"], table["shift"], table["anchor"]))  # fmt: skip
    if not isinstance(found, (bytes, bytearray)):
        raise Failed(f"widen returns bytes, this is {found!r}"[:200])
    return bytes(found)


def _tables_step(answer: Any, written: list[str]) -> Any:
    def step(self: Any, plans: list[Any], out: Any) -> None:
        for plan in plans:
            labels = self.emitted[plan.function.start].labels
            for new in plan.tables:
                t = new.table
                raw = self.image.read(t.address, t.count * t.size) or b""
                made = _new_table(answer, {"raw": raw.hex(), "size": t.size, "signed": t.signed, "shift": t.shift,
                                           "anchor": t.anchor}, {to: labels[to] for to in set(t.targets)})  # fmt: skip
                if len(made) != 4 * t.count:
                    raise Failed(f"{t.count} entries of four bytes are {4 * t.count} bytes, not {len(made)}")
                out.new[new.address - out.base : new.address - out.base + len(made)] = made
                written.append(made.hex(" ", 4))

    return step


def _widen_attempt(answer: Any, case: Any) -> Plain:
    if not callable(answer):
        raise Failed(f"the answer must be a function, not {type(answer).__name__}")
    if "table" in case:
        moved = {int(old, 16): int(new, 16) for old, new in case["moved"].items()}
        return _new_table(answer, case["table"], moved).hex(" ", 4)
    written: list[str] = []
    with plugged("bpfbench.jumptable.rewrite.Rewriter._write_tables", _tables_step(answer, written)):
        return _rewritten(case) + written


def _rewritten(case: Any) -> list[Any]:
    """The tables that recovery finds in the program after its blocks have changed places."""
    image = image_of(case)
    raw = Rewriter(image, recover(image), "reverse", "", None, True, False, "").run()
    return rows(Image(raw))


def _widened(signed: bool = True, scaled: bool = True, moves: bool = True, anchored: bool = True,
             big: bool = False) -> Any:  # fmt: skip
    """widen with one thing wrong; without options, the reference."""

    def found(raw: bytes, size: int, has_sign: bool, shift: int, anchor: int, moved: dict[int, int]) -> bytes:
        entries = struct.unpack(f"<{len(raw) // size}{FORMATS[size, has_sign and signed]}", raw)
        old = [anchor + (entry << (shift if scaled else 0)) for entry in entries]
        new = [moved.get(to, to) if moves else to for to in old]
        numbers = [(to - (anchor if anchored else 0)) & 0xFFFFFFFF for to in new]
        return struct.pack(f"{'>' if big else '<'}{len(new)}I", *numbers)

    return found


def _widen_expected(case: Any) -> Plain:
    return _widen_attempt(_widened(), case)


def widen_cases(random: Random) -> list[Any]:
    made: list[Any] = []
    for style, size in STYLES * 2:
        _, raw, anchor, targets = switch_and_table(random, style, size)
        moved = {hex(to): hex(to + random.randrange(-1 << 12, 1 << 20) * 4) for to in sorted(set(targets))}
        made.append({"table": {"raw": raw.hex(), "size": size, "signed": style == "gcc", "shift": 2, "anchor": anchor},
                     "moved": moved})
    return made + [program_case(random, *style) for style in STYLES[:2]]


def draw_widen(case: Any, wanted: Plain, got: Plain) -> str:
    if "table" not in case:
        return first_difference(wanted, got)
    table, anchor = case["table"], case["table"]["anchor"]
    entries = struct.unpack(f"<{len(table['raw']) // 2 // table['size']}{FORMATS[table['size'], table['signed']]}",
                            bytes.fromhex(table["raw"]))  # fmt: skip
    ours, yours = (struct.iter_unpack("<i", bytes.fromhex(text)[: 4 * len(entries)]) for text in (wanted, got))
    lines = [f"  anchor {anchor:#x}"]
    for entry, (want,), (have,) in zip(entries, ours, yours, strict=False):
        old = anchor + (entry << table["shift"])
        mark = "" if want == have else f"   got {have:#x}: leads to {anchor + have:#x}"
        lines.append(f"  {entry:6}  was {old:#x}  now {case['moved'][hex(old)]}  entry {want:#x}{mark}")
    return "\n".join(lines)


_HERE: Final = "bpfbench.course.exercises.binaries."
_SEALED: Final = tuple(_HERE + n for n in ("_match", "_widened"))

EXERCISES: Final = [
    Exercise("jump-table-match", "match", "Recognise a switch", 4, 8, "25 jump tables: recovery",
             "none (the post, points 0-4)",
             public=match_cases(Random(38)), more=match_cases, attempt=_match_attempt, expected=_match_expected,
             draw=draw_match,
             mistakes=(("`b.hi` lets the number itself through: one entry more than the number compared with",
                        as_if(_match_attempt, _match(last_entry=False))),
                       ("`b.hs` does not let the number itself through", as_if(_match_attempt, _match(strict=False))),
                       ("adrp only gives the page: the addition behind it has the rest of the table's address",
                        as_if(_match_attempt, _match(page_only=True))),
                       ("the entry may get its sign from the addition (sxtb, sxth), not from the load",
                        as_if(_match_attempt, _match(unsigned=True))),
                       ("the anchor is what adr makes; only gcc takes the address behind the branch",
                        as_if(_match_attempt, _match(after=True))),
                       ("the last compare need not be about the index: its register has to be",
                        as_if(_match_attempt, _match(any_compare=True))),
                       ("not every indirect branch is a switch: there may be no table",
                        as_if(_match_attempt, _match(eager=True)))),
             seals=("bpfbench.jumptable.guess.guess", "bpfbench.jumptable.guess.shape_of",
                    "bpfbench.jumptable.sizes.index_range", *_SEALED)),
    Exercise("jump-table-widen", "widen", "A table for blocks that have moved", 3, 6, "26 jump tables: rewriting",
             "none (the post, point 7)", public=widen_cases(Random(39)), more=widen_cases, attempt=_widen_attempt,
             expected=_widen_expected, draw=draw_widen,
             mistakes=(("old entries may have a sign", as_if(_widen_attempt, _widened(signed=False))),
                       ("an old entry counts instructions, not bytes: shift it",
                        as_if(_widen_attempt, _widened(scaled=False))),
                       ("the blocks have moved: look up where to", as_if(_widen_attempt, _widened(moves=False))),
                       ("an entry is a distance from the anchor", as_if(_widen_attempt, _widened(anchored=False))),
                       ("the lowest byte comes first", as_if(_widen_attempt, _widened(big=True)))),
             seals=("bpfbench.jumptable.rewrite.Rewriter._write_tables", *_SEALED)),
]  # fmt: skip

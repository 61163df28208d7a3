"""Shared libraries: where an imported function comes from (stage 23).

A case is a few lines that say which modules there are; they become object files, which the dynamic linker loads, binds
with the student's rule, and runs.
"""

from __future__ import annotations

import re
import struct
from random import Random
from typing import Any, Final

from bpfbench.course.exercise import Exercise, Failed, Plain, as_if
from bpfbench.course.exercises.support import first_difference
from bpfbench.course.plug import plugged
from bpfbench.dynlink import Module, Process, engines, start
from bpfbench.dynlink.forms import Loaded, insn
from bpfbench.elf import btf_types as b
from bpfbench.elf.btf import Btf
from bpfbench.elf.btf_ext import FUNCTION_RECORD, LINE_RECORD, to_section
from bpfbench.elf.relocs import R_BPF_64_32
from bpfbench.elf.writer import Writer
from bpfbench.errors import DynlinkError
from bpfbench.isa.codec import encode

REFUSED: Final = ("missing", "wrong version", "undefined")
NAMES: Final = ("sums", "words", "tables", "times")
FUNCTIONS: Final = ("mix", "fold", "twist", "turn")
_LINE: Final = re.compile(r"(\w+)(?: (\d+)\.(\d+))?(?: needs ([\w ,.]+?))?(?: (calls|has) ([\w, ]+))?")
Version = tuple[int, int]
assert engines                       # imported on first use otherwise, when a student's process can read no file

# Objects -------------------------------------------------------------------------------------------------------------


def _functions_table(btf: Btf, section: str, functions: list[tuple[int, int]]) -> bytes:
    """`.BTF.ext` with a type for the function at each byte, and a line each."""
    types = b"".join(struct.pack("<II", *row) for row in functions)
    file, text = btf.intern("module.c"), btf.intern("a function")
    lines = b"".join(struct.pack("<IIII", start, file, text, 1 << 10) for start, _ in functions)
    return to_section(btf, [(FUNCTION_RECORD, {section: types}), (LINE_RECORD, {section: lines})])


class _Types:
    """BTF of functions `int name(void)`."""

    def __init__(self) -> None:
        self.btf = Btf()
        number = b.BtfType(b.INT, "int", size=4)
        number.bits, number.encoding = 32, b.INT_SIGNED
        self.proto = self.btf.add(b.BtfType(b.FUNC_PROTO, type=self.btf.add(number)))

    def function(self, name: str, linkage: int) -> int:
        made = b.BtfType(b.FUNC, name, self.proto)
        made.linkage = linkage                              # 1 global, 2 extern
        return self.btf.add(made)


def library_object(name: str, version: Version, numbers: dict[str, int], needs: list[tuple[str, Version]]) -> bytes:
    """A library whose functions return their numbers."""
    writer, types, rows = Writer(), _Types(), []
    code = encode([one for number in numbers.values() for one in (insn("MOV64_K", imm=number), insn("EXIT"))])
    text = writer.section(".text", code, flags=6)
    for place, function in enumerate(numbers):
        writer.symbol(function, text, 16 * place, 16, "GLOBAL", "FUNC")
        rows.append((16 * place, types.function(function, 1)))
    return _finished(writer, types, ".text", rows, f"{name} {version[0]}.{version[1]}", needs)


def program_object(calls: list[str], needs: list[tuple[str, Version]]) -> bytes:
    """A program that returns r0 of its calls as the digits of a number, base 100."""
    writer, types = Writer(), _Types()
    rows = [(0, types.function("main", 1))]
    body = [insn("MOV64_K", 6)]
    for _ in calls:
        body += [insn("CALL_LOCAL", imm=-1), insn("MUL64_K", 6, imm=100), insn("ADD64_X", 6, 0)]
    code = encode([*body, insn("MOV64_X", 0, 6), insn("EXIT")])
    text = writer.section("xdp", code, flags=6)
    writer.symbol("main", text, 0, len(code), "GLOBAL", "FUNC")
    externs = {name: writer.symbol(name, 0) for name in dict.fromkeys(calls)}
    for name in externs:
        types.function(name, 2)
    for place, name in enumerate(calls):
        writer.relocation(text, 8 * (1 + 3 * place), externs[name], R_BPF_64_32)
    return _finished(writer, types, "xdp", rows, "", needs)


def _finished(writer: Writer, types: _Types, section: str, rows: list[tuple[int, int]], title: str,
              needs: list[tuple[str, Version]]) -> bytes:  # fmt: skip
    if title:
        writer.section(".bpf.library", title.encode() + b"\0", flags=2, align=1)
    if needs:
        listed = b"".join(f"{name} {version[0]}.{version[1]}\0".encode() for name, version in needs)
        writer.section(".bpf.needs", listed, flags=2, align=1)
    writer.section("license", b"GPL\0", flags=3, align=1)
    ext = _functions_table(types.btf, section, rows)
    writer.section(".BTF", types.btf.to_bytes(), align=4)
    writer.section(".BTF.ext", ext, align=4)
    return writer.to_bytes()


def modules(text: str) -> list[Module]:
    """The program and its libraries out of lines like `sums 1.2 has mix, fold` and `main needs sums 1.0 calls mix`."""
    made: list[Module] = []
    for place, line in enumerate(text.splitlines()):
        found = _LINE.fullmatch(line.strip())
        assert found is not None, line
        name, major, minor, needed, _, listed = found.groups()
        needs = [(one.split()[0], _version(one.split()[1])) for one in (needed or "").split(", ") if one]
        functions = [one for one in (listed or "").split(", ") if one]
        if major is None:
            made.append(Module(program_object(functions, needs), name))
        else:
            numbers = {function: 10 * place + 1 + FUNCTIONS.index(function) for function in functions}
            made.append(Module(library_object(name, (int(major), int(minor)), numbers, needs), f"{name}.o"))
    return made


def _version(text: str) -> Version:
    major, minor = text.split(".")
    return int(major), int(minor)


# The rule ------------------------------------------------------------------------------------------------------------


def _asked(answer: Any, symbol: str, needs: Any, libraries: Any) -> str:
    copies = [{"name": one["name"], "version": tuple(one["version"]), "exports": list(one["exports"])}
              for one in libraries]
    found = answer(symbol, [(name, tuple(version)) for name, version in needs], copies)
    if not isinstance(found, str) or found not in (*REFUSED, *(one["name"] for one in libraries)):
        raise Failed(f"provider returns the name of a library or one of {', '.join(REFUSED)}, this is {found!r}"[:200])
    return found


def _offers(process: Process, user: Module, instead: Module | None = None) -> list[dict[str, Any]]:
    """What is loaded, but for the module itself, as the student sees it."""
    loaded = [instead if instead is not None and instead.name == name else one.module
              for name, one in process.modules.items()]
    return [{"name": one.name, "version": one.version, "exports": sorted(one.exports)} for one in loaded
            if one.is_library and one.name != user.name]  # fmt: skip


def _check_step(answer: Any) -> Any:
    def step(self: Process, module: Module, instead: Module | None = None) -> None:
        for symbol in module.imports[:1]:
            found = _asked(answer, symbol, module.needs, _offers(self, module, instead))
            if found in REFUSED[:2]:
                raise DynlinkError(f"{found} (for {module.name})")

    return step


def _provider_step(answer: Any) -> Any:
    def step(self: Process, module: Module, symbol: str) -> Loaded | None:
        return self.modules.get(_asked(answer, symbol, module.needs, _offers(self, module)))

    return step


def linked(text: str) -> list[str]:
    """Where every import goes and what the program returns, or why it is not loaded."""
    main, *libraries = modules(text)
    try:
        with start(main, libraries) as process:
            r0 = process.run(bytes(64)).r0
            return [*(f"{symbol} of {user} is {library}'s" for (user, symbol), library in process.bound.items()),
                    f"returns {r0}"]  # fmt: skip
    except DynlinkError as error:
        return [f"not loaded: {error.message}"]


def _provider_attempt(answer: Any, case: Any) -> Plain:
    if not callable(answer):
        raise Failed(f"the answer must be a function, not {type(answer).__name__}")
    if "program" not in case:
        return _asked(answer, case["symbol"], case["needs"], case["libraries"])
    with plugged("bpfbench.dynlink.process.Process.check_needs", _check_step(answer)):
        with plugged("bpfbench.dynlink.process.Process.provider", _provider_step(answer)):
            return linked(case["program"])


def _rule(exact: bool = False, major: bool = True, checked: bool = True, by_needs: bool = True, everywhere: bool = False,
          nowhere: bool = False) -> Any:  # fmt: skip
    """provider with one thing wrong; without options, the reference."""

    def rule(symbol: str, needs: Any, libraries: Any) -> str:
        there = {one["name"]: one for one in libraries}
        for name, wanted in needs if checked else []:
            if name not in there:
                return "missing"
            has = there[name]["version"]
            good = has == wanted if exact else has[0] == wanted[0] and has[1] >= wanted[1] if major else has >= wanted
            if not good:
                return "wrong version"
        names = [name for name, _ in needs if name in there]
        if not by_needs:
            names = [name for name in there if name in names]
        if everywhere:
            names += [name for name in there if name not in names]
        elif not needs and not nowhere:
            names = list(there)
        return next((name for name in names if symbol in there[name]["exports"]), "undefined")

    return rule


# Cases ---------------------------------------------------------------------------------------------------------------


def _situation(random: Random, kind: str) -> tuple[str, list[Any], list[dict[str, Any]]]:
    """A symbol, what is needed and what is there: `kind` says what is special."""
    first, second, third = random.sample(NAMES, 3)
    symbol, *others = random.sample(FUNCTIONS, 3)
    major, minor = random.randrange(1, 4), random.randrange(1, 4)
    offers = [{"name": name, "version": [major, minor], "exports": [random.choice(others)]}
              for name in (first, second, third)]
    needs: list[Any] = [[second, [major, minor]], [first, [major, minor]]]
    offers[0]["exports"] = offers[1]["exports"] = [others[0], symbol]
    if kind == "newer":
        offers[1]["version"] = [major, minor + random.randrange(1, 9)]
    elif kind == "older":
        offers[random.randrange(2)]["version"] = [major, minor - 1]
    elif kind == "other major":
        offers[random.randrange(2)]["version"] = [major + 1, minor + random.randrange(2)]
    elif kind == "missing":
        offers.pop(0)
    elif kind == "nothing named":
        needs = []
    elif kind == "not needed":
        offers[0]["exports"] = offers[1]["exports"] = [others[0]]
        offers[2]["exports"] = [symbol]
    return symbol, needs, offers


KINDS: Final = ("plain", "newer", "older", "other major", "missing", "nothing named", "not needed")


def written(symbol: str, needs: list[Any], offers: list[dict[str, Any]]) -> str:
    """A situation as lines, one for each module."""
    named = ", ".join(f"{name} {major}.{minor}" for name, (major, minor) in needs)
    lines = [f"main{' needs ' + named if named else ''} calls {symbol}, {offers[0]['exports'][0]}, {symbol}"]
    return "\n".join([*lines, *(f"{one['name']} {one['version'][0]}.{one['version'][1]} has {', '.join(one['exports'])}"
                                for one in offers)])  # fmt: skip


def provider_cases(random: Random) -> list[Any]:
    made: list[Any] = []
    for kind in KINDS:
        symbol, needs, offers = _situation(random, kind)
        made.append({"symbol": symbol, "needs": needs, "libraries": offers})
    programs = [written(*_situation(random, kind)) for kind in ("newer", "other major", "nothing named")]
    return [*made, *({"program": text} for text in programs)]


def draw_provider(case: Any, wanted: Plain, got: Plain) -> str:
    if "program" in case:
        return first_difference(wanted, got)
    needs = ", ".join(f"{name} {major}.{minor}" for name, (major, minor) in case["needs"])
    rows = [f"  {case['symbol']}, for a module that {'needs ' + needs if needs else 'names no library'}"]
    rows += [f"      {one['name']} {one['version'][0]}.{one['version'][1]} has {', '.join(one['exports'])}"
             for one in case["libraries"]]
    return "\n".join([*rows, f"  expected {wanted}, got {got}"])


_HERE: Final = "bpfbench.course.exercises.libraries."

EXERCISES: Final = [
    Exercise("library-provider", "provider", "Where a function comes from", 2, 4, "23 shared libraries", "37, 61",
             public=provider_cases(Random(50)), more=provider_cases, attempt=_provider_attempt,
             expected=lambda case: _provider_attempt(_rule(), case), draw=draw_provider,
             mistakes=(("a later minor version is good as well: it only adds", as_if(_provider_attempt, _rule(exact=True))),
                       ("another major number means something else, also a larger one",
                        as_if(_provider_attempt, _rule(major=False))),
                       ("every library that is needed must be there and new enough, whichever has the function",
                        as_if(_provider_attempt, _rule(checked=False))),
                       ("libraries are searched in the order in which they are needed, not in which they were loaded",
                        as_if(_provider_attempt, _rule(by_needs=False))),
                       ("who names libraries gets functions from these alone",
                        as_if(_provider_attempt, _rule(everywhere=True))),
                       ("who names no library gets functions from any",
                        as_if(_provider_attempt, _rule(nowhere=True)))),
             seals=("bpfbench.dynlink.process.Process.check_needs", "bpfbench.dynlink.process.Process.provider",
                    "bpfbench.dynlink.module.satisfies", _HERE + "_rule")),
]  # fmt: skip

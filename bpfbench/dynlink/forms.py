"""Two forms of a module: one to verify, one to run.

A call that leaves the module has nothing to go to until a library is there, and the library may be replaced later.  So
each side is verified by itself, against the prototype:

    verified form   every import is a *stand-in*: a global function with the prototype, whose body says the least about
                    what the library will do.  The verifier checks the arguments, and believes that r0 is any number.
                    A stand-in that takes the context changes the packet, because the library's function might.
                    In a library, a *driver* calls every export, so that each is verified as a global function:
                    for all arguments of its prototype.
    executed form   the same instructions, slot by slot, with `call stand-in` replaced by `call import K`

Both are static linking: module + stand-ins (+ driver).  What the verifier proved of the first holds for the second if the
functions that are bound to the imports have these prototypes, and were verified so themselves.

Source: kernel/bpf/verifier.c `do_check_subprogs`, kernel/bpf/btf.c `btf_prepare_func_args`; slide 25.
"""

from __future__ import annotations

import copy
import struct
from typing import Final, final

from bpfbench.dynlink.merge_btf import append, copied
from bpfbench.dynlink.module import Module
from bpfbench.dynlink.static import link_static
from bpfbench.elf import btf_types as b
from bpfbench.elf.btf import Btf
from bpfbench.elf.btf_ext import CORE_RECORD, FUNCTION_RECORD, LINE_RECORD, to_section
from bpfbench.elf.btf_types import BtfType, Param
from bpfbench.elf.loader import load
from bpfbench.elf.relocs import R_BPF_64_32
from bpfbench.elf.writer import Writer
from bpfbench.errors import DynlinkError, Where
from bpfbench.interp.lower import IMPORTS
from bpfbench.isa import ops
from bpfbench.isa.codec import encode
from bpfbench.isa.insn import Instruction
from bpfbench.isa.ops import OP
from bpfbench.program.program import MapSpec, Program
from bpfbench.verifier.value_types import function_of
from bpfbench.verifier.verification import Verification, verify

DATA: Final = (".rodata", ".data", ".bss", ".kconfig")
DRIVER: Final = "bpf_library_driver"
# a helper that makes packet pointers void, by type of program; types that are missing have no packet pointers
CHANGER: Final = {
    "xdp": 44, "sched_cls": 39, "sched_act": 39, "lwt_xmit": 39, "lwt_in": 39, "lwt_out": 39, "sk_skb": 39,
}  # fmt: skip


def insn(name: str, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> Instruction:
    return Instruction(OP[name], dst, src, off, imm)


@final
class Function:
    """A function of a module: bytes of stack (0: as deep as verified), what it calls in the module, what it imports."""

    __slots__ = ("stack", "calls", "imports")

    def __init__(self, stack: int) -> None:
        self.stack = stack
        self.calls: set[str] = set()
        self.imports: set[str] = set()


@final
class Loaded:
    """A module made ready: `verified` program and its `verification`, `executed` program, `functions` by name."""

    __slots__ = ("module", "verified", "verification", "executed", "functions", "imports")

    def __init__(self, module: Module, program: Program, kernel: str) -> None:
        self.module = module
        self.verified = program
        self.imports = sorted(set(module.imports))
        self.verification: Verification = verify(program, kernel)
        if not self.verification.accepted:
            at = f" (insn {self.verification.pc})" if self.verification.pc is not None else ""
            line = program.source_line(self.verification.pc) if self.verification.pc is not None else None
            where = Where(file=line.file, line=line.line) if line is not None else Where(file=module.file)
            raise DynlinkError(f"{module.title} is refused by the verifier: {self.verification.message}{at}", where)
        self.functions = functions_of(program, self.verification, self.imports)
        self.executed = executed_form(program, self.imports, module)

    def __repr__(self) -> str:
        return f"Loaded({self.module.title}: {len(self.executed)} slots)"


def load_program(module: Module, name: str, kernel: str) -> Loaded:
    """The program `name` ("" if there is one) of a module, with stand-ins for its imports."""
    where = Where(file=module.file)
    section = module.elf.section
    types = {s.name: s for s in module.elf.symbols if s.type == "FUNC" and s.section < len(module.elf.sections)}
    names = [n for n, s in types.items() if module.elf.sections[s.section].name != ".text"]
    if name and name not in names or not name and len(names) != 1:
        raise DynlinkError(f"{'no program ' + repr(name) if name else 'which program?'}; there are: "
                           f"{', '.join(names) or 'none'}", where)
    chosen = name or names[0]
    home = module.elf.sections[types[chosen].section]
    assert section(home.name) is not None
    kind = load(bare(home.name), name=module.file).programs["probe"].type
    raw = link_static([module.raw, *stand_ins(module, kind)], names=[module.file, f"stand-ins of {module.file}"])
    return Loaded(module, load(raw, name=module.file).programs[chosen], kernel)


def load_library(module: Module, like: Program, kernel: str) -> Loaded:
    """A library for programs `like` that one: of its type, in its section."""
    section = like.section or like.type
    parts = [module.raw, driver(module, section, like.type), *stand_ins(module, like.type)]
    names = [module.file, f"driver of {module.file}", f"stand-ins of {module.file}"]
    program = load(link_static(parts, names=names), name=module.file).programs[DRIVER]
    return Loaded(module, program, kernel)


def bare(section: str) -> bytes:
    """An object with nothing but a program in a section: asks the loader what that section means."""
    writer = Writer()
    code = writer.section(section, encode([insn("MOV64_K"), insn("EXIT")]), flags=6)
    writer.symbol("probe", code, 0, 16, "GLOBAL", "FUNC")
    return writer.to_bytes()


# -- stand-ins and driver ---------------------------------------------------------------------------------------------


@final
class _Made:
    """An object made by hand: functions one after the other, with BTF copied from a module; `what` stands for a file."""

    def __init__(self, module: Module, section: str, what: str) -> None:
        self.section = section
        self.what = what
        self.license = module.license
        self.btf = Btf()
        self.moved = append(self.btf, module.btf)
        for id in list(self.btf):
            t = self.btf.type(id)
            if t.kind == b.FUNC and t.linkage == 1:
                t.linkage = 2                               # of the module; here it is only declared
            elif t.kind == b.DATASEC:
                t.variables, t.size, t.name = [], 0, t.name
        self.code: list[Instruction | None] = []
        self.functions: list[tuple[str, int, int, int]] = []        # name, first slot, slots, type
        self.calls: list[tuple[int, str]] = []

    def function(self, name: str, type: int, body: list[Instruction | None], calls: list[tuple[int, str]]) -> None:
        self.functions.append((name, len(self.code), len(body), type))
        self.calls += [(len(self.code) + slot, callee) for slot, callee in calls]
        self.code += body

    def to_bytes(self) -> bytes:
        writer = Writer()
        code = writer.section(self.section, encode(self.code), flags=6)
        for name, start, count, _ in self.functions:
            writer.symbol(name, code, 8 * start, 8 * count, "GLOBAL", "FUNC")
        externs: dict[str, int] = {}
        for slot, callee in self.calls:
            if callee not in externs:
                externs[callee] = writer.symbol(callee, 0)
            writer.relocation(code, 8 * slot, externs[callee], R_BPF_64_32)
        writer.section("license", self.license.encode() + b"\0", flags=3, align=1)
        file = self.btf.intern(f"<{self.what}>")
        types = b"".join(struct.pack("<II", 8 * start, type) for _, start, _, type in self.functions)
        lines = b"".join(struct.pack("<IIII", 8 * start, file, self.btf.intern(name), 1 << 10)
                         for name, start, _, _ in self.functions)
        ext = to_section(self.btf, [(FUNCTION_RECORD, {self.section: types}), (LINE_RECORD, {self.section: lines}),
                                    (CORE_RECORD, {})])
        writer.section(".BTF", self.btf.to_bytes(), align=4)
        writer.section(".BTF.ext", ext, align=4)
        return writer.to_bytes()


def kinds(module: Module, name: str, prog_type: str) -> list[tuple[str, int]]:
    """What the verifier takes each parameter of a function for: (kind, size), as `value_types.function_of`."""
    id = module.btf.find(name, b.FUNC) or 0
    types = copy.deepcopy(module.btf)
    if id:
        types.type(id).linkage = 1                  # a declaration is held to the rules of what it declares
    found = function_of(types.to_bytes(), id, prog_type)[2]
    if found is None:
        raise DynlinkError(f"'{module.prototype(name)}': a function between modules takes numbers, the context, and "
                           "pointers to what has a size, at most five", Where(file=module.file))
    return found


def stand_ins(module: Module, prog_type: str) -> list[bytes]:
    """An object that defines every import of a module, by prototype alone; none if there are no imports."""
    if not module.imports:
        return []
    made = _Made(module, ".text", f"stand-ins of {module.name}")
    for name in sorted(set(module.imports)):
        id = made.btf.find(name, b.FUNC)
        assert id is not None
        made.btf.type(id).linkage = 1
        made.btf.type(id).type = _with_names(made.btf, made.btf.type(id).type)
        body: list[Instruction | None] = []
        contexts = [i for i, (kind, _) in enumerate(kinds(module, name, prog_type)) if kind == "ctx"]
        if contexts and prog_type in CHANGER:
            body += [insn("MOV64_X", 1, contexts[0] + 1)] if contexts[0] else []
            body += [insn("MOV64_K", 2), insn("CALL", imm=CHANGER[prog_type])]
        made.function(name, id, [*body, insn("MOV64_K"), insn("EXIT")], [])
    return [made.to_bytes()]


def _with_names(btf: Btf, id: int) -> int:
    """A prototype whose parameters have names, as a kernel wants of a function; a declaration may have none."""
    proto = copied(btf.type(id), lambda ref: ref)
    for i, param in enumerate(proto.params):
        param.name = param.name or f"a{i + 1}"
    return btf.add(proto)


def driver(module: Module, section: str, prog_type: str) -> bytes:
    """A program that calls every export once, with arguments of its prototype."""
    made = _Made(module, section, f"driver of {module.name}")
    integer = made.btf.add(_int())
    proto = BtfType(b.FUNC_PROTO, type=integer)
    proto.params = [Param("ctx", made.btf.add(BtfType(b.PTR)))]
    func = BtfType(b.FUNC, DRIVER, made.btf.add(proto))
    func.linkage = 1
    body: list[Instruction | None] = [insn("MOV64_X", 6, 1)]
    calls: list[tuple[int, str]] = []
    for name in module.exports:
        for i, (kind, size) in enumerate(kinds(module, name, prog_type)):
            body += _argument(module, name, i + 1, kind, size)
        calls.append((len(body), name))
        body.append(insn("CALL_LOCAL", imm=-1))
    made.function(DRIVER, made.btf.add(func), [*body, insn("MOV64_K"), insn("EXIT")], calls)
    return made.to_bytes()


def _int() -> BtfType:
    made = BtfType(b.INT, "int", size=4)
    made.bits, made.encoding = 32, b.INT_SIGNED
    return made


def _argument(module: Module, name: str, register: int, kind: str, size: int) -> list[Instruction | None]:
    if kind == "ctx":
        return [insn("MOV64_X", register, 6)]
    if kind != "mem":
        return [insn("MOV64_K", register)]                  # a number, or NULL
    room = (size + 7) & ~7
    if room > 256:
        raise DynlinkError(f"'{module.prototype(name)}': {size} bytes that may not be NULL", Where(file=module.file))
    clear: list[Instruction | None] = [insn("STDW", 10, off=-8 * (i + 1)) for i in range(room // 8)]
    return [*clear, insn("MOV64_X", register, 10), insn("ADD64_K", register, imm=-room)]


# -- the executed form --------------------------------------------------------------------------------------------------


def executed_form(program: Program, imports: list[str], module: Module) -> Program:
    """The program with `call import K` for calls of stand-ins, and data sections named after their module."""
    number = {program.symbols[name]: k for k, name in enumerate(imports) if name in program.symbols}
    insns = list(program.insns)
    for pc, one in enumerate(insns):
        if one is None or one.kind not in (ops.CALL_LOCAL, ops.LDDW):
            continue
        k = number.get(pc + 1 + one.imm)
        if k is not None and one.kind == ops.CALL_LOCAL:
            insns[pc] = insn("CALL", imm=IMPORTS + k)
        elif k is not None and one.op.fn == ops.FUNC:
            raise DynlinkError(f"the address of imported function '{imports[k]}' is taken", Where(file=module.file, pc=pc))
    made = Program(insns, program.type, program.name, program.license, [_private(m, module) for m in program.maps],
                   program.attach_type, program.section)  # fmt: skip
    made.symbols, made.lines = dict(program.symbols), dict(program.lines)
    return made


def _private(spec: MapSpec, module: Module) -> MapSpec:
    """Data sections belong to one version of one module; maps that have names are shared by name."""
    if not module.is_library or not spec.name.startswith(DATA):
        return spec
    own = copy.copy(spec)
    own.name = f"{module.title.replace(' ', '-')}{spec.name}"
    return own


def functions_of(program: Program, verification: Verification, imports: list[str]) -> dict[str, Function]:
    """Who calls whom in a module, and with how much stack: what limits on chains of calls need."""
    subprogs = verification.walk.subprogs
    at = {start: name for name, start in program.symbols.items()}
    found: dict[str, Function] = {}
    for i, sub in enumerate(subprogs):
        function = found.setdefault(at.get(sub.start, f"func#{i}"), Function((sub.stack_depth + 15) // 16 * 16))
        end = subprogs[i + 1].start if i + 1 < len(subprogs) else len(program.insns)
        for pc in range(sub.start, end):
            one = program.insns[pc]
            if one is None or not (one.kind == ops.CALL_LOCAL or one.kind == ops.LDDW and one.op.fn == ops.FUNC):
                continue
            callee = at.get(pc + 1 + one.imm, "")
            (function.imports if callee in imports else function.calls).add(callee)
    return found

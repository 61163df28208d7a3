"""Which functions the program's type information describes: names, static or global, arguments.

A program may come with two tables beside its instructions, both in the order of the code:

    func_info    {instruction, type}                    one record for each function, type: a FUNC of the BTF
    line_info    {instruction, file, line, columns}     at least one for each function

The kernel refuses tables that do not fit the functions it found itself; what they say is then believed.

Source: kernel/bpf/verifier.c `check_btf_func_early`, `check_btf_func`, `check_btf_line`.
"""

from __future__ import annotations

import struct
from typing import Final

from bpfbench.elf.btf import Btf
from bpfbench.elf.btf_types import ENUM, ENUM64, FUNC, INT
from bpfbench.errors import BtfError
from bpfbench.verifier.value_types import parsed, prototype
from bpfbench.verifier.walk import EINVAL, Walk

RECORD: Final = 8               # bytes of a record of func_info
LINE: Final = 16                # and of line_info


def check_records(w: Walk) -> None:
    """The table by itself: in order, and naming functions (`check_btf_func_early`)."""
    btf = parsed(w.prog.btf)
    before = 0
    for i, (at, type_id) in enumerate(_records(w)):
        if i == 0 and at:
            raise w.refuse(f"nonzero insn_off {at} for the first func info record", EINVAL)
        if i and at <= before:
            raise w.refuse(f"same or smaller insn offset ({at}) than previous func info record ({before})", EINVAL)
        if btf is not None and not (0 < type_id < len(btf) and btf.kind_of(type_id) == FUNC):
            raise w.refuse(f"invalid type id {type_id} in func info", EINVAL)
        before = at


def read_func_info(w: Walk) -> None:
    """Names and linkage of functions from `func_info` and BTF (`check_btf_func`)."""
    prog = w.prog
    if not prog.func_info or not prog.btf:
        return
    if w.k.version < (6, 6):
        check_records(w)
    w.func_info = _records(w)
    btf = parsed(prog.btf)
    if len(w.func_info) != len(w.subprogs):
        raise w.refuse("number of funcs in func_info doesn't match number of subprogs", EINVAL)
    for number, (at, type_id) in enumerate(w.func_info):
        sub = w.subprogs[number]
        if sub.start != at:
            raise w.refuse("func_info BTF section doesn't match subprog layout in BPF program", EINVAL)
        if number and (sub.has_ld_abs or sub.has_tail_call) and btf is not None and not _returns_int(btf, type_id):
            what = "LD_ABS" if sub.has_ld_abs else "tail_call"
            raise w.refuse(f"{what} is only allowed in functions that return 'int'.", EINVAL)
        sub.prototype = found = prototype(prog.btf, type_id, prog.type)
        sub.name = found.name
        sub.is_global = found.linkage == 1 and number > 0
        sub.args = found.args if not found.errno else None
    if btf is not None:
        _check_lines(w, btf)


def _records(w: Walk) -> list[tuple[int, int]]:
    table = w.prog.func_info
    return [(at, type_id) for at, type_id in struct.iter_unpack("<II", table[:len(table) // RECORD * RECORD])]


def _returns_int(btf: Btf, func: int) -> bool:
    try:
        given = btf.type(btf.type(func).type).type
        return bool(given) and btf.kind_of(btf.resolve(given)) in (INT, ENUM, ENUM64)
    except BtfError:
        return False


def _check_lines(w: Walk, btf: Btf) -> None:
    """`check_btf_line`: in order, at instructions, with names, and one for each function."""
    table = w.prog.line_info
    code, strings, n = w.prog.raw, len(btf.strings), len(w.insns)
    before = subprog = 0
    for i, (at, file, line, _) in enumerate(struct.iter_unpack("<IIII", table[:len(table) // LINE * LINE])):
        if (i and at <= before) or at >= n:
            raise w.refuse(f"Invalid line_info[{i}].insn_off:{at} (prev_offset:{before} prog->len:{n})", EINVAL)
        if not code[8 * at]:
            raise w.refuse(f"Invalid insn code at line_info[{i}].insn_off", EINVAL)
        if line >= strings or file >= strings:
            raise w.refuse(f"Invalid line_info[{i}].line_off or .file_name_off", EINVAL)
        if subprog < len(w.subprogs):
            start = w.subprogs[subprog].start
            if at == start:
                subprog += 1
            elif start < at:
                raise w.refuse(f"missing bpf_line_info for func#{subprog}", EINVAL)
        before = at
    if table and subprog < len(w.subprogs):
        left = len(w.subprogs) - subprog
        raise w.refuse(f"missing bpf_line_info for {left} funcs starting from func#{subprog}", EINVAL)

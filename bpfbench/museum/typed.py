"""Type information for programs written as text: names, linkage and prototypes of their functions.

A prototype is written `linkage return(parameter, …)`, with linkage `static` or `global` and the types `int`, `long`,
`ctx` (a pointer to the program type's context) and `mem` (a pointer to 8 bytes).  The verifier asks for BTF
before it takes callbacks and global functions.

Source: Documentation/bpf/btf.rst (func_info); slide 25.
"""

from __future__ import annotations

import struct
from typing import Final

from bpfbench.elf import btf_types as b
from bpfbench.elf.btf import Btf
from bpfbench.elf.btf_types import BtfType, Param
from bpfbench.errors import UsageError
from bpfbench.program.program import Program

Prototype = str
CONTEXT: Final = {"xdp": "xdp_md", "socket_filter": "__sk_buff", "sched_cls": "__sk_buff"}
LINKAGE: Final = {"static": 0, "global": 1}


def with_types(program: Program, functions: dict[str, Prototype]) -> Program:
    """The program with BTF and func_info; `functions` maps the labels declared by `.func` to prototypes.

    >>> from bpfbench.program.program import from_assembly
    >>> text = "r1 = 2\\ncall twice\\nexit\\n.func twice\\nr0 = r1\\nr0 += r1\\nexit"
    >>> len(with_types(from_assembly(text), {"twice": "static int(int)"}).func_info)
    16
    """
    btf = Btf()
    integer, long = _integer(btf, "int", 4), _integer(btf, "long", 8)
    context = btf.add(BtfType(b.PTR, type=btf.add(BtfType(b.STRUCT, CONTEXT.get(program.type, "ctx"), size=4))))
    known = {"int": integer, "long": long, "ctx": context, "mem": btf.add(BtfType(b.PTR, type=long))}
    rows = [(0, program.name, "global int(ctx)")]
    rows += [(program.symbols[name], name, functions[name]) for name in functions]
    program.func_info = b"".join(
        struct.pack("<II", at, _function(btf, name, prototype, known)) for at, name, prototype in sorted(rows))
    program.btf = btf.to_bytes()
    return program


def _integer(btf: Btf, name: str, size: int) -> int:
    made = BtfType(b.INT, name, size=size)
    made.encoding, made.bits = b.INT_SIGNED, 8 * size
    return btf.add(made)


def _function(btf: Btf, name: str, prototype: Prototype, known: dict[str, int]) -> int:
    linkage, _, rest = prototype.partition(" ")
    result, _, inside = rest.rstrip(")").partition("(")
    kinds = [kind.strip() for kind in inside.split(",") if kind.strip()]
    for kind in (result, *kinds):
        if kind not in known:
            raise UsageError(f"unknown type '{kind}' in prototype '{prototype}'; known: {', '.join(known)}")
    if linkage not in LINKAGE:
        raise UsageError(f"prototype '{prototype}' begins with neither 'static' nor 'global'")
    proto = BtfType(b.FUNC_PROTO, type=known[result])
    proto.params = [Param(f"a{i}", known[kind]) for i, kind in enumerate(kinds)]
    func = BtfType(b.FUNC, name, btf.add(proto))
    func.linkage = LINKAGE[linkage]
    return btf.add(func)

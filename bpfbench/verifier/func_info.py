"""Which functions the program's type information describes: names, static or global, arguments.

Source: kernel/bpf/verifier.c `check_btf_func`; kernel/bpf/btf.c `btf_prepare_func_args`.
"""

from __future__ import annotations

import struct

from bpfbench.verifier.walk import Walk


def read_func_info(w: Walk) -> None:
    """Names and linkage of functions from `func_info` and BTF."""
    prog = w.prog
    if not prog.func_info or not prog.btf:
        return
    records = list(struct.iter_unpack("<II", prog.func_info[:len(prog.func_info) // 8 * 8]))
    w.func_info = [(at, type_id) for at, type_id in records]
    from bpfbench.verifier.value_types import function_of

    for at, type_id in w.func_info:
        number = w.subprog_starting(at) if at < len(w.insns) else -1
        if number < 0:
            continue
        name, linkage, args = function_of(prog.btf, type_id, prog.type)
        sub = w.subprogs[number]
        sub.name = name
        sub.is_global = linkage == 1 and number > 0
        sub.args = args

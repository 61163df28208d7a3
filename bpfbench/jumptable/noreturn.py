"""Functions that never come back: a path through a call of one does not exist.

Names tell (`abort`, `__stack_chk_fail`), also through PLT stubs; in stripped files layout does: some function ends in a
call of it.
"""

from __future__ import annotations

from typing import Final

from . import a64
from .functions import FunctionMap
from .image import Image

NORETURN_NAMES: Final = frozenset(
    (
        "abort",
        "exit",
        "_exit",
        "_Exit",
        "quick_exit",
        "__stack_chk_fail",
        "__assert_fail",
        "__assert",
        "__cxa_throw",
        "__cxa_rethrow",
        "_Unwind_Resume",
        "longjmp",
        "_longjmp",
        "siglongjmp",
        "__longjmp_chk",
        "err",
        "errx",
        "verr",
        "verrx",
        "__chk_fail",
        "__fortify_fail",
        "_ZSt9terminatev",
        "__cxa_bad_cast",
        "__cxa_throw_bad_array_new_length",
        "_ZSt17__throw_bad_allocv",
        "_ZSt20__throw_length_errorPKc",
        "_ZSt19__throw_logic_errorPKc",
        "_ZSt24__throw_out_of_range_fmtPKcz",
        "__libc_fatal",
        "pthread_exit",
        "__libc_start_main",
    )
)


def noreturn_functions(image: Image, functions: FunctionMap) -> frozenset[int]:
    """Addresses whose call never comes back: known names, PLT stubs of known imports, and callees of a final call."""
    out = {s.addr for s in (*image.symbols, *image.dynamic_symbols) if s.name in NORETURN_NAMES and s.addr}
    out |= _noreturn_stubs(image)
    for f in functions.functions:
        if not f.exact or f.size < 8:
            continue
        at = f.end - 4
        word = image.word(at)
        while word is not None and at > f.start and (word == 0xD503201F or word < 0x10000):
            at -= 4
            word = image.word(at)
        if word is not None and word >> 26 == 0x25:
            target = at + a64.decode(word).imm
            if target not in f:
                out.add(target)
    return frozenset(out)


def _noreturn_stubs(image: Image) -> set[int]:
    """PLT entries `adrp x16; ldr x17, [x16, #k]` whose slot is bound to a name of NORETURN_NAMES."""
    slots = {addr for addr, name in image.imports.items() if name in NORETURN_NAMES}
    out: set[int] = set()
    if not slots:
        return out
    for start, end, name in image.code_ranges():
        if not name.startswith(".plt"):
            continue
        words = image.words(start, (end - start) // 4)
        for k in range(len(words) - 1):
            page, load = a64.decode(words[k]), a64.decode(words[k + 1])
            if page.op == a64.ADRP and load.op == a64.LOAD and load.rn == page.rd:
                pc = start + 4 * k
                if (pc & ~0xFFF) + page.imm + load.imm in slots:
                    before = a64.decode(words[k - 1]) if k else None
                    out.update((pc, pc - 4) if before is not None and before.op == a64.BTI else (pc,))
    return out

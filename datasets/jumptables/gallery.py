"""Hand-written dispatches: every decode form, with every way to come by the table address, and the look-alikes.

Each `pos_FORM_WAY` is a function `u32 f(u32 i)` that returns k+1 for case k and 99 otherwise; a driver calls all of them
beyond both ends of their tables and exits with the number of wrong answers, so the gallery is also a program to rewrite.
Truth goes into `.jttruth`, as in the corpus: the linker writes the addresses, nobody decodes anything.

    python datasets/jumptables/gallery.py OUT          writes gallery[-lld|-bti|-nocfi].elf, .stripped.elf and .json
"""

# ruff: noqa: E501  (lines of assembly and C)
from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from corpus import read_truth, run

FORMS = ("G1", "G2", "G4", "C1", "C2", "C4", "D8", "R4", "S4", "M2", "Xsb", "Xsh", "Xp")
WAYS = ("t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9", "t10", "t11")
CHECKS = ("hi", "hs", "ls", "signed", "mask", "ubfx", "slot", "ccmp", "reg", "copy", "clamp", "uxtb", "sub", "cbz")
# form: entry size, signed, shift (log2 of scale)
FACTS = {"G1": (1, 1, 2), "G2": (2, 1, 2), "G4": (4, 1, 2), "C1": (1, 0, 2), "C2": (2, 0, 2), "C4": (4, 1, 0), "D8": (8, 0, 0),
         "R4": (4, 1, 0), "S4": (4, 1, 0), "M2": (2, 0, 0), "Xsb": (1, 1, 2), "Xsh": (2, 1, 2), "Xp": (2, 1, 2)}
WORD = {1: ".byte", 2: ".hword", 4: ".word", 8: ".xword"}


def check(kind: str, n: int, f: str) -> tuple[str, int]:
    """Code that leaves the bounded index in w0 or goes to the default; the number of entries."""
    d = f".L{f}_d"
    table = {
        "hi": f"cmp w0, #{n - 1}\nb.hi {d}", "hs": f"cmp w0, #{n}\nb.hs {d}",
        "ls": f"cmp w0, #{n - 1}\nb.ls 1f\nb {d}\n1:",
        "signed": f"cmp w0, #0\nb.lt {d}\ncmp w0, #{n - 1}\nb.gt {d}",
        "mask": "and w0, w0, #7", "ubfx": "ubfx w0, w0, #0, #3",
        "slot": f"mov w8, w0\nstr x8, [sp, #8]\nsubs x8, x8, #{n - 1}\nb.hi {d}\nldr x0, [sp, #8]",
        "ccmp": f"cmp w0, #77\nccmp w0, #{n - 1}, #2, ne\nb.hi {d}",
        "reg": f"mov w7, #{n - 1}\ncmp w0, w7\nb.hi {d}", "copy": f"mov w8, w0\ncmp w8, #{n - 1}\nb.hi {d}\nmov w0, w8",
        "clamp": f"cmp w0, #{n - 1}\nb.hi {d}\ncmp x0, #{n - 1}\ncsel x0, x0, xzr, ls",
        "uxtb": f"cmp w0, #255\nb.hi {d}\nuxtb w0, w0\ncmp w0, #{n - 1}\nb.hi {d}",
        "sub": f"add w1, w0, #10\nsub w0, w1, #10\ncmp w0, #{n - 1}\nb.hi {d}",
        "cbz": f"add w0, w0, #1\ncbz w0, {d}\ncmp w0, #{n}\nb.hi {d}\nsub w0, w0, #1",
    }
    return table[kind], 8 if kind in ("mask", "ubfx") else n


def address(way: str, t: str, f: str) -> str:
    """Code that leaves the address of `t` in x9."""
    pair = f"adrp x9, {t}\nadd x9, x9, :lo12:{t}"
    return {
        "t1": pair, "t2": f"adrp x10, {t}\nadd x9, x10, :lo12:{t}", "t3": f"nop\nadr x9, {t}", "t4": f"adr x9, {t}",
        "t5": f"movz x9, #:abs_g3:{t}\nmovk x9, #:abs_g2_nc:{t}\nmovk x9, #:abs_g1_nc:{t}\nmovk x9, #:abs_g0_nc:{t}",
        "t6": f"adrp x9, .L{f}_lit\nldr x9, [x9, :lo12:.L{f}_lit]",
        "t7": f"{pair}\nstr x9, [sp, #16]\nmov x9, #3\ncbnz w0, 2f\nadd x9, x9, #1\n2: ldr x9, [sp, #16]",
        "t8": f"{pair}\nfmov d8, x9\nmov x9, #3\ncbnz w0, 2f\nadd x9, x9, #1\n2: fmov x9, d8",
        "t9": f"cbz w0, 2f\n{pair}\nb 3f\n2: mov w5, #1\n{pair}\n3:",
        "t10": f"adrp x10, {t}\ncbz w0, 2f\nmov w5, #1\n2: add x9, x10, :lo12:{t}",
        "t11": f"adrp x10, {t}\nadd x10, x10, :lo12:{t}\ncbz w0, 2f\nmov w5, #1\n2: mov x9, x10",
    }[way]


def dispatch(form: str, f: str) -> tuple[str, str, str]:
    """Load, final addition and branch from T in x9 and the index in w0; the anchor label; the entry expression."""
    c, b = f".L{f}_c0", f".L{f}_b"
    bits = {"G1": "sxtb", "G2": "sxth", "G4": "sxtw"}
    load = {"G1": "ldrb w11, [x9, w0, uxtw]", "G2": "ldrh w11, [x9, w0, uxtw #1]", "G4": "ldr w11, [x9, w0, uxtw #2]"}
    if form in bits:
        return (f"{load[form]}\nadr x10, {b}\nadd x11, x10, w11, {bits[form]} #2\n@BR x11\n{b}:", b, f"(@ - {b}) / 4")
    if form in ("C1", "C2"):
        load2 = "ldrb w11, [x9, x0]" if form == "C1" else "ldrh w11, [x9, x0, lsl #1]"
        return f"mov w0, w0\nadr x10, {c}\n{load2}\nadd x10, x10, x11, lsl #2\n@BR x10", c, f"(@ - {c}) / 4"
    if form == "C4":
        return f"mov w0, w0\n{b}: adr x10, {b}\nldrsw x11, [x9, x0, lsl #2]\nadd x10, x10, x11\n@BR x10", b, f"@ - {b}"
    if form == "D8":
        return "mov w0, w0\nldr x27, [x9, x0, lsl #3]\n@BR x27", "0", "@"
    if form == "R4":
        return "ldrsw x11, [x9, w0, uxtw #2]\nadd x11, x11, x9\n@BR x11", f".L{f}_t", f"@ - .L{f}_t"
    if form == "S4":
        return "mov w0, w0\nadd x11, x9, x0, lsl #2\nldr w12, [x11]\nadd x11, x11, w12, sxtw\n@BR x11", "0", "@ - ."
    if form == "M2":
        return "ldrh w11, [x9, w0, uxtw #1]\nsub x11, x9, w11, uxtw\n@BR x11", f".L{f}_t", f".L{f}_t - @"
    if form == "Xsb":
        return f"ldrsb x11, [x9, w0, uxtw]\nadr x10, {b}\nadd x10, x10, x11, lsl #2\n@BR x10\n{b}:", b, f"(@ - {b}) / 4"
    if form == "Xsh":
        return (f"ldrh w11, [x9, w0, uxtw #1]\nsxth x11, w11\nlsl x11, x11, #2\nadr x9, {b}\nadd x9, x9, x11\n@BR x9\n{b}:", b,
                f"(@ - {b}) / 4")
    return (f"add x9, x9, w0, uxtw #1\nldrh w11, [x9]\nadr x9, {b}\nadd x9, x9, w11, sxth #2\n@BR x9\n{b}:", b, f"(@ - {b}) / 4")


class Gallery:
    def __init__(self, bti: bool = False, cfi: bool = True, pie: bool = False) -> None:
        self.bti, self.cfi, self.pie = bti, cfi, pie
        self.text: list[str] = []
        self.rodata: list[str] = []
        self.truth: list[str] = []
        self.calls: list[str] = []
        self.negatives: dict[str, str] = {}
        self.number = 0

    def record(self, f: str, branch: str, form: str, anchor: str, targets: list[str], table: str | None = None) -> None:
        size, signed, shift = FACTS[form]
        self.truth.append(f".xword {branch}, {table or f'.L{f}_t'}, {anchor}, {len(targets)}, {size}, {signed}, {shift}, {f}")
        self.truth += [f".xword {t}" for t in targets]

    def open(self, f: str) -> None:
        self.text.append(f".globl {f}\n.type {f}, %function\n.balign 4\n{f}:" + ("\n.cfi_startproc" if self.cfi else "")
                         + ("\nbti c" if self.bti else ""))

    def close(self, f: str) -> None:
        self.text.append((".cfi_endproc\n" if self.cfi else "") + f".size {f}, .-{f}")

    def label(self, name: str) -> str:
        return f"{name}:" + (" bti j" if self.bti else "")

    def entries(self, f: str, form: str, expression: str, targets: list[str], inline: bool) -> list[str]:
        size = FACTS[form][0]
        return [f".balign {size}", f".L{f}_t:"] + [f"{WORD[size]} {expression.replace('@', t)}" for t in targets] + ([".balign 4"] if inline else [])

    def shape(self, form: str, way: str) -> None:
        f = f"pos_{form}_{way}"
        kind = CHECKS[self.number % len(CHECKS)]
        self.number += 1
        guard, n = check(kind, 5 + self.number % 6, f)
        code, anchor, expression = dispatch(form, f)
        order = [(k * 3 + 1) % n if n % 3 else k for k in range(n)]
        targets = [f".L{f}_c{k}" for k in range(n)]
        if n > 4 and form not in ("D8",):
            targets[3] = targets[1]                              # a duplicate
        inline = form in ("R4", "S4", "M2") or way in ("t3", "t4")
        self.open(f)
        self.text.append("sub sp, sp, #32\nstr d8, [sp]\nstr x27, [sp, #24]\n.cfi_adjust_cfa_offset 32" if self.cfi
                         else "sub sp, sp, #32\nstr d8, [sp]\nstr x27, [sp, #24]")
        self.text.append(guard + "\n" + address(way, f".L{f}_t", f))
        self.text.append(code.replace("@BR", f".L{f}_br: br"))
        body = []
        for k in sorted(range(n), key=lambda k: (k != 0, order[k])):
            body.append(f"{self.label(f'.L{f}_c{k}')}\nmov w0, #{k + 1}\nb .L{f}_e")
        body.append(f".L{f}_d: mov w0, #99\n.L{f}_e: ldr x27, [sp, #24]\nldr d8, [sp]\nadd sp, sp, #32\nret")
        if form == "M2":                                         # entries count down from the table, behind the code
            self.text += body
        table = self.entries(f, form, expression, targets, inline)
        if not inline:
            self.rodata += table
        if form != "M2":
            if inline:
                self.text += body + table
                body = []
            self.text += body
        else:
            self.text += table
        if way == "t6":
            self.rodata += [".balign 8", f".L{f}_lit: .xword .L{f}_t"]
        self.close(f)
        self.record(f, f".L{f}_br", form, anchor, targets)
        self.drive(f, n, [targets.index(t) if t != f".L{f}_c1" else 1 for t in targets], kind in ("mask", "ubfx"))

    def drive(self, f: str, n: int, answers: list[int], wraps: bool) -> None:
        """Driver code: 0..n+2 and -1."""
        for i in (*range(n + 3), -1):
            want = answers[i & 7] + 1 if wraps else answers[i] + 1 if 0 <= i < n else 99
            self.calls.append(f"mov w0, #{i}\nbl {f}\ncmp w0, #{want}\ncinc w19, w19, ne")

    def split(self) -> None:
        """Point 8: two loads in two blocks, one final addition and branch."""
        f = "pos_C1_split"
        self.open(f)
        self.text.append(f"cmp w0, #5\nb.hi .L{f}_d\nmov w0, w0\nadrp x9, .L{f}_t\nadd x9, x9, :lo12:.L{f}_t\nadr x10, .L{f}_c0\n"
                         f"tbz w0, #0, 1f\nldrb w11, [x9, x0]\nb 2f\n1: mov w5, #1\nldrb w11, [x9, x0]\n2: add x10, x10, x11, lsl #2\n.L{f}_br: br x10")
        self.text += [f"{self.label(f'.L{f}_c{k}')}\nmov w0, #{k + 1}\nret" for k in range(6)] + [f".L{f}_d: mov w0, #99\nret"]
        self.close(f)
        targets = [f".L{f}_c{k}" for k in range(6)]
        self.rodata += self.entries(f, "C1", f"(@ - .L{f}_c0) / 4", targets, False)
        self.record(f, f".L{f}_br", "C1", f".L{f}_c0", targets)
        self.drive(f, 6, list(range(6)), False)

    def shared(self) -> None:
        """One table, two branches in one function; then one array folded for two functions with anchors of their own."""
        f = "pos_G2_shared"
        self.open(f)
        self.text.append(f"cmp w0, #5\nb.hi .L{f}_d\nadrp x9, .L{f}_t\nadd x9, x9, :lo12:.L{f}_t\nadr x10, .L{f}_b\ntbz w0, #0, 1f\n"
                         f"ldrh w11, [x9, w0, uxtw #1]\nadd x11, x10, w11, sxth #2\n.L{f}_br: br x11\n.L{f}_b:\n1: ldrh w12, [x9, w0, uxtw #1]\n"
                         f"add x12, x10, w12, sxth #2\n.L{f}_br2: br x12")
        targets = [f".L{f}_c{k}" for k in range(6)]
        self.text += [f"{self.label(t)}\nmov w0, #{k + 1}\nret" for k, t in enumerate(targets)] + [f".L{f}_d: mov w0, #99\nret"]
        self.close(f)
        self.rodata += self.entries(f, "G2", f"(@ - .L{f}_b) / 4", targets, False)
        self.record(f, f".L{f}_br", "G2", f".L{f}_b", targets)
        self.record(f, f".L{f}_br2", "G2", f".L{f}_b", targets)
        self.drive(f, 6, list(range(6)), False)
        for half in "ab":
            f = f"pos_C1_folded_{half}"
            self.open(f)
            self.text.append(f"cmp w0, #5\nb.hi .L{f}_d\nmov w0, w0\nadrp x9, .Lfolded_t\nadd x9, x9, :lo12:.Lfolded_t\nadr x10, .L{f}_c0\n"
                             f"ldrb w11, [x9, x0]\nadd x10, x10, x11, lsl #2\n.L{f}_br: br x10")
            targets = [f".L{f}_c{k}" for k in range(6)]
            self.text += [f"{self.label(t)}\nmov w0, #{k + 1}\nret" for k, t in enumerate(targets)] + [f".L{f}_d: mov w0, #99\nret"]
            self.close(f)
            self.record(f, f".L{f}_br", "C1", f".L{f}_c0", targets, ".Lfolded_t")
            self.drive(f, 6, list(range(6)), False)
        width = 3 if self.bti else 2
        self.rodata += [".Lfolded_t: .byte " + ", ".join(str(width * k) for k in range(6))]

    def last_block(self) -> None:
        """Corner case 5 of the post: the snippet ends the function, the anchor is the next function (or padding before it)."""
        for pad in ("", "nop\n"):
            f = "pos_G2_last" + ("pad" if pad else "")
            self.open(f)
            targets = [f".L{f}_c{k}" for k in range(6)]
            self.text.append(f"b .L{f}_go")
            self.text += [f"{self.label(t)}\nmov w0, #{k + 1}\nret" for k, t in enumerate(targets)] + [f".L{f}_d: mov w0, #99\nret"]
            self.text.append(f".L{f}_go: cmp w0, #5\nb.hi .L{f}_d\nadrp x9, .L{f}_t\nadd x9, x9, :lo12:.L{f}_t\nldrh w8, [x9, w0, uxtw #1]\n"
                             f"adr x10, .L{f}_b\nadd x10, x10, w8, sxth #2\n.L{f}_br: br x10")
            self.close(f)
            self.text.append(f".L{f}_b:\n{pad}")
            self.rodata += self.entries(f, "G2", f"(@ - .L{f}_b) / 4", targets, False)
            self.record(f, f".L{f}_br", "G2", f".L{f}_b", targets)
            self.drive(f, 6, list(range(6)), False)
            g = f"next_{f}"
            self.open(g)
            self.text.append("mov w0, #7\nret")
            self.close(g)

    def barrier(self) -> None:
        """Straight-line speculation: dead `dsb sy; isb` behind the branch; two entries; one target for all; many entries."""
        for f, n, one, tail in (("pos_G1_sls", 7, False, "dsb sy\nisb"), ("pos_G1_two", 2, False, ""), ("pos_G1_same", 6, True, "")):
            self.open(f)
            targets = [f".L{f}_c{0 if one else k}" for k in range(n)]
            self.text.append(f"cmp w0, #{n - 1}\nb.hi .L{f}_d\n"
                             f"mov w1, w0\nadrp x0, .L{f}_t\nadd x0, x0, :lo12:.L{f}_t\nldrb w1, [x0, w1, uxtw]\nadr x0, .L{f}_b\nadd x0, x0, w1, sxtb #2\n"
                             f".L{f}_br: br x0\n{tail}\n.L{f}_b:")
            self.text += [f"{self.label(f'.L{f}_c{k}')}\nmov w0, #{k + 1}\nret" for k in range(1 if one else n)] + [f".L{f}_d: mov w0, #99\nret"]
            self.close(f)
            self.rodata += self.entries(f, "G1", f"(@ - .L{f}_b) / 4", targets, False)
            self.record(f, f".L{f}_br", "G1", f".L{f}_b", targets)
            self.drive(f, n, [0 if one else k for k in range(n)], False)
        f, n = "pos_C1_many", 4100
        self.open(f)
        targets = [f".L{f}_c{k % 5}" for k in range(n)]
        self.text.append(f"mov w7, #{n - 1}\ncmp w0, w7\nb.hi .L{f}_d\nmov w0, w0\nadrp x9, .L{f}_t\nadd x9, x9, :lo12:.L{f}_t\nadr x10, .L{f}_c0\n"
                         f"ldrb w11, [x9, x0]\nadd x10, x10, x11, lsl #2\n.L{f}_br: br x10")
        self.text += [f"{self.label(f'.L{f}_c{k}')}\nmov w0, #{k + 1}\nret" for k in range(5)] + [f".L{f}_d: mov w0, #99\nret"]
        self.close(f)
        self.rodata += self.entries(f, "C1", f"(@ - .L{f}_c0) / 4", targets, False)
        self.record(f, f".L{f}_br", "C1", f".L{f}_c0", targets)
        for i, want in ((0, 1), (7, 3), (4099, 5), (4100, 99)):
            self.calls.append(f"mov w0, #{i}\nbl {f}\ncmp w0, #{want}\ncinc w19, w19, ne")

    def negative(self, name: str, kind: str, code: str, calls: str = "") -> None:
        self.negatives[name] = kind
        self.open(name)
        self.text.append(code)
        self.close(name)
        if calls:
            self.calls.append(calls)

    def look_alikes(self) -> None:
        one = "mov w0, #{}\nbl {}\ncmp w0, #{}\ncinc w19, w19, ne".format
        for k in range(5):
            self.negative(f"leaf{k}", "", f"mov w0, #{k + 1}\nret")
        guard = "cmp w0, #4\nb.hi 9f\n"
        self.negative("neg_pointers", "tail call", guard + "adrp x9, .Lptrs\nadd x9, x9, :lo12:.Lptrs\nldr x16, [x9, w0, uxtw #3]\nbr x16\n9: mov w0, #99\nret",
                      one(3, "neg_pointers", 4) + "\n" + one(9, "neg_pointers", 99))
        self.negative("neg_offsets", "tail call", guard + "adrp x9, .Loffs\nadd x9, x9, :lo12:.Loffs\nldrsw x1, [x9, w0, uxtw #2]\nadd x16, x1, x9\nbr x16\n"
                      "9: mov w0, #99\nret", one(2, "neg_offsets", 3))
        self.negative("neg_virtual", "virtual call", "mov x1, x0\nldr x2, [x1, #24]\nbr x2")
        self.negative("neg_argument", "tail call", "mov x3, x1\nbr x3")
        self.negative("neg_fixed", "fixed address", "adr x3, 1f\nbr x3\n" + self.label("1") + "\nmov w0, #5\nret", one(1, "neg_fixed", 5))
        self.negative("neg_veneer", "veneer", "adrp x16, leaf2\nadd x16, x16, :lo12:leaf2\nbr x16", one(1, "neg_veneer", 3))
        self.negative("neg_stub", "veneer", "adrp x16, .Lwritable\nldr x17, [x16, :lo12:.Lwritable]\nadd x16, x16, :lo12:.Lwritable\nbr x17", one(1, "neg_stub", 2))
        self.negative("neg_thunk", "tail call", "mov x16, x5\nbr x16\ndsb sy\nisb")
        self.negative("neg_return", "return", "mov w0, #8\nbr x30", "" if self.bti else one(1, "neg_return", 8))
        labels = "".join(f"{self.label(f'.Lgoto{k}')}\nadd w1, w1, #{k}\nsub w0, w0, #1\ncbz w0, 8f\nand w2, w0, w3\nldr x4, [x9, w2, uxtw #3]\nbr x4\n"
                         for k in range(4))
        self.negative("goto_absolute", "computed goto", "mov w1, #0\nmov w3, #3\ncbz w0, 8f\nadrp x9, .Lgotos\nadd x9, x9, :lo12:.Lgotos\nand w2, w0, w3\n"
                      "ldr x4, [x9, w2, uxtw #3]\nbr x4\n" + labels + "8: mov w0, w1\nret", one(6, "goto_absolute", 9))
        labels = "".join(f"{self.label(f'.Ldiff{k}')}\nadd w1, w1, #{k}\nsub w0, w0, #1\ncbz w0, 8f\nand w2, w0, w3\nldrsw x4, [x9, w2, uxtw #2]\nadd x4, x4, x10\nbr x4\n"
                         for k in range(4))
        self.negative("goto_difference", "computed goto", "mov w1, #0\nmov w3, #3\ncbz w0, 8f\nadrp x9, .Ldiffs\nadd x9, x9, :lo12:.Ldiffs\nadrp x10, .Ldiff0\n"
                      "add x10, x10, :lo12:.Ldiff0\nand w2, w0, w3\nldrsw x4, [x9, w2, uxtw #2]\nadd x4, x4, x10\nbr x4\n" + labels
                      + "8: mov w0, w1\nret", one(6, "goto_difference", 9))
        self.rodata += [".balign 4", ".Loffs: " + "\n".join(f".word leaf{k} - .Loffs" for k in range(5)),
                        ".Ldiffs: " + "\n".join(f".word .Ldiff{k} - .Ldiff0" for k in range(4))]
        self.relro = [".balign 8", ".Lptrs: " + "\n".join(f".xword leaf{k}" for k in range(5)), ".Lgotos: " + "\n".join(f".xword .Lgoto{k}" for k in range(4))]

    def assembly(self) -> str:
        ways = [w for w in WAYS if not (self.pie and w in ("t5", "t6"))]
        for form in FORMS:
            for way in ways:
                self.shape(form, way)
        self.split()
        self.shared()
        self.last_block()
        self.barrier()
        self.look_alikes()
        main = ".globl _start\n.type _start, %function\n_start:\nbti c\nmov w19, #0\n" + "\n".join(self.calls) + "\nmov w0, w19\nmov x8, #93\nsvc #0\nbrk #1\n.size _start, .-_start"
        note = ('.section .note.gnu.property,"a"\n.balign 8\n.word 4, 16, 5\n.asciz "GNU"\n.word 0xc0000000, 4, 1, 0\n' if self.bti else "")
        return "\n".join([".text", *self.text, main, '.section .rodata,"a"', *self.rodata, '.section .data.rel.ro,"aw"', *self.relro,
                          ".data\n.balign 8\n.Lwritable: .xword leaf1", '.section .jttruth,"",%progbits', *self.truth, note]) + "\n"


def build(out: Path, name: str, linker: str = "aarch64-linux-gnu-ld", **options: bool) -> dict[str, object]:
    from elftools.elf.elffile import ELFFile
    out.mkdir(parents=True, exist_ok=True)
    g = Gallery(**options)
    with TemporaryDirectory() as scratch:
        s, o, full = Path(scratch) / "g.s", Path(scratch) / "g.o", out / f"{name}.elf"
        s.write_text(g.assembly())
        run(["aarch64-linux-gnu-as", "-march=armv8.5-a", str(s), "-o", str(o)])
        run([linker, "-static", "-nostdlib", "-e", "_start", str(o), "-o", str(full)])
        with full.open("rb") as f:
            elf = ELFFile(f)
            raw = elf.get_section_by_name(".jttruth").data()
            symbols = list(elf.get_section_by_name(".symtab").iter_symbols())
        names = {x["st_value"]: x.name for x in symbols if x["st_info"]["type"] == "STT_FUNC"}
        kinds = [{"function": x.name, "start": x["st_value"], "end": x["st_value"] + x["st_size"], "kind": g.negatives[x.name]}
                 for x in symbols if g.negatives.get(x.name)]
        truth = {"name": name, "tables": read_truth(b"", raw, names), "negatives": kinds}
        run(["aarch64-linux-gnu-objcopy", "-R", ".jttruth", str(full), str(full)])
        run(["aarch64-linux-gnu-objcopy", "--strip-all", str(full), str(out / f"{name}.stripped.elf")])
    for t in truth["tables"]:
        t["anchor"] = t["anchor"] or None
    (out / f"{name}.json").write_text(json.dumps(truth))
    return truth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    for name, linker, options in (("gallery", "aarch64-linux-gnu-ld", {}), ("gallery-lld", "ld.lld", {}),
                                  ("gallery-bti", "aarch64-linux-gnu-ld", {"bti": True}), ("gallery-nocfi", "aarch64-linux-gnu-ld", {"cfi": False})):
        print(name, len(build(out, name, linker, **options)["tables"]), "tables")


if __name__ == "__main__":
    main()

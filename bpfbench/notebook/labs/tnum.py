"""The laboratory of known bits: two values of four bits, an operation, and every pair of members tried.

Draw two tristate numbers, choose an operation, and see on the number line which results really come out (filled) and
which the verifier must allow although they never do (hollow).  Slides 29 and 34.
"""

from __future__ import annotations

from typing import Any, Final

from bpfbench.errors import NotebookError
from bpfbench.notebook.labs.lab import Lab, Part, bits, choice, line, say, slider, table
from bpfbench.verifier import outcomes, tnum
from bpfbench.verifier.tnum import Tnum

OPERATIONS: Final = ("add", "sub", "mul", "and", "or", "xor", "lsh", "rsh", "arsh")
PRODUCTS: Final = {"linux-6.18": tnum.MUL_UNION, "linux-6.12": tnum.MUL_PARTIAL, "linux-4.18": tnum.MUL_HALF_ADD}


class TnumLab(Lab):
    """See the module text; `inputs`: a, b (strings of 0, 1, x), op, width, kernel (whose product)."""

    title = "Known bits"
    help = "Tab to a bit, arrow keys move between bits, Space or Enter changes 0, 1, x (unknown)."

    def change(self, name: str, value: Any) -> None:
        if name in ("a", "b") and isinstance(value, int):               # the bit that was clicked, from the left
            cells = list(self.inputs[name])
            cells[value] = {"0": "1", "1": "x", "x": "0"}[cells[value]]
            value = "".join(cells)
        super().change(name, value)
        if name == "width":
            width = min(max(self.inputs["width"], 1), 6)
            self.inputs["width"] = width
            for operand in ("a", "b"):
                self.inputs[operand] = self.inputs[operand].rjust(width, "0")[-width:]

    def outcome(self) -> outcomes.BitsOutcome:
        i = self.inputs
        if i["op"] not in OPERATIONS or i["kernel"] not in PRODUCTS:
            raise NotebookError(f"no operation {i['op']} of {i['kernel']}; there are {', '.join(OPERATIONS)}")
        return outcomes.of_bits(i["op"], parse(i["a"]), parse(i["b"]), i["width"], PRODUCTS[i["kernel"]])

    def inputs_only(self) -> list[Part]:
        i = self.inputs
        return [choice("op", "operation", i["op"], list(OPERATIONS)),
                choice("kernel", "product as in", i["kernel"], list(PRODUCTS)),
                slider("width", "bits", i["width"], 2, 6), bits("a", f"a: {values(i['a'])}", i["a"]),
                bits("b", f"b: {values(i['b'])}", i["b"])]

    def parts(self) -> list[Part]:
        found = self.outcome()
        width = self.inputs["width"]
        top = (1 << width) - 1
        symbol = outcomes.ARITHMETIC[self.inputs["op"]][1]
        said, best = show(found.said, width), show(found.best, width)
        allowed = outcomes.members(found.said, width)
        pairs = len(outcomes.members(parse(self.inputs["a"]), width)) * len(
            outcomes.members(parse(self.inputs["b"]), width))
        return [
            *self.inputs_only(),
            bits("said", f"a {symbol} b, as the verifier computes it: {values(said)}", said, editable=False),
            bits("best", f"the best that known bits can say: {values(best)}", best, editable=False),
            line(f"results from 0 to {top}: {len(found.real)} filled (come out), {len(found.extra)} hollow (allowed, never "
                 f"come out)", 0, top, [], [(n, n in found.real) for n in allowed]),
            table("precision", ["", "numbers"], [
                ["pairs tried", str(pairs)],
                ["really come out", _list(found.real)],
                ["allowed as well", _list(found.extra)],
                ["of these lost by the operation, not by known bits as such", _list(found.missed)],
            ]),
            say(_verdict(found), "ok" if found.sound and not found.missed else "bad" if not found.sound else ""),
        ]

    def says(self) -> str:
        found = self.outcome()
        symbol = outcomes.ARITHMETIC[self.inputs["op"]][1]
        extra = f"{len(found.extra)} number{'s' * (len(found.extra) != 1)} too many"
        return f"{self.inputs['op']}: {self.inputs['a']} {symbol} {self.inputs['b']} = " \
               f"{show(found.said, self.inputs['width'])}, {extra}"


def tnum_lab(a: str = "01xx", b: str = "00x1", op: str = "add", kernel: str = "linux-6.18") -> TnumLab:
    """The laboratory with these values: strings of 0, 1 and x, of the same length up to 6.

    >>> tnum_lab("1x", "01", "and")
    TnumLab(and: 1x & 01 = 0x, 0 numbers too many)
    """
    if len(a) != len(b) or not 1 <= len(a) <= 6:
        raise NotebookError(f"'{a}' and '{b}' must have the same length, 1 to 6")
    parse(a), parse(b)
    return TnumLab(a=a, b=b, op=op, width=len(a), kernel=kernel)


def parse(text: str) -> Tnum:
    if not text or set(text) - set("01x"):
        raise NotebookError(f"'{text}' is no tristate number: only 0, 1 and x")
    return int(text.replace("x", "0"), 2), int(text.replace("1", "0").replace("x", "1"), 2)


def show(t: Tnum, width: int) -> str:
    return "".join("x" if t[1] >> i & 1 else str(t[0] >> i & 1) for i in range(width - 1, -1, -1))


def values(text: str) -> str:
    return _list(set(outcomes.members(parse(text), len(text))))


def _list(found: set[int], most: int = 16) -> str:
    shown = sorted(found)
    text = ", ".join(map(str, shown[:most])) + (f", … ({len(shown)})" if len(shown) > most else "")
    return "{" + text + "}"


def _verdict(found: outcomes.BitsOutcome) -> str:
    if not found.sound:
        return "Unsound: something comes out that the result does not allow."
    if not found.extra:
        return "Exact: everything that the result allows comes out."
    if not found.missed:
        return f"Optimal: {len(found.extra)} too many, but no known bits could exclude them."
    return f"Sound, not optimal: known bits could exclude {len(found.missed)} more."

"""The laboratory of ranges: two numbers by their ranges, an operation or comparison, all views of the result.

See how the unsigned, signed and 32-bit ranges and the known bits inform each other, where a sum may wrap and everything
is lost, and what a branch teaches on either side; for small ranges every pair is tried.  Slides 18, 19, 29 to 31.
"""

from __future__ import annotations

from typing import Final

from bpfbench.errors import NotebookError
from bpfbench.notebook.labs.lab import Lab, Part, bits, choice, field, line, say, table
from bpfbench.verifier import outcomes
from bpfbench.verifier.scalar import S32_MAX, S32_MIN, S64_MAX, S64_MIN, U32_MAX, U64_MAX, Scalar, s64
from bpfbench.verifier.words import integer, number

KERNELS: Final = ("linux-6.18", "linux-6.12", "linux-6.1")
OPERATIONS: Final = (*outcomes.ARITHMETIC, *outcomes.COMPARISONS)


class BoundsLab(Lab):
    """See the module text; `inputs`: a, b (`5`, `0..56`, `-8..8`, `any`), op, bits (64 or 32), kernel."""

    title = "Ranges"
    help = "Write a range as 0..56, a number as 5, everything as any; Enter applies."

    def inputs_only(self) -> list[Part]:
        i = self.inputs
        return [field("a", "a", i["a"]), choice("op", "operation", i["op"], list(OPERATIONS)), field("b", "b", i["b"]),
                choice("bits", "bits", i["bits"], ["64", "32"]), choice("kernel", "as in", i["kernel"], list(KERNELS))]

    def operands(self) -> tuple[Scalar, Scalar, bool, str]:
        i = self.inputs
        if i["op"] not in OPERATIONS or i["kernel"] not in KERNELS or i["bits"] not in ("64", "32"):
            raise NotebookError(f"no operation {i['op']} on {i['bits']} bits in {i['kernel']}")
        return parse(i["a"], i["kernel"]), parse(i["b"], i["kernel"]), i["bits"] == "64", i["kernel"]

    def parts(self) -> list[Part]:
        a, b, wide, kernel = self.operands()
        op = self.inputs["op"]
        if op in outcomes.COMPARISONS:
            return [*self.inputs_only(), *_branch(outcomes.of_comparison(op, a, b, wide, kernel), a, b,
                                                  outcomes.COMPARISONS[op][1])]
        found = outcomes.of_ranges(op, a, b, wide, kernel)
        said = found.said
        return [
            *self.inputs_only(),
            _line("as unsigned numbers: a, b, result", [(a.umin, a.umax, "a"), (b.umin, b.umax, "b"),
                                                       (said.umin, said.umax, "c")], found.real, False),
            _line("as signed numbers: a, b, result", [(*outcomes.signed_span(a), "a"), (*outcomes.signed_span(b), "b"),
                                                     (*outcomes.signed_span(said), "c")], found.real, True),
            _views([("a", a), ("b", b), (f"a {outcomes.ARITHMETIC[op][1]} b", said)]),
            *_low_bits(said),
            say(_verdict(found), "bad" if found.outside else ""),
        ]

    def says(self) -> str:
        a, b, wide, kernel = self.operands()
        op = self.inputs["op"]
        if op in outcomes.COMPARISONS:
            found = outcomes.of_comparison(op, a, b, wide, kernel)
            return f"{op}: {('never', 'always')[found.verdict] if found.verdict >= 0 else 'sometimes'} taken"
        return f"{op}: {number(outcomes.of_ranges(op, a, b, wide, kernel).said)}"


def bounds_lab(a: str = "0..56", b: str = "1..8", op: str = "add", bits: str = "64",
               kernel: str = "linux-6.18") -> BoundsLab:
    """The laboratory with these operands.

    >>> bounds_lab("0..56", "1..8")
    BoundsLab(add: a number from 1 to 64)
    >>> bounds_lab("any", "8", "jlt")
    BoundsLab(jlt: sometimes taken)
    """
    lab = BoundsLab(a=a, b=b, op=op, bits=bits, kernel=kernel)
    lab.operands()
    return lab


def parse(text: str, kernel: str = "linux-6.18") -> Scalar:
    """A number or a range as written."""
    text = text.strip()
    if text in ("any", ""):
        return Scalar.unknown()
    low, dots, high = text.partition("..")
    try:
        first = int(low, 0)
        last = int(high, 0) if dots else first
    except ValueError:
        raise NotebookError(f"'{text}' is no range; write 5, 0..56, -8..8 or any") from None
    if first > last or not S64_MIN <= first <= U64_MAX or last > (S64_MAX if first < 0 else U64_MAX):
        raise NotebookError(f"'{text}' is no range of 64-bit numbers")
    return outcomes.between(first, last, kernel)


def _line(label: str, spans: list[tuple[int, int, str]], real: set[int] | None, signed: bool) -> Part:
    """A number line that is just wide enough for what it shows, or all 64 bits wide."""
    low = min(a for a, _, _ in spans)
    high = max(b for _, b, _ in spans)
    points: list[tuple[int, bool]] = []
    if real is not None and len(real) <= 300 and high - low < 1 << 20:
        points = [(s64(n) if signed else n, True) for n in sorted(real)]
        low, high = min([low] + [p for p, _ in points]), max([high] + [p for p, _ in points])
    text = "; ".join(f"{name} from {integer(a)} to {integer(b)}" for a, b, name in
                     [(a, b, {"a": "a", "b": "b", "c": "result"}[kind]) for a, b, kind in spans])
    return line(f"{label} ({text})", low, high, spans, points)


def _views(scalars: list[tuple[str, Scalar]]) -> Part:
    rows: list[list[str]] = []
    marks: dict[int, str] = {}
    for title, low, high, none in (
            ("unsigned", "umin", "umax", (0, U64_MAX)), ("signed", "smin", "smax", (S64_MIN, S64_MAX)),
            ("low half, unsigned", "u32min", "u32max", (0, U32_MAX)),
            ("low half, signed", "s32min", "s32max", (S32_MIN, S32_MAX))):  # fmt: skip
        spans = [(getattr(s, low), getattr(s, high)) for _, s in scalars]
        rows.append([title, *("nothing known" if span == none else f"{integer(span[0])} .. {integer(span[1])}"
                              for span in spans)])
        if spans[-1] == none:
            marks[len(rows) - 1] = "dim"
    rows.append(["known bits", *(f"{s.v:#x}; unknown {s.m:#x}" if s.m else f"{s.v:#x}" for _, s in scalars)])
    return table("what is known", ["view", *(name for name, _ in scalars)], rows, marks)


def _low_bits(s: Scalar) -> list[Part]:
    if s.m >= 1 << 16 or s.v >= 1 << 16:
        return []
    width = max((s.m | s.v).bit_length(), 1)
    cells = "".join("x" if s.m >> i & 1 else str(s.v >> i & 1) for i in range(width - 1, -1, -1))
    return [bits("said", "known bits of the result (zeros above)", cells, editable=False)]


def _verdict(found: outcomes.RangesOutcome) -> str:
    if found.outside:
        return f"Unsound: {len(found.outside)} results are not allowed, e.g. {min(found.outside)}."
    text = f"The verifier knows: {number(found.said)}."
    if found.real is None:
        return text + " There are too many pairs to try."
    lost = found.lost or 0
    return text + f" Of all pairs tried, {len(found.real)} different results come out" + (
        f"; the unsigned range allows {integer(lost)} more." if lost else "; the unsigned range is exact.")


def _branch(found: outcomes.BranchOutcome, a: Scalar, b: Scalar, symbol: str) -> list[Part]:
    verdict = {1: "The jump is always taken.", 0: "The jump is never taken.",
               -1: "Both ways are possible: the path forks."}[found.verdict]
    parts: list[Part] = []
    for title, side in ((f"taken (a {symbol} b)", found.taken), ("not taken", found.passed)):
        if side is None:
            parts.append(say(f"{title}: impossible"))
        else:
            parts += [_line(f"{title}, as unsigned numbers", [(side[0].umin, side[0].umax, "a"),
                                                              (side[1].umin, side[1].umax, "b")], None, False),
                      _views([("a before", a), ("b before", b), (f"a {title}", side[0]), (f"b {title}", side[1])])]
    return [*parts, say(verdict)]



"""The kernel's own verifier tests, read from a kernel source tree that the user supplies.

`tools/testing/selftests/bpf/verifier/*.c` hold tables of programs with the verdict and message that the verifier must
give; `test_verifier.c` beside them says which maps a program gets and fills the long ones.  This module reads the
tables and contains none of them:

    TREE/tools/testing/selftests/bpf/verifier/*.c --c_tables--> fields --> Selftest(program, verdict, message)
    TREE/include/uapi/linux/bpf.h                 --c_tables--> constants, offsets

    bpfbench selftests TREE --prefix "unpriv:"          list, run and compare

Each test becomes a Program, so our verifier and the running kernel can be asked; `compare` gives the agreement table.
Slide 21 browses the tests by the words before the colon of their names: `prefixes`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, final

from bpfbench.errors import BpfbenchError, KernelError, Where
from bpfbench.isa.codec import decode
from bpfbench.kernel import insn_macros, selftest_fills
from bpfbench.kernel.c_tables import Braces, Evaluator, Source
from bpfbench.kernel.insn_macros import Slot
from bpfbench.kernel.selftest_btf import first_types, raw_btf
from bpfbench.program.program import PROG_TYPES, MapSpec, Program

_TESTS: Final = "tools/testing/selftests/bpf"
_ARRAY: Final = (7 * 4).to_bytes(4, "little") + bytes(24) + 0xABCDEF12.to_bytes(4, "little") + bytes(16)

# What a fixup list asks for: field -> type, key, value, entries, flags, BTF key and value type
MAPS: Final[dict[str, tuple[str, int, int, int, int, int, int]]] = {
    "fixup_map_hash_8b":           ("hash",                  8,  8, 1, 0, 0, 0),
    "fixup_map_hash_48b":          ("hash",                  8, 48, 1, 0, 0, 0),
    "fixup_map_hash_16b":          ("hash",                  8, 16, 1, 0, 0, 0),
    "fixup_map_array_48b":         ("array",                 4, 48, 1, 0, 0, 0),
    "fixup_map_sockmap":           ("sockmap",               4,  4, 1, 0, 0, 0),
    "fixup_map_sockhash":          ("sockhash",              4,  4, 1, 0, 0, 0),
    "fixup_map_xskmap":            ("xskmap",                4,  4, 1, 0, 0, 0),
    "fixup_map_stacktrace":        ("stack_trace",           4,  8, 1, 0, 0, 0),
    "fixup_prog1":                 ("prog_array",            4,  4, 4, 0, 0, 0),
    "fixup_prog2":                 ("prog_array",            4,  4, 8, 0, 0, 0),
    "fixup_map_in_map":            ("array_of_maps",         4,  4, 1, 0, 0, 0),
    "fixup_cgroup_storage":        ("cgroup_storage",       16, 64, 0, 0, 0, 0),
    "fixup_percpu_cgroup_storage": ("percpu_cgroup_storage", 16, 64, 0, 0, 0, 0),
    "fixup_map_spin_lock":         ("array",                 4,  8, 1, 0, 1, 3),
    "fixup_map_array_ro":          ("array",                 4, 48, 1, 1 << 7, 0, 0),
    "fixup_map_array_wo":          ("array",                 4, 48, 1, 1 << 8, 0, 0),
    "fixup_map_array_small":       ("array",                 4,  1, 1, 0, 0, 0),
    "fixup_sk_storage_map":        ("sk_storage",            4,  8, 0, 1, 1, 3),
    "fixup_map_event_output":      ("perf_event_array",      4,  4, 1, 0, 0, 0),
    "fixup_map_reuseport_array":   ("reuseport_sockarray",   4,  8, 1, 0, 0, 0),
    "fixup_map_ringbuf":           ("ringbuf",               0,  0, 4096, 0, 0, 0),
    "fixup_map_timer":             ("array",                 4, 16, 1, 0, 1, 5),
    "fixup_map_kptr":              ("array",                 4, 24, 1, 0, 1, 14),
}
_FILLED: Final = frozenset(("fixup_map_array_48b", "fixup_map_array_ro", "fixup_map_array_wo"))
_STRICT_ALIGNMENT: Final = 1
_ANY_ALIGNMENT: Final = 2
_RANDOM_HIGH: Final = 4
_RESULTS: Final = {1: "accept", 2: "reject", 3: "accept"}
_POINTER_VALUE: Final = 0xCAFE4A


@final
class Selftest:
    """One test: `name`, `file`, the `program`, and what the table expects.

    `expected` / `expected_unpriv` are "accept", "reject" or "" (not said); `message` / `message_unpriv` lists of
    strings that must occur in the log in this order; `retval` None when any value will do; `needs` why it cannot be run
    everywhere ("attach target", "kfunc"), empty for most.
    """

    __slots__ = ("name", "file", "index", "program", "expected", "message", "expected_unpriv", "message_unpriv",
                 "retval", "data", "needs", "insns_processed")

    def __init__(self, name: str, file: str, index: int, program: Program) -> None:
        self.name = name
        self.file = file
        self.index = index
        self.program = program
        self.expected = ""
        self.message: list[str] = []
        self.expected_unpriv = ""
        self.message_unpriv: list[str] = []
        self.retval: int | None = None
        self.data = b""
        self.needs: list[str] = []
        self.insns_processed = 0

    @property
    def prefix(self) -> str:
        """The words before the first colon, which is how the tests are grouped; "" without a colon."""
        head, colon, _ = self.name.partition(":")
        return head if colon else ""

    def __repr__(self) -> str:
        return f"Selftest({self.name!r}, {self.program.type}, {self.expected})"


def read(tree: str | Path, seed: int = 1) -> list[Selftest]:
    """All tests of a kernel source tree, in the order of the kernel's test runner (files by name).

    `seed` drives the tables that are filled with random numbers.  Raises KernelError when the tree has no such tests.
    """
    return list(read_lazily(tree, seed))


def read_lazily(tree: str | Path, seed: int = 1) -> Iterator[Selftest]:
    """As `read`, one file at a time."""
    folder = Path(tree) / _TESTS
    files = sorted((folder / "verifier").glob("*.c"))
    if not files:
        raise KernelError(f"no verifier tests in {tree}: there is no {_TESTS}/verifier/*.c", Where(str(tree)))
    source = vocabulary(Path(tree))
    btf = _map_btf(source, folder / "test_verifier.c")
    index = 0
    for path in files:
        for table in _tables(source, _text(path), path.name):
            yield _selftest(table, path.name, index, btf, seed)
            index += 1


def read_text(text: str, file: str = "table.c") -> list[Selftest]:
    """Tests of a table of one's own, in the kernel's notation and without what the headers of a tree define.

    >>> read_text('{ "mine: nothing", .insns = { BPF_EXIT_INSN(), }, .result = REJECT, .errstr = "R0 !read_ok" },')
    [Selftest('mine: nothing', socket_filter, reject)]
    """
    tables = _tables(vocabulary(None), text, file)
    return [_selftest(table, file, index, b"", 1) for index, table in enumerate(tables)]


def vocabulary(tree: Path | None) -> Source:
    """Everything a table may use: constants and structures from the tree's headers, macros of its test runner."""
    fills: dict[str, Callable[..., object]] = {f"bpf_fill_{name}": (lambda n=name: n) for name in selftest_fills.FILLS}
    source = Source({**insn_macros.MACROS, **fills})
    source.constants.update(insn_macros.constants())
    source.macros.clear()
    for header in ("include/uapi/linux/bpf.h", "include/uapi/linux/bpf_perf_event.h", "include/uapi/linux/btf.h",
                   "include/uapi/linux/xdp_diag.h", f"{_TESTS}/test_btf.h", f"{_TESTS}/test_verifier.c"):
        path = tree / header if tree is not None else None
        if path is not None and path.is_file():
            source.learn(_text(path), str(path))
    source.constants.update({"UNDEF": 0, "ACCEPT": 1, "REJECT": 2, "VERBOSE_ACCEPT": 3})
    source.constants.update(insn_macros.constants())
    return source


def prefixes(tests: Iterable[Selftest]) -> dict[str, int]:
    """How many tests each prefix has, most first; slide 21."""
    counts: dict[str, int] = {}
    for test in tests:
        counts[test.prefix] = counts.get(test.prefix, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def select(tests: Iterable[Selftest], prefix: str) -> list[Selftest]:
    """Tests whose name begins with these words."""
    return [test for test in tests if test.name.startswith(prefix)]


# Comparing ------------------------------------------------------------------------------------------------------------

@final
class Answer:
    """What one verifier says: `accepted`, last error `message`, `processed`; `error` when it could not be asked."""

    __slots__ = ("accepted", "message", "messages", "processed", "error")

    def __init__(self, accepted: bool, message: str, messages: list[str], processed: int | None,
                 error: str = "") -> None:
        self.accepted = accepted
        self.message = message
        self.messages = messages
        self.processed = processed
        self.error = error

    @property
    def verdict(self) -> str:
        return "error" if self.error else "accept" if self.accepted else "reject"

    def __repr__(self) -> str:
        return f"Answer({self.verdict}: {self.error or self.message})"


@final
class Row:
    """One line of the agreement table: the `test`, `ours` and the `kernel`'s answer (None when not asked)."""

    __slots__ = ("test", "ours", "kernel")

    def __init__(self, test: Selftest, ours: Answer | None, kernel: Answer | None) -> None:
        self.test = test
        self.ours = ours
        self.kernel = kernel

    @property
    def same_verdict(self) -> bool:
        return self.ours is not None and self.kernel is not None and self.ours.verdict == self.kernel.verdict

    @property
    def same_message(self) -> bool:
        return self.same_verdict and self.ours is not None and self.kernel is not None \
            and self.ours.message == self.kernel.message


def ask_kernel(test: Selftest, privileged: bool = True) -> Answer:
    """The running kernel's answer."""
    from bpfbench.kernel.verify import verify

    try:
        verdict = verify(test.program, 0, privileged)
    except BpfbenchError as e:
        return Answer(False, "", [], None, str(e))
    return Answer(verdict.accepted, verdict.message or "", verdict.messages, verdict.insns_processed)


def ask_ours(test: Selftest, kernel: str = "linux-6.18", privileged: bool = True) -> Answer:
    """Our verifier's answer for a kernel profile."""
    from bpfbench.verifier.verification import verify

    try:
        result = verify(test.program, kernel=kernel, privileged=privileged)
    except BpfbenchError as e:
        return Answer(False, "", [], None, str(e))
    message = "" if result.accepted or result.rejection is None else result.rejection.message
    messages = result.rejection.messages if result.rejection is not None else []
    return Answer(result.accepted, message, messages, result.stats.processed)


def compare(tests: Iterable[Selftest], kernel: str = "linux-6.18", privileged: bool = True, live: bool = True,
            limit: int = 100_000) -> Iterator[Row]:
    """Ask both for each test (the kernel only if `live`); programs above `limit` slots are not asked of ours."""
    for test in tests:
        ours = ask_ours(test, kernel, privileged) if len(test.program) <= limit else None
        yield Row(test, ours, ask_kernel(test, privileged) if live else None)


def as_expected(test: Selftest, answer: Answer, unprivileged: bool = False) -> bool:
    """Whether an answer is what the table says: the verdict, and for a rejection the pieces of its message, in order.

    Source: test_verifier.c `do_test_single`, `cmp_str_seq`.
    """
    expected = (unprivileged and test.expected_unpriv) or test.expected
    wanted = (unprivileged and test.message_unpriv) or test.message
    if answer.verdict != expected:
        return False
    return expected == "accept" or _in_order(wanted, "\n".join(answer.messages))


def _in_order(pieces: list[str], text: str) -> bool:
    """Does each piece stand behind the one before it?"""
    at = 0
    for piece in pieces:
        at = text.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return True


def summary(rows: Iterable[Row]) -> dict[str, int]:
    """Counts: tests, same verdict, rejected by the kernel, same message among these, wrongly accepted."""
    counts = {"tests": 0, "same_verdict": 0, "rejected": 0, "same_message": 0, "wrongly_accepted": 0, "not_asked": 0}
    for row in rows:
        if row.ours is None or row.kernel is None or row.kernel.error:
            counts["not_asked"] += 1
            continue
        counts["tests"] += 1
        counts["same_verdict"] += row.same_verdict
        if row.kernel.verdict == "reject":
            counts["rejected"] += 1
            counts["same_message"] += row.same_message
            counts["wrongly_accepted"] += row.ours.verdict == "accept"
    return counts


# Tables to tests ------------------------------------------------------------------------------------------------------

def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as e:
        raise KernelError(f"cannot read: {e.strerror}", Where(str(path))) from None


def _tables(source: Source, text: str, file: str) -> Iterator[Braces]:
    """The brace initialisers of one file."""
    reader = Evaluator(source, source.read(text, file), file)
    while reader.at < len(reader.tokens):
        yield reader.braces()
        if reader.peek() == ",":
            reader.take()


def _selftest(table: Braces, file: str, index: int, map_btf: bytes, seed: int) -> Selftest:
    fields = table.fields()
    positional = [value for key, value in table.items if key == ""]
    name = str(fields.get("descr", positional[0] if positional else ""))
    number = _int(fields.get("prog_type"))
    kind = PROG_TYPES[number] if 0 < number < len(PROG_TYPES) else "socket_filter"
    slots, retval = _slots(fields, seed)
    maps, needs = _fix_up(fields, slots, name)
    attach = _int(fields.get("expected_attach_type"))
    program = Program(decode(_raw(slots), strict=False), kind, name, "GPL", maps, attach)
    test = Selftest(name, file, index, program)
    test.needs = needs
    _beside(program, fields, map_btf, slots)
    _expectations(test, fields, retval)
    if isinstance(fields.get("kfunc"), str):
        program.attach_to = str(fields["kfunc"])
        test.needs.append("attach target")
    return test


def _slots(fields: dict[str, object], seed: int) -> tuple[list[Slot], int | None]:
    """The instructions (trailing empty slots dropped, as the runner does) and the return value a fill computed."""
    fill = fields.get("fill_helper")
    if isinstance(fill, str):
        return selftest_fills.FILLS[fill.removeprefix("bpf_fill_")](_first_retval(fields), seed)
    slots = _flatten(fields.get("insns"))
    while len(slots) > 1 and slots[-1][0] == 0 and slots[-1][4] == 0:
        slots.pop()
    return slots or [(0, 0, 0, 0, 0)], None


def _flatten(value: object) -> list[Slot]:
    if isinstance(value, list):
        return list(value)
    if not isinstance(value, Braces):
        return []
    names = value.fields()
    if "code" in names:
        return insn_macros.slot(*(_int(names.get(key)) for key in ("code", "dst_reg", "src_reg", "off", "imm")))
    return [slot for _, item in value.items for slot in _flatten(item)]


def _raw(slots: list[Slot]) -> bytes:
    return b"".join(struct.pack("<BBhi", code, dst | src << 4, off, imm) for code, dst, src, off, imm in slots)


def _fix_up(fields: dict[str, object], slots: list[Slot], name: str) -> tuple[list[MapSpec], list[str]]:
    """Create the maps that the test asks for, point its loads at them; all other map loads point nowhere."""
    maps: list[MapSpec] = []
    placed: dict[int, int] = {}
    for field, (kind, key, value, entries, flags, btf_key, btf_value) in MAPS.items():
        places = [_int(item) for _, item in _items(fields.get(field)) if _int(item)]
        if not places:
            continue
        placed.update({at: len(maps) for at in places})
        spec = MapSpec(kind, key, value, entries, flags, field.removeprefix("fixup_")[:15])
        spec.btf_key, spec.btf_value = btf_key, btf_value
        spec.contents = _ARRAY if field in _FILLED else None
        spec.inner = MapSpec("array", 4, 4, 1) if kind == "array_of_maps" else None
        maps.append(spec)
    for at, (code, dst, src, off, imm) in enumerate(slots):
        if at in placed:
            slots[at] = (code, dst, src, off, placed[at])
        elif code == 0x18 and src in (1, 2) and imm >= 0:
            slots[at] = (code, dst, src, off, -1)
    needs = ["kfunc"] if fields.get("fixup_kfunc_btf_id") is not None else []
    return maps, needs


def _beside(program: Program, fields: dict[str, object], map_btf: bytes, slots: list[Slot]) -> None:
    """BTF, function records and load flags."""
    wanted = max((spec.btf_value for spec in program.maps), default=0)
    if wanted:
        program.btf = first_types(map_btf, wanted)
    if fields.get("btf_types") is not None:
        types = [_int(item) & 0xFFFFFFFF for _, item in _items(fields["btf_types"])]
        if 0xDEADBEEF in types:
            types = types[:types.index(0xDEADBEEF)]
        program.btf = raw_btf(types, str(fields.get("btf_strings", "")).encode("latin-1").ljust(256, b"\0"))
    records = [[_int(number) for _, number in _items(item)] for _, item in _items(fields.get("func_info"))]
    records = records[:_int(fields.get("func_info_cnt"))]
    if isinstance(fields.get("fill_helper"), str) and len(records) > 1:
        records[1][0] = len(slots) - 2                      # the callback stands last
    program.func_info = b"".join(struct.pack("<II", *(pair + [0, 0])[:2]) for pair in records)
    flags = _int(fields.get("flags"))
    program.flags = _RANDOM_HIGH | (_STRICT_ALIGNMENT if flags & 2 else 0) | (_ANY_ALIGNMENT if flags & 1 else 0)
    program.flags |= flags if flags & ~3 else 0


def _expectations(test: Selftest, fields: dict[str, object], retval: int | None) -> None:
    test.expected = _RESULTS.get(_int(fields.get("result")), "")
    test.expected_unpriv = _RESULTS.get(_int(fields.get("result_unpriv")), "")
    test.message = [part for part in str(fields.get("errstr") or "").split("\t") if part]
    test.message_unpriv = [part for part in str(fields.get("errstr_unpriv") or "").split("\t") if part]
    test.insns_processed = _int(fields.get("insn_processed"))
    value = _first_retval(fields) if retval is None else retval
    test.retval = None if value == _POINTER_VALUE else value & 0xFFFFFFFF
    content = fields.get("data")
    if isinstance(content, Braces):
        test.data = bytes(_int(item) & 0xFF for _, item in content.items).ljust(64, b"\0")


def _first_retval(fields: dict[str, object]) -> int:
    value = fields.get("retval")
    if value is None and isinstance(fields.get("retvals"), Braces):
        first = _items(fields["retvals"])[:1]
        value = first[0][1].fields().get("retval") if first and isinstance(first[0][1], Braces) else 0
    return _int(value)


def _items(value: object) -> list[tuple[str, object]]:
    return value.items if isinstance(value, Braces) else []


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


_STRINGS: Final = re.compile(r"btf_str_sec\[\]\s*=\s*((?:\"[^;]*\")\s*)+;", re.DOTALL)
_TYPES: Final = re.compile(r"btf_raw_types\[\]\s*=\s*(\{.*?\});", re.DOTALL)


def _map_btf(source: Source, path: Path) -> bytes:
    """The BTF that the runner gives its maps, evaluated from the tree's own table; empty when it has none."""
    text = _text(path) if path.is_file() else ""
    strings, types = _STRINGS.search(text), _TYPES.search(text)
    if strings is None or types is None:
        return b""
    words = Evaluator(source, source.read(types.group(1), path.name), path.name).braces()
    literal = Evaluator(source, source.read(strings.group(0).split("=", 1)[1], path.name), path.name).expression()
    return raw_btf([_int(item) & 0xFFFFFFFF for _, item in words.items], str(literal).encode("latin-1") + b"\0")

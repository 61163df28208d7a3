"""A program: slot-indexed instructions, and beside them everything that is not encoded in them.

`Program` is what every stage is handed.  Its instructions are numbered by slot, so that a jump target is always
`pc + 1 + off`; the second slot of a wide load is `None`.  What the instructions do not encode lives in side tables:
maps, symbols, source lines, BTF.

A reference to a map is a wide load whose `imm` is the index into `maps` (LDDW_MAP_FD the map itself, LDDW_MAP_VALUE
its first value plus `imm2`).

The JSON form is the interchange format of the library, the data sets and recordings:

    {"name", "category"?, "prog_type", "expected_attach_type"?, "license", "insns": hex of 8-byte little-endian slots,
     "maps": [{"type", "key_size", "value_size", "max_entries", "flags", "inner"?}], "btf"?: hex, "func_info"?: hex}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, final

from bpfbench.errors import BpfbenchError, ProgramError, Where
from bpfbench.isa.codec import SLOT, decode, encode
from bpfbench.isa.insn import Instruction
from bpfbench.listing import Listing, Row

# include/uapi/linux/bpf.h, enum bpf_prog_type, in numeric order and lower case
PROG_TYPES: Final = (
    "unspec socket_filter kprobe sched_cls sched_act tracepoint xdp perf_event cgroup_skb cgroup_sock lwt_in lwt_out "
    "lwt_xmit sock_ops sk_skb cgroup_device sk_msg raw_tracepoint cgroup_sock_addr lwt_seg6local lirc_mode2 "
    "sk_reuseport flow_dissector cgroup_sysctl raw_tracepoint_writable cgroup_sockopt tracing struct_ops ext lsm "
    "sk_lookup syscall netfilter"
).split()
PROG_TYPE_IDS: Final = {name: number for number, name in enumerate(PROG_TYPES)}

# the same header, enum bpf_map_type
MAP_TYPES: Final = (
    "unspec hash array prog_array perf_event_array percpu_hash percpu_array stack_trace cgroup_array lru_hash "
    "lru_percpu_hash lpm_trie array_of_maps hash_of_maps devmap sockmap cpumap xskmap sockhash cgroup_storage "
    "reuseport_sockarray percpu_cgroup_storage queue stack sk_storage devmap_hash struct_ops ringbuf inode_storage "
    "task_storage bloom_filter user_ringbuf cgrp_storage arena insn_array"
).split()
MAP_TYPE_IDS: Final = {name: number for number, name in enumerate(MAP_TYPES)}

MAX_SLOTS: Final = 1 << 22        # far above what any kernel takes; keeps hostile input from eating memory


@final
class MapSpec:
    """What is needed to create a map.

    `type` is a name of `MAP_TYPES`; sizes are bytes; `inner` is the template of a map of maps; `contents` the initial
    bytes of a data section's map; `frozen` says that user space can no longer write it; `btf_key`/`btf_value` are type
    ids in the program's BTF; `pinning` is libbpf's attribute, noted and never acted on.
    """

    __slots__ = (
        "name", "type", "key_size", "value_size", "max_entries", "flags", "inner", "contents", "frozen", "pinning",
        "btf_key", "btf_value", "extra", "inner_values",
    )  # fmt: skip

    def __init__(
        self, type: str, key_size: int, value_size: int, max_entries: int, flags: int = 0, name: str = "",
        inner: MapSpec | None = None, contents: bytes | None = None, frozen: bool = False, pinning: int = 0,
        btf_key: int = 0, btf_value: int = 0, extra: int = 0,
    ) -> None:  # fmt: skip
        self.type = type
        self.key_size = key_size
        self.value_size = value_size
        self.max_entries = max_entries
        self.flags = flags
        self.name = name
        self.inner = inner
        self.contents = contents
        self.frozen = frozen
        self.pinning = pinning
        self.btf_key = btf_key
        self.btf_value = btf_value
        self.extra = extra
        self.inner_values: list[str] = []        # names of maps or programs that initialise the slots

    def __repr__(self) -> str:
        named = f"{self.name}: " if self.name else ""
        return f"MapSpec({named}{self.type}, key {self.key_size}, value {self.value_size}, {self.max_entries} entries)"

    def to_json(self) -> dict[str, Any]:
        record: dict[str, Any] = {
            "type": self.type, "key_size": self.key_size, "value_size": self.value_size,
            "max_entries": self.max_entries, "flags": self.flags,
        }  # fmt: skip
        if self.name:
            record["name"] = self.name
        if self.inner is not None:
            record["inner"] = self.inner.to_json()
        if self.contents is not None:
            record["contents"] = self.contents.hex()
        for key in ("frozen", "pinning", "btf_key", "btf_value", "extra"):
            if getattr(self, key):
                record[key] = getattr(self, key)
        return record

    @staticmethod
    def from_json(record: object, where: Where | None = None) -> MapSpec:
        """A map from its JSON object; `ProgramError` names the key that is missing or wrong."""
        fields = _Fields(record, where, "map")
        inner = fields.optional("inner")
        contents = fields.text("contents", "")
        return MapSpec(
            fields.text("type"), fields.number("key_size"), fields.number("value_size"), fields.number("max_entries"),
            fields.number("flags", 0), fields.text("name", ""),
            MapSpec.from_json(inner, where) if inner is not None else None,
            fields.hex("contents") if contents or fields.has("contents") else None,
            bool(fields.optional("frozen")), fields.number("pinning", 0), fields.number("btf_key", 0),
            fields.number("btf_value", 0), fields.number("extra", 0),
        )  # fmt: skip


@final
class SourceLine:
    """A line of the C source: file, line and column (from 1), and its text if known."""

    __slots__ = ("file", "line", "column", "text")

    def __init__(self, file: str, line: int, column: int = 0, text: str = "") -> None:
        self.file = file
        self.line = line
        self.column = column
        self.text = text

    def __repr__(self) -> str:
        return f"{self.file}:{self.line}" + (f" {self.text.strip()!r}" if self.text else "")


@final
class Program:
    """Slot-indexed instructions with the side tables they refer to.

    `type`      a name of `PROG_TYPES` ("xdp", "sched_cls", …);  `attach_type` the number of enum bpf_attach_type
    `insns`     one entry per slot, `None` for the second slot of a wide load
    `maps`      what LDDW_MAP_* indices refer to
    `symbols`   name -> pc of functions;  `lines` pc -> source line, valid until the next entry
    `btf`, `func_info`, `line_info`   raw, as bpf(2) takes them
    `attach_to` what the section name says about the attach point ("sched/sched_switch"), "" if nothing
    `ifindex`   not 0: loaded for the card of that network interface, which executes it
    """

    __slots__ = (
        "name", "type", "attach_type", "license", "section", "insns", "maps", "symbols", "lines", "btf", "func_info",
        "line_info", "attach_to", "category", "flags", "comments", "ifindex",
    )  # fmt: skip

    def __init__(
        self, insns: list[Instruction | None], type: str = "xdp", name: str = "prog", license: str = "GPL",
        maps: list[MapSpec] | None = None, attach_type: int = 0, section: str = "",
    ) -> None:  # fmt: skip
        self.name = name
        self.type = type
        self.attach_type = attach_type
        self.license = license
        self.section = section
        self.insns = insns
        self.maps: list[MapSpec] = maps if maps is not None else []
        self.symbols: dict[str, int] = {}
        self.lines: dict[int, SourceLine] = {}
        self.comments: dict[int, str] = {}
        self.btf = b""
        self.func_info = b""
        self.line_info = b""
        self.attach_to = ""
        self.category = ""
        self.flags = 0
        self.ifindex = 0

    @property
    def raw(self) -> bytes:
        """The instructions as 8-byte little-endian slots."""
        return encode(self.insns)

    def __len__(self) -> int:
        return len(self.insns)

    def __repr__(self) -> str:
        return f"Program({self.name}, {self.type}, {len(self.insns)} slots, {len(self.maps)} maps)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Program) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash((self.name, self.type, len(self.insns)))

    def source_line(self, pc: int) -> SourceLine | None:
        """The C line that the instruction at `pc` came from, if the object had line information."""
        while pc >= 0:
            if pc in self.lines:
                return self.lines[pc]
            pc -= 1
        return None

    def listing(self, notation: str = "kernel") -> Listing:
        """Rows of slot number, bytes and text, with the C line as a note where a new one begins."""
        from bpfbench.isa.text import format_insn

        rows: list[Row] = []
        for pc, insn in enumerate(self.insns):
            if insn is None:
                continue
            line = self.lines.get(pc)
            note = f"{line.file}:{line.line}  {line.text.strip()}" if line is not None else self.comments.get(pc, "")
            rows.append(Row(pc, encode([insn]), format_insn(insn, notation), pc, note))
        return Listing(self.name, rows)

    def to_json(self) -> dict[str, Any]:
        """The interchange form; `Program.from_json(p.to_json()) == p`."""
        record: dict[str, Any] = {"name": self.name}
        if self.category:
            record["category"] = self.category
        record["prog_type"] = self.type
        if self.attach_type:
            record["expected_attach_type"] = self.attach_type
        record["license"] = self.license
        record["insns"] = self.raw.hex()
        record["maps"] = [m.to_json() for m in self.maps]
        for key in ("btf", "func_info", "line_info"):
            if getattr(self, key):
                record[key] = getattr(self, key).hex()
        if self.attach_to:
            record["attach_to"] = self.attach_to
        if self.flags:
            record["prog_flags"] = self.flags
        return record

    @staticmethod
    def from_json(record: object, where: Where | None = None) -> Program:
        """A program from its JSON object (or JSON text); flawed instructions are kept for a verifier to refuse.

        Raises `ProgramError` naming the key that is missing or wrong.

        >>> Program.from_json({"name": "p", "prog_type": "xdp", "insns": "b7000000020000009500000000000000"})
        Program(p, xdp, 2 slots, 0 maps)
        """
        if isinstance(record, (str, bytes)):
            try:
                record = json.loads(record)
            except (ValueError, RecursionError) as error:
                raise ProgramError(f"not JSON: {error}", where) from None
        fields = _Fields(record, where, "program")
        raw = fields.hex("insns")
        if len(raw) % SLOT:
            raise ProgramError(f"'insns' has {len(raw)} bytes, not a multiple of {SLOT}", where)
        if len(raw) // SLOT > MAX_SLOTS:
            raise ProgramError(f"'insns' has {len(raw) // SLOT} slots; the limit is {MAX_SLOTS}", where)
        program = Program(
            decode(raw, strict=False), fields.prog_type("prog_type", "xdp"), fields.text("name", "prog"),
            fields.text("license", "GPL"), [MapSpec.from_json(m, where) for m in fields.list("maps")],
            fields.number("expected_attach_type", 0),
        )  # fmt: skip
        program.category = fields.text("category", "")
        program.btf = fields.hex("btf", optional=True)
        program.func_info = fields.hex("func_info", optional=True)
        program.line_info = fields.hex("line_info", optional=True)
        program.attach_to = fields.text("attach_to", "")
        program.flags = fields.number("prog_flags", 0)
        return program


class _Fields:
    """Typed access to a JSON object, with one clear error."""

    def __init__(self, record: object, where: Where | None, what: str) -> None:
        if not isinstance(record, Mapping):
            raise ProgramError(f"a {what} must be a JSON object, not {_kind(record)}", where)
        self.record: Mapping[str, object] = record
        self.where = where
        self.what = what

    def wrong(self, key: str, wanted: str) -> BpfbenchError:
        found = _kind(self.record[key]) if key in self.record else "nothing"
        return ProgramError(f"{self.what} key '{key}' must be {wanted}, not {found}", self.where)

    def has(self, key: str) -> bool:
        return key in self.record

    def optional(self, key: str) -> object:
        return self.record.get(key)

    def prog_type(self, key: str, default: str) -> str:
        """A name of `PROG_TYPES`, or its number."""
        number = self.record.get(key)
        if isinstance(number, int) and not isinstance(number, bool) and 0 < number < len(PROG_TYPES):
            return PROG_TYPES[number]
        return self.text(key, default)

    def text(self, key: str, default: str | None = None) -> str:
        value = self.record.get(key, default)
        if not isinstance(value, str):
            raise self.wrong(key, "a string")
        return value

    def number(self, key: str, default: int | None = None) -> int:
        value = self.record.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 64:
            raise self.wrong(key, "a number from 0 to 2^64 - 1")
        return value

    def list(self, key: str) -> list[object]:
        value = self.record.get(key, [])
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong(key, "a list")
        return value

    def hex(self, key: str, optional: bool = False) -> bytes:
        value = self.record.get(key, "" if optional else None)
        try:
            return bytes.fromhex(value if isinstance(value, str) else "?")
        except ValueError:
            raise self.wrong(key, "hex digits") from None


def _kind(value: object) -> str:
    return {dict: "an object", list: "a list", str: "a string", int: "a number", float: "a number",
            bool: "a truth value", type(None): "null"}.get(type(value), type(value).__name__)  # fmt: skip


def from_assembly(text: str, type: str = "xdp", name: str = "prog", license: str = "GPL", file: str = "") -> Program:
    """Assemble `text` (grammar in `isa/assembler.py`) to a program; directives in the text win over the arguments.

    >>> from_assembly("r0 = 2\\nexit")
    Program(prog, xdp, 2 slots, 0 maps)
    """
    from bpfbench.isa.assembler import assemble_text

    assembly = assemble_text(text, file)
    maps = [MapSpec(kind, key, value, n, flags, label) for label, kind, key, value, n, flags in assembly.maps]
    program = Program(assembly.insns, assembly.type or type, name, assembly.license or license, maps)
    program.symbols = {label: assembly.labels[label] for label in assembly.functions}
    program.comments = assembly.comments
    return program

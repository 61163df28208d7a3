"""What the code generator is told about each instruction, and the list that the passes work on.

A `Note` holds what is known from verification, a `Step` is one instruction of the private list: the passes mark it as
removed, change its operands, or make it the head of a gathered copy or of a cached range of the packet.
Source: `struct nfp_insn_meta` and `struct nfp_prog` of the driver's bpf/main.h.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, final

from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction

U64: Final = (1 << 64) - 1
WORD_BITS: Final = 32


@final
class Note:
    """Facts about one instruction, over all paths.

    `ptr`            class of the pointer of a load, store or atomic: "ctx", "stack", "packet", "map_value" or ""
    `off`            fixed part of that pointer: from the top of the frame, or from the start of the packet
    `id`             packet pointers: only those with the same number can be compared
    `places`         (id, off) of a packet pointer at each visit: what `id` and `off` say holds on the last one only
    `varies`         stack pointer with several offsets;  `foreign`: it points into a caller's frame
    `src_min` ..     unsigned ranges of the operands
    `fits`           both operands of a 64-bit comparison have an upper half of 0
    `zext`           a later 64-bit use needs the upper half of this 32-bit result to be 0
    `add_over` `add_small`   the operand of an atomic add may exceed, may fit 16 bits
    `key_off`        stack offset of the key of a map helper;  `data_ptr`: class of the data of an event
    `skip`           why the verifier removed it: "dead", "nop", "never taken", "over dead code" or ""
    """

    __slots__ = ("ptr", "off", "id", "places", "varies", "foreign", "src_min", "src_max", "dst_max", "fits", "zext",
                 "add_over", "add_small", "key_off", "key_varies", "data_ptr", "skip", "subprog", "delta")  # fmt: skip

    def __init__(self) -> None:
        self.ptr = ""
        self.off = 0
        self.id = 0
        self.places: list[tuple[int, int]] = []
        self.varies = False
        self.foreign = False
        self.src_min = 0
        self.src_max = U64
        self.dst_max = U64
        self.fits = False
        self.zext = False
        self.add_over = False
        self.add_small = False
        self.key_off: int | None = None
        self.key_varies = False
        self.data_ptr = ""
        self.skip = ""
        self.subprog = 0
        self.delta: int | None = None

    def distances(self, other: Note) -> set[int] | None:
        """How far this packet pointer can lie behind another of the same block; None when a path leaves it open."""
        if not self.places or len(self.places) != len(other.places):
            return None
        pairs = list(zip(self.places, other.places))
        return None if any(a[0] != b[0] for a, b in pairs) else {a[1] - b[1] for a, b in pairs}

    @property
    def amount(self) -> int | None:
        """The one value that the source register can have, None if there are several."""
        return self.src_max if self.src_min == self.src_max else None


@final
class Device:
    """What the card and its firmware are like, and per function the stack and whether R6-R9 have to be saved.

    `single_head`  slot of the only call of adjust_head when its short form is allowed, else -1
    `head_min`, `head_max`  limits of the packet's start within its buffer
    `maps`         number of a map on the device by its number in the program
    """

    __slots__ = ("depths", "saves", "single_head", "head_min", "head_max", "maps", "xdp")

    def __init__(self, xdp: bool, depths: list[int], saves: list[bool]) -> None:
        self.xdp = xdp
        self.depths = depths
        self.saves = saves
        self.single_head = -1
        self.head_min = 8
        self.head_max = 200
        self.maps: dict[int, int] = {}


@final
class Copy:
    """A gathered copy: `length` bytes from offset `load` of the head's pointer to offset `store` of `target`'s.

    `width`  bytes of the last element, which the data register holds afterwards;  `zext` and of which a 64-bit use reads
    the upper half;  `live`: somebody reads it at all
    """

    __slots__ = ("length", "load", "store", "target", "descending", "width", "zext", "live")

    def __init__(
        self, length: int, load: int, store: int, target: int, descending: bool, width: int, zext: bool
    ) -> None:
        self.length = length
        self.load = load
        self.store = store
        self.target = target
        self.descending = descending
        self.width = width
        self.zext = zext
        self.live = True


@final
class Step:
    """One instruction of the list that the passes work on.

    `removed`   "" or why there is no code for it;  `merged`: removed because of its predecessor, so not a jump target
    `negated`   a comparison with the negated constant     `copy`   the gathered copy that it heads
    `cache`     (start, end) of the packet bytes in transfer registers, None when not cached;  `reads` them
    `zext`      a 32-bit result has to clear the upper half;   `wide`  somebody needs the upper half of the result
    `low`       a 64-bit comparison of values that fit 32 bits
    `extend`    "zero" or "sign": a 32-bit shift that stands for two of 64 bits and fills the upper half with this
    `bytes`     the mask of an AND cuts through no byte: ld_field can do it
    `slot`      number of the spill slot that a store or load of the stack is about, behind those of the registers, or -1
    """

    __slots__ = ("pc", "insn", "note", "target", "function", "removed", "merged", "negated", "copy", "cache", "reads",
                 "zext", "wide", "low", "extend", "bytes", "slot")  # fmt: skip

    def __init__(self, pc: int, insn: Instruction, note: Note) -> None:
        self.pc = pc
        self.insn = insn
        self.note = note
        self.target = False
        self.function = -1              # number of the function that starts here
        self.removed = note.skip
        self.merged = False
        self.negated = False
        self.copy: Copy | None = None
        self.cache: tuple[int, int] | None = None
        self.reads = False
        self.zext = True
        self.wide = True
        self.low = False
        self.extend = ""
        self.bytes = False
        self.slot = -1

    @property
    def width(self) -> int:
        """Bytes that a load or store moves."""
        return self.insn.op.size

    def merge(self, why: str) -> None:
        self.removed = why
        self.merged = True

    def __repr__(self) -> str:
        return f"<{self.pc}: {self.insn!r}{' ' + self.removed if self.removed else ''}>"


def steps_of(insns: list[Instruction | None], notes: list[Note]) -> list[Step]:
    """The list, with jump targets and starts of functions marked."""
    steps = [Step(pc, insn, notes[pc]) for pc, insn in enumerate(insns) if insn is not None]
    by_pc = {step.pc: step for step in steps}
    starts: set[int] = set()
    for step in steps:
        insn = step.insn
        if insn.is_jump and step.pc + 1 + insn.jump in by_pc:
            by_pc[step.pc + 1 + insn.jump].target = True
        elif insn.kind == ops.CALL_LOCAL:
            by_pc[step.pc + 1 + insn.imm].target = True
            starts.add(step.pc + 1 + insn.imm)
    for number, pc in enumerate(sorted(starts), 1):
        by_pc[pc].function = number
    return steps


def note_from(row: Mapping[str, Any]) -> Note:
    """A note from the `annotations` of a recording."""
    note = Note()
    note.ptr, note.off, note.id = row.get("ptr") or "", row.get("off") or 0, row.get("id") or 0
    note.places = [(note.id, note.off)] if note.ptr == "packet" else []
    note.varies, note.foreign = bool(row.get("ptr_not_const")), bool(row.get("caller_frame"))
    note.src_min, note.src_max = row.get("src_umin", 0), row.get("src_umax", U64)
    note.dst_max, note.zext = row.get("dst_umax", U64), bool(row.get("zext"))
    note.add_over, note.add_small = bool(row.get("xadd_over_16bit")), bool(row.get("xadd_maybe_16bit"))
    note.key_off, note.key_varies = row.get("key_off"), bool(row.get("key_off_varies"))
    note.data_ptr, note.skip = row.get("data_ptr") or "", row.get("skip") or ""
    note.subprog, note.delta = row.get("subprog") or 0, row.get("delta")
    return note


def notes_from(rows: Iterable[Mapping[str, Any]]) -> list[Note]:
    return [note_from(row) for row in rows]


def device_from(record: Mapping[str, Any]) -> Device:
    """The device of a recording."""
    config = record["config"]
    device = Device(record["prog_type"] in (6, "xdp"), config["stack_depths"], config["needs_reg_push"])
    head = config["adjust_head"]
    device.head_min, device.head_max = head["off_min"], head["off_max"]
    site = head["single_site"]
    device.single_head = -1 if site is None else site
    return device

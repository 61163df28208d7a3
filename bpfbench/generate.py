"""Random programs that a verifier accepts: food for comparing engines, code generators and verifiers.

`generate(seed)` always makes the same program from the same seed.  It knows which registers hold numbers and keeps
everything else in order, so nearly all programs are accepted, and r0 depends on as much of what happened as possible
but never on an address.  A program is a sequence of *chunks*, one function below each, chosen by `features`:

    r6 = ctx      r7 r8 r9 = numbers, live throughout      stack: 8 words at -8 … -64 set at the start, scratch below
    chunk, chunk, …                                        r0-r5 belong to the chunk that runs
    r0 = mix of r7, r8, r9 and the stack; exit

Jumps go forward over parts that leave the same registers live; loops count down from a constant.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from bpfbench.errors import UsageError
from bpfbench.isa import ops
from bpfbench.isa.helpers import helper_id
from bpfbench.isa.insn import Instruction
from bpfbench.isa.ops import OP, OPS, Op
from bpfbench.program.program import MapSpec, Program

FEATURES: Final = ("alu", "jump", "stack", "packet", "map", "helper", "call", "atomic", "loop", "v4", "newest")
V4: Final = ("6.6",)                 # `since` of signed division, movsx, bswap, ldsx, gotol
NEWEST: Final = ("6.9", "6.15")      # may_goto, load-acquire, store-release
WORDS: Final = 8                     # stack words that are always set
SCRATCH: Final = -128                # below here chunks put keys and buffers
KEPT: Final = (7, 8, 9)
WINDOW: Final = 32                   # bytes of the packet a packet chunk touches
INTERESTING: Final = (
    0, 1, 2, 3, 7, 8, 31, 32, 63, 64, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, -1, -2, -128,
    -129, -0x8000, -0x80000000,
)  # fmt: skip
MAPS: Final = (
    MapSpec("array", 4, 16, 4, name="table"),
    MapSpec("hash", 8, 16, 8, name="hash"),
    MapSpec("queue", 0, 8, 4, name="queue"),
    MapSpec("lpm_trie", 8, 8, 8, 1, name="trie"),
    MapSpec("stack", 0, 8, 4, name="pile"),
)


class Generator:
    """The program under construction."""

    def __init__(self, seed: int, type: str, features: tuple[str, ...], aligned: bool) -> None:
        self.aligned = aligned
        self.random = Random(seed)
        self.type = type
        self.features = features
        self.insns: list[Instruction | None] = []
        self.calls: list[tuple[int, int]] = []          # (pc of the call, function number)
        self.fixups: list[tuple[int, str]] = []         # (pc of the jump, label)
        self.labels: dict[str, int] = {}
        self.live = {*KEPT}
        self.ops = [op for op in OPS if self._wanted(op)]
        self.arithmetic = [op for op in self.ops if op.kind in (ops.ALU64, ops.ALU32, ops.MOVSX, ops.END)]
        self.jumps = [op for op in self.ops if op.kind in (ops.JMP, ops.JMP32)]
        self.atomics = [op for op in self.ops if op.kind == ops.ATOMIC]

    def _wanted(self, op: Op) -> bool:
        if op.since in V4:
            return "v4" in self.features
        return "newest" in self.features if op.since in NEWEST else not op.internal

    # ------------------------------------------------------------------------------------------------------- emitting
    def emit(self, name: str, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> None:
        self.add(OP[name], dst, src, off, imm)

    def add(self, op: Op, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> None:
        self.insns.append(Instruction(op, dst, src, off, imm))
        if op.wide:
            self.insns.append(None)

    def jump(self, op: Op, label: str, dst: int = 0, src: int = 0, imm: int = 0) -> None:
        self.fixups.append((len(self.insns), label))
        self.add(op, dst, src, 0, imm)

    def label(self, name: str) -> None:
        self.labels[name] = len(self.insns)

    def fresh(self) -> str:
        return f"L{len(self.labels)}.{len(self.fixups)}.{len(self.insns)}"

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def constant(self) -> int:
        if self.chance(0.6):
            return self.random.choice(INTERESTING)
        return self.random.randrange(-(1 << 31), 1 << 31)

    def number(self) -> int:
        """A register that holds a number."""
        return self.random.choice(sorted(self.live))

    def word(self) -> int:
        """Offset of a stack word that is set."""
        return -8 * self.random.randrange(1, WORDS + 1)

    def call(self, helper: str) -> None:
        """Call a helper; afterwards r0 holds a number and r1-r5 nothing."""
        self.emit("CALL", imm=helper_id(helper))
        self.live = (self.live - {1, 2, 3, 4, 5}) | {0}

    def set(self, register: int) -> None:
        """Make a register hold some number."""
        if self.chance(0.3):
            wide = self.random.choice((self.random.getrandbits(64), 1 << self.random.randrange(64)))
            self.emit("LDDW", register, imm=wide)
        elif self.chance(0.5) or not self.live - {register}:
            self.emit("MOV64_K", register, imm=self.constant())
        else:
            self.emit("MOV64_X", register, self.random.choice(sorted(self.live - {register})))
        self.live.add(register)

    # ---------------------------------------------------------------------------------------------------------- chunks
    def alu(self, count: int = 0, busy: int = -1) -> None:
        """Arithmetic among the live numbers; `busy` is a register to leave alone."""
        registers = sorted(self.live - {busy})
        for _ in range(count or self.random.randrange(2, 9)):
            op = self.random.choice(self.arithmetic)
            dst, src = self.random.choice(registers), self.random.choice(registers)
            if op.kind == ops.END or op.fn == ops.NEG and op.kind != ops.MOVSX:
                self.add(op, dst)
            elif op.imm:
                self.add(op, dst, imm=self._operand(op))
            else:
                self.add(op, dst, src)

    def _operand(self, op: Op) -> int:
        if op.fn in (ops.LSH, ops.RSH, ops.ARSH):
            return self.random.randrange(64 if op.kind == ops.ALU64 else 32)
        value = self.constant()
        return value if value or op.fn not in (ops.DIV, ops.MOD, ops.SDIV, ops.SMOD) else 3

    def branch(self) -> None:
        """if … goto over some arithmetic, perhaps with an else part."""
        other, end = self.fresh() + "else", self.fresh() + "end"
        op = self.random.choice(self.jumps)
        self.jump(op, other, self.number(), 0 if op.imm else self.number(), self.constant() if op.imm else 0)
        self.alu(self.random.randrange(1, 4))
        if self.chance(0.5):
            self.jump(OP["JA32" if "v4" in self.features and self.chance(0.3) else "JA"], end)
            self.label(other)
            self.alu(self.random.randrange(1, 4))
        else:
            self.label(other)
        self.label(end)
        if "newest" in self.features and self.chance(0.2):
            self.jump(OP["MAY_GOTO"], end + "m")
            self.alu(1)
            self.label(end + "m")

    def stack(self) -> None:
        for _ in range(self.random.randrange(1, 5)):
            self.access(10, self.word(), 8)

    def access(self, base: int, off: int, room: int, store: bool = True) -> None:
        """A load or store of any size within `room` bytes at `base + off`."""
        size = 1 if self.aligned and base == 2 else self.random.choice([n for n in (1, 2, 4, 8) if n <= room])
        at = off + size * self.random.randrange(room // size)
        letter = {1: "B", 2: "H", 4: "W", 8: "DW"}[size]
        kind = self.random.choice(["LDX"] * 2 + (["STX", "ST"] if store else []))
        if "newest" in self.features and self.chance(0.15) and base not in (2, 6):
            kind = "LOAD_ACQ_" if not store or self.chance(0.5) else "STORE_REL_"
        if kind == "ST":
            self.emit(f"ST{letter}", base, off=at, imm=self.constant())
        elif kind.startswith("ST"):
            self.emit(kind + letter, base, self.number(), at)
        else:
            signed = kind == "LDX" and size < 8 and "v4" in self.features and self.chance(0.3)
            dst = self.random.choice(sorted(self.live - {base}) or [7])
            self.emit((kind + "S" if signed else kind) + letter, dst, base, at)

    def atomic(self, base: int = 10, off: int | None = None) -> None:
        op = self.random.choice(self.atomics)
        at = self.word() if off is None else off
        if op.size == 4 and self.chance(0.5):
            at += 4
        if op.fn == ops.CMPXCHG:
            if base == 0:
                return
            if 0 not in self.live:
                self.set(0)
        src = self.random.choice(sorted(self.live - {base}))
        self.add(op, base, src, at)

    def loop(self) -> None:
        """A body that runs a constant number of times, counted in r5."""
        self.emit("MOV64_K", 5, imm=self.random.randrange(1, 9))
        again = self.fresh()
        live = set(self.live)
        self.label(again)
        self.alu(self.random.randrange(1, 5), busy=5)
        self.emit("ADD64_K", 5, imm=-1)
        self.jump(OP["JNE_K"], again, 5)
        self.live = live

    def packet(self) -> None:
        """Direct access to the first bytes of the packet, if it is long enough."""
        if self.type == "socket_filter":
            self.load_packet()
            return
        data, end = (0, 4) if self.type == "xdp" else (76, 80)
        short = self.fresh()
        self.live -= {1, 2, 3, 4}
        self.emit("LDXW", 2, 6, data)
        self.emit("LDXW", 3, 6, end)
        if self.chance(0.4):
            self.emit("MOV64_X", 4, self.random.choice(KEPT))
            self.emit("AND64_K", 4, imm=15)
            self.emit("ADD64_X", 2, 4)
        self.emit("MOV64_X", 4, 2)
        self.emit("ADD64_K", 4, imm=WINDOW)
        self.jump(OP["JGT_X"], short, 4, 3)
        for _ in range(self.random.randrange(1, 6)):
            self.access(2, 0, WINDOW, store=self.type != "cgroup_skb")
        self.label(short)

    def load_packet(self) -> None:
        """ld_abs and ld_ind, which leave with 0 outside the packet."""
        op = OP[self.random.choice(("LD_ABS_B", "LD_ABS_H", "LD_ABS_W", "LD_IND_B", "LD_IND_H", "LD_IND_W"))]
        if op.kind == ops.LD_IND:
            self.emit("MOV64_X", 3, self.random.choice(KEPT))
            self.emit("AND64_K", 3, imm=31)
        self.add(op, 0, 3 if op.kind == ops.LD_IND else 0, 0, self.random.randrange(48))
        self.live = {0, *KEPT}
        self.emit("ADD64_X", self.random.choice(KEPT), 0)

    def map(self) -> None:
        """One operation on one of the maps."""
        index = self.random.randrange(len(MAPS))
        spec = MAPS[index]
        self._key(spec)
        self.emit("LDDW_MAP_FD", 1, imm=index)
        self.emit("MOV64_X", 2, 10)
        self.emit("ADD64_K", 2, imm=SCRATCH)
        if spec.type in ("queue", "stack"):
            self._queue()
        elif self.chance(0.5):
            self._lookup(spec)
        elif spec.type == "array" or self.chance(0.7):
            self.emit("MOV64_X", 3, 10)
            self.emit("ADD64_K", 3, imm=-16 if spec.value_size == 16 else -8)
            self.emit("MOV64_K", 4, imm=self.random.randrange(3))
            self.call("map_update_elem")
        else:
            self.call("map_delete_elem")
        self.emit("ADD64_X", self.random.choice(KEPT), 0)

    def _key(self, spec: MapSpec) -> None:
        """Write a key (few different ones) to the scratch part of the stack."""
        if spec.type == "lpm_trie":
            self.emit("STW", 10, off=SCRATCH, imm=self.random.choice((0, 8, 16, 24, 32)))
            self.emit("STW", 10, off=SCRATCH + 4, imm=self.random.choice((0x0A, 0x010A, 0x0201A8C0)))
        else:
            self.emit("STDW", 10, off=SCRATCH, imm=self.random.randrange(6))

    def _lookup(self, spec: MapSpec) -> None:
        nothing = self.fresh()
        self.call("map_lookup_elem")
        self.live.discard(0)
        self.jump(OP["JEQ_K"], nothing, 0)
        for _ in range(self.random.randrange(1, 4)):
            self.access(0, 0, spec.value_size)
        if "atomic" in self.features:
            self.atomic(0, 0)
        self.label(nothing)
        self.emit("MOV64_K", 0, imm=self.constant())
        self.live.add(0)

    def _queue(self) -> None:
        kind = self.random.choice(("map_push_elem", "map_pop_elem", "map_peek_elem"))
        if kind == "map_push_elem":
            self.emit("MOV64_K", 3, imm=self.random.choice((0, 0, 2)))
        self.call(kind)
        self.emit("LDXDW", self.random.choice(KEPT), 10, SCRATCH)

    def helper(self) -> None:
        """A helper that only computes, or that reads or changes the packet."""
        self.random.choice(HELPER_CHUNKS[self.type])(self)
        self.emit("ADD64_X", self.random.choice(KEPT), 0)

    def _csum(self) -> None:
        for register, size in ((1, 2), (3, 4)):
            self.emit("MOV64_X", register, 10)
            self.emit("ADD64_K", register, imm=-8 * WORDS)
            self.emit("MOV64_K", size, imm=4 * self.random.randrange(0 if register == 3 else 1, 9))
        self.emit("MOV64_X", 5, self.random.choice(KEPT))
        self.call("csum_diff")

    def _bytes(self, helper: str, flags: bool) -> None:
        size = self.random.choice((1, 2, 4, 8, 14))
        if not flags:
            self.emit("STDW", 10, off=SCRATCH, imm=0)
        self.emit("MOV64_X", 1, 6)
        self.emit("MOV64_K", 2, imm=self.random.choice((0, 6, 12, 14, 30, 50, 70, 90, -1)))
        self.emit("MOV64_X", 3, 10)
        self.emit("ADD64_K", 3, imm=-16 if flags else SCRATCH)
        self.emit("MOV64_K", 4, imm=size)
        if flags and self.type != "xdp":
            self.emit("MOV64_K", 5, imm=self.random.choice((0, 1, 2)))
        self.call(helper)
        if not flags:
            self.emit("LDXB", self.random.choice(KEPT), 10, SCRATCH)

    def _load_bytes(self) -> None:
        self._bytes("xdp_load_bytes" if self.type == "xdp" else "skb_load_bytes", False)

    def _store_bytes(self) -> None:
        self._bytes("xdp_store_bytes" if self.type == "xdp" else "skb_store_bytes", True)

    def _relative(self) -> None:
        self.emit("STDW", 10, off=SCRATCH, imm=0)
        self.emit("MOV64_X", 1, 6)
        self.emit("MOV64_K", 2, imm=self.random.choice((0, 9, 12, 20, 100)))
        self.emit("MOV64_X", 3, 10)
        self.emit("ADD64_K", 3, imm=SCRATCH)
        self.emit("MOV64_K", 4, imm=8)
        self.emit("MOV64_K", 5, imm=self.random.randrange(3))
        self.call("skb_load_bytes_relative")
        self.emit("LDXDW", self.random.choice(KEPT), 10, SCRATCH)

    def _ctx_call(self, helper: str, *choices: tuple[int, ...]) -> None:
        """A helper of the context and numbers, each picked from its choices."""
        self.emit("MOV64_X", 1, 6)
        for register, values in enumerate(choices, 2):
            self.emit("MOV64_K", register, imm=self.random.choice(values))
        self.call(helper)

    def _resize(self) -> None:
        if self.type == "xdp":
            helper = self.random.choice(("xdp_adjust_head", "xdp_adjust_tail", "xdp_adjust_meta"))
            self._ctx_call(helper, (-300, -216, -217, -32, -14, -8, -4, 0, 3, 4, 14, 20, 60, 4000))
            return
        self.random.choice((
            lambda: self._ctx_call("skb_change_tail", (0, 13, 14, 60, 64, 100, 1500), (0, 0, 1)),
            lambda: self._ctx_call("skb_change_head", (0, 14, 40, 20000), (0, 0, 1)),
            lambda: self._ctx_call("skb_adjust_room", (-40, -20, -8, 0, 4, 20, 40, 5000), (0, 1, 2), (0, 0, 1, 2, 32)),
            lambda: self._ctx_call("skb_vlan_push", (0x81, 0xA888, 5), (1, 100, 0xFFFF)),
            lambda: self._ctx_call("skb_vlan_pop"),
            lambda: self._ctx_call("skb_change_proto", (0x0008, 0xDD86, 7), (0, 0, 1)),
            lambda: self._ctx_call("skb_pull_data", (0, 14, 64, 70000)),
            lambda: self._ctx_call("skb_change_type", (0, 1, 3, 4)),
        ))()  # fmt: skip

    def _length(self) -> None:
        if self.type == "xdp":
            self._ctx_call("xdp_get_buff_len")
        else:
            self.emit("LDXW", 0, 6, self.random.choice(SKB_FIELDS[self.type]))
            self.live.add(0)

    def _checksum(self) -> None:
        size = self.random.choice((0, 2, 4, 4, 3))
        level = self.random.choice(("l3_csum_replace", "l4_csum_replace"))
        more = self.random.choice((0, 0x10, 0x20, 0x60, 0x100)) if level.startswith("l4") else 0
        self._ctx_call(level, (24, 40, 50, 15, 200), (0,) if not size else INTERESTING, INTERESTING, (size | more,))

    def subprogram(self) -> None:
        """Call a function of this program with three numbers."""
        for register in (1, 2, 3):
            self.emit("MOV64_X", register, self.random.choice(KEPT))
        self.calls.append((len(self.insns), self.random.randrange(3)))
        self.emit("CALL_LOCAL")
        self.live = {0, *KEPT}
        self.emit("XOR64_X", self.random.choice(KEPT), 0)

    def function(self) -> None:
        """The body of such a function: numbers in r1-r3, r0 out, a stack of its own."""
        self.live = {1, 2, 3}
        self.emit("MOV64_X", 0, 1)
        self.emit("STXDW", 10, 2, -8)
        self.live.add(0)
        for _ in range(self.random.randrange(1, 3)):
            self.alu()
            if "jump" in self.features:
                self.branch()
        self.emit("LDXDW", 4, 10, -8)
        self.emit("ADD64_X", 0, 4)
        self.emit("EXIT")

    # ------------------------------------------------------------------------------------------------------- the whole
    def build(self, size: int) -> None:
        self.emit("MOV64_X", 6, 1)
        self.live = set()
        for register in KEPT:
            self.set(register)
        for word in range(1, WORDS + 1):
            self.emit("STXDW", 10, self.random.choice(KEPT), -8 * word)
        chunks = [CHUNKS[f] for f in self.features if f in CHUNKS]
        while len(self.insns) < size:
            self.live = {*KEPT} | (self.live & {0})
            self.random.choice(chunks)(self)
        self.finish()
        for number in sorted({number for _, number in self.calls}):
            self.label(f"function {number}")
            self.function()
        self.resolve()

    def finish(self) -> None:
        self.emit("MOV64_X", 0, 7)
        for op, register in (("XOR64_X", 8), ("ADD64_X", 9)):
            self.emit(op, 0, register)
        self.emit("LDXDW", 1, 10, -8 * self.random.randrange(1, WORDS + 1))
        self.emit("XOR64_X", 0, 1)
        if self.type == "cgroup_skb":
            self.emit("AND64_K", 0, imm=1)
        self.emit("EXIT")

    def resolve(self) -> None:
        for pc, number in self.calls:
            insn = self.insns[pc]
            assert insn is not None
            self.insns[pc] = Instruction(insn.op, imm=self.labels[f"function {number}"] - pc - 1)
        for pc, label in self.fixups:
            insn = self.insns[pc]
            assert insn is not None
            distance = self.labels[label] - pc - 1
            far = insn.op.name == "JA32"
            self.insns[pc] = Instruction(
                insn.op, insn.dst, insn.src, 0 if far else distance, distance if far else insn.imm
            )


Chunk = Callable[[Generator], None]
CHUNKS: Final[dict[str, Chunk]] = {
    "alu": Generator.alu,
    "jump": Generator.branch,
    "stack": Generator.stack,
    "packet": Generator.packet,
    "map": Generator.map,
    "helper": Generator.helper,
    "call": Generator.subprogram,
    "atomic": Generator.atomic,
    "loop": Generator.loop,
}
SKB_FIELDS: Final = {                # fields of __sk_buff that a test run defines
    "sched_cls": (0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48),
    "cgroup_skb": (0, 4, 8, 12, 16, 20, 24, 28, 32, 40),
    "socket_filter": (0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40),
}
HELPER_CHUNKS: Final[dict[str, tuple[Chunk, ...]]] = {
    "xdp": (
        Generator._csum, Generator._resize, Generator._length, Generator._load_bytes, Generator._store_bytes,
    ),
    "sched_cls": (
        Generator._csum, Generator._resize, Generator._length, Generator._checksum, Generator._load_bytes,
        Generator._store_bytes, Generator._relative,
    ),
    "cgroup_skb": (Generator._length, Generator._load_bytes, Generator._relative),
    "socket_filter": (Generator._length, Generator._load_bytes, Generator._relative),
}  # fmt: skip
TYPES: Final = tuple(HELPER_CHUNKS)


def generate(
    seed: int, type: str = "xdp", features: tuple[str, ...] = FEATURES, size: int = 60, aligned: bool = False
) -> Program:
    """A random program of about `size` slots or more, the same for the same arguments.

    `type`      one of `TYPES`
    `features`  which chunks occur (names of `FEATURES`); "v4" admits instructions since Linux 6.6, "newest" since 6.9
    `aligned`   packet accesses are single bytes, for machines that take nothing unaligned (MIPS)

    >>> generate(1) == generate(1), generate(1) == generate(2)
    (True, False)
    """
    if type not in TYPES:
        raise UsageError(f"programs of type {type} cannot be generated; there are {', '.join(TYPES)}")
    unknown = [f for f in features if f not in FEATURES]
    if unknown or not any(f in CHUNKS for f in features):
        raise UsageError(f"unknown features {', '.join(unknown)}; there are {', '.join(FEATURES)}")
    generator = Generator(seed, type, features, aligned)
    generator.build(size)
    return Program(generator.insns, type, f"random-{type}-{seed}", maps=list(MAPS) if "map" in features else None)

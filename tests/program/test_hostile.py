"""Whatever the bytes, there is a graph, a walk and an answer about loops; never an exception, never a long wait."""

from __future__ import annotations

import random

from bpfbench.program import dfs
from bpfbench.program.cfg import build
from bpfbench.program.dataflow import DefUse
from bpfbench.program.dot import to_dot
from bpfbench.program.loops import analyse
from bpfbench.program.program import Program, from_assembly

CODES = (
    0x05, 0x06, 0x15, 0x16, 0x18, 0x1D, 0x61, 0x63, 0x7B, 0x85, 0x8D, 0x95, 0xB7, 0xBF, 0x07, 0x0F, 0xDB, 0xE5,
    0x0D,
)  # fmt: skip


def hostile(rng: random.Random) -> Program:
    raw = bytearray()
    for _ in range(rng.randint(1, 40)):
        slot = bytearray(rng.randrange(256) for _ in range(8)) if rng.random() < 0.1 else bytearray(8)
        slot[0] = rng.choice(CODES) if rng.random() < 0.95 else slot[0]
        slot[1] = rng.choice((0, 1, 0x10, 0x21, 0x4A, rng.randrange(256)))
        slot[2:4] = rng.randint(-6, 6).to_bytes(2, "little", signed=True)
        slot[4:8] = rng.choice((0, 1, -3, 2, 12, 1 << 30)).to_bytes(4, "little", signed=True)
        raw += slot
    return Program.from_json({"prog_type": "xdp", "insns": raw.hex()})


def test_any_bytes_have_a_graph() -> None:
    rng = random.Random(61)
    for _ in range(500):
        prog = hostile(rng)
        cfg = build(prog)
        assert sum(b.end - b.start for b in cfg.blocks) == len(prog.insns)
        assert len(analyse(cfg)) == len(cfg.loops)
        assert to_dot(cfg).count("[label=") >= len(cfg.blocks)
        walk = dfs.walk(prog)
        assert bool(walk.back_edges) == bool(cfg.loops) or walk.message or len(cfg.functions) > 1
        DefUse(cfg)


def test_ten_thousand_jumps_to_one_exit() -> None:
    cfg = build(from_assembly("if r1 == 0 goto OUT\n" * 10_000 + "OUT: r0 = 0\nexit"))
    assert cfg.blocks[-1].idom == 0 and cfg.blocks[0].ipdom == len(cfg.blocks) - 1


def test_deep_nesting_is_no_recursion() -> None:
    lines = [f"A{n}: r1 += 1" for n in range(600)] + [f"if r1 != {n} goto A{n}" for n in reversed(range(600))]
    cfg = build(from_assembly("\n".join([*lines, "exit"])))
    assert max(loop.depth for loop in cfg.loops) == 600 and len(analyse(cfg)) == 600

"""The loops of `loop_corpus.txt`, and the truth about them: what the interpreter counts when it runs them.

`source()` is one C file with a function per loop nest.  `observed` runs a compiled function on several inputs and
counts, for each loop, how often the header runs per entry.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from bpfbench.interp.machine import run
from bpfbench.interp.observe import Observer
from bpfbench.program.cfg import Cfg
from bpfbench.program.program import Program

HEAD = """
typedef unsigned char u8; typedef unsigned short u16; typedef unsigned int u32; typedef unsigned long long u64;
typedef signed char s8; typedef short s16; typedef int s32; typedef long long s64;
struct xdp_md { u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex; };
#define SEC(n) __attribute__((section(n), used))
#define N ctx->rx_queue_index
#define use(x) asm volatile("" : "+r"(x))
static u64 (*ktime)(void) = (void *)5;
#define SUB static __attribute__((noinline)) u64
SUB sub0(u64 n) { u64 s = n; for (u32 i = 0; i < n; i++) { s += i; use(s); } return s; }
SUB sub1(u64 n) { u64 s = n; for (u32 i = 0; i < 4; i++) { s += i; use(s); } return s; }
"""
INPUTS = (0, 1, 2, 3, 7, 20, 129, 0x80000000, 0xFFFFFFFF)


def bodies() -> list[tuple[str, str]]:
    """(category, body) of every entry and combination of values."""
    found = []
    for line in Path(__file__).with_suffix(".txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        category, letters, body = (part.strip() for part in line.split("|", 2))
        letter_values = re.findall(r"(\w)=(\S+)", letters)
        choices = [[(letter, value) for value in values.split(",")] for letter, values in letter_values]
        for chosen in itertools.product(*choices):
            values = dict(chosen)
            found.append((category, re.sub(r"\b[A-Z]\b", lambda m, v=values: v.get(m[0], m[0]), body)))
    return found


def source() -> str:
    """The whole corpus as one C file: function `f17` holds body 17."""
    functions = [
        f'SEC("xdp") int f{number}(struct xdp_md *ctx) {{ u64 s = 0; {body} use(s); return s; }}'
        for number, (_, body) in enumerate(bodies())
    ]
    return HEAD + "\n".join(functions)


class HeaderCounts(Observer):
    """Counts, per loop, how often the header runs in each entry of the loop."""

    def __init__(self, cfg: Cfg) -> None:
        self.headers = {cfg.blocks[loop.header].start: loop for loop in cfg.loops}
        self.block_of = cfg.block_of
        self.previous = [-1]  # last pc per frame
        self.finished: dict[int, list[int]] = {loop.index: [] for loop in cfg.loops}
        self.running: dict[int, int] = {}

    def visit(self, step: int, pc: int, registers: list[int]) -> None:
        loop = self.headers.get(pc)
        if loop is not None:
            if self.previous[-1] >= 0 and self.block_of[self.previous[-1]] in loop.blocks:
                self.running[loop.index] = self.running.get(loop.index, 0) + 1  # 0: entered elsewhere (irreducible)
            else:
                self.close(loop.index)
                self.running[loop.index] = 1
        self.previous[-1] = pc

    def frame(self, step: int, pc: int, depth: int, target: int) -> None:
        while len(self.previous) <= depth:
            self.previous.append(-1)
        del self.previous[depth + 1 :]

    def close(self, loop: int) -> None:
        if loop in self.running:
            self.finished[loop].append(self.running.pop(loop))


def observed(prog: Program, cfg: Cfg, budget: int = 400_000) -> dict[int, tuple[set[int], int]]:
    """Loop index -> (counts of entries that ended, highest count of one that was cut off by the budget)."""
    counts: dict[int, set[int]] = {loop.index: set() for loop in cfg.loops}
    cut: dict[int, int] = {loop.index: 0 for loop in cfg.loops}
    for value in INPUTS:
        watch = HeaderCounts(cfg)
        result = run(prog, bytes(64), ctx={"rx_queue_index": value}, budget=budget, observe=watch)
        for loop, running in list(watch.running.items()):
            if result.trap is None:
                watch.close(loop)
            else:
                cut[loop] = max(cut[loop], running)
        for loop, finished in watch.finished.items():
            counts[loop] |= set(finished)
    return {loop: (counts[loop], cut[loop]) for loop in counts}

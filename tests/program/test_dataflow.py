"""The worklist and its users: reaching definitions, def-use chains, a backward analysis."""

from __future__ import annotations

from bpfbench.program.cfg import Cfg, build
from bpfbench.program.dataflow import ENTRY, DefUse, ReachingDefinitions, registers, solve
from bpfbench.program.program import from_assembly

LOOP = "r1 = 9\nA: r2 += r1\nr1 += -1\nif r1 != 0 goto A\nr0 = r2\nexit"


def test_definitions_reach_around_a_loop() -> None:
    cfg = build(from_assembly(LOOP))
    reaching = ReachingDefinitions(cfg)
    fact = solve(cfg, reaching).before[1]
    assert reaching.sources(fact, 1) == [0, 2]
    assert reaching.sources(fact, 2) == [ENTRY, 1]


def test_chains_link_uses_to_definitions() -> None:
    chains = DefUse(build(from_assembly(LOOP)))
    assert chains.definitions_of[1, 1] == [0, 2]
    assert chains.definitions_of[4, 2] == [1]
    assert sorted(chains.uses_of[2, 1]) == [1, 2, 3]


def test_calls_clobber_the_argument_registers() -> None:
    chains = DefUse(build(from_assembly("r3 = 1\ncall 5\nr0 += r3\nexit")))
    assert chains.definitions_of[2, 3] == [1] and chains.definitions_of[2, 0] == [1]


class Live:
    """Registers that are read before they are set again, as a bit mask: a backward analysis in twenty lines."""

    def __init__(self, cfg: Cfg) -> None:
        self.forward = False
        self.cfg = cfg

    def boundary(self) -> int:
        return 0

    def start(self) -> int:
        return 0

    def join(self, a: int, b: int) -> int:
        return a | b

    def transfer(self, block: int, fact: int) -> int:
        for _, insn in reversed(self.cfg.insns(block)):
            fact = fact & ~insn.writes | insn.reads
        return fact


def test_backward_analysis_of_live_registers() -> None:
    cfg = build(from_assembly(LOOP))
    solution = solve(cfg, Live(cfg))
    assert [registers(mask) for mask in solution.before] == [[2], [1, 2], [2]]
    assert solution.visits <= 5

"""What the time machine puts together in the browser is what the library says: texts of values, states, waiting branches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import bpfbench as bb
from bpfbench.notebook import timeline
from bpfbench.notebook.html import static
from bpfbench.notebook.timeline import Changes, Steps
from bpfbench.verifier.log import register_text
from bpfbench.verifier.regstate import NOT_INIT, SCALAR, RegState

DATASETS = Path(__file__).parents[2] / "datasets"
NAMES = ("xdp_firewall", "xdp_load_balancer", "tc_nat_helpers", "kprobe_logger", "xdp_callbacks")
MODULE = "import(URL.createObjectURL(new Blob([code], {type: 'text/javascript'})))"


def program(name: str) -> Any:
    return next(iter(bb.load(DATASETS / f"{name}.o").programs.values()))


def expected(reg: RegState) -> str:
    if reg.kind == NOT_INIT:
        return ""
    if reg.kind == SCALAR and not reg.scalar.m:
        return ("P" if reg.precise else "") + str(reg.scalar.smin)
    return register_text(reg, reg.frame)


@pytest.mark.parametrize("name", NAMES)
def test_every_value_reads_as_in_the_log(page: Any, name: str) -> None:
    v = bb.verify(program(name), trace=True)
    steps = Steps(v, v.program)
    changes = Changes()
    changes.read(steps.held)
    document = {"first": 0, "key": [], "counts": timeline.pack(changes.counts), "columns": timeline.pack(changes.columns),
                "values": timeline.pack(changes.values), **changes.table.document()}
    page.goto("about:blank")
    texts = page.evaluate(f"""async ([code, doc]) => {{
        const chunk = await (await {MODULE}).Chunk.read(doc, 75);
        return Array.from(chunk.head, (_, number) => chunk.value(number).text);
    }}""", [static("time_machine.js"), document])
    found = {id(reg): reg for regs, _, _ in steps.held for reg in regs}
    assert len(found) > 20
    assert [(texts[changes.table.by_identity[i]], expected(reg)) for i, reg in found.items()
            if texts[changes.table.by_identity[i]] != expected(reg)] == []


@pytest.mark.parametrize("name", NAMES)
def test_states_and_waiting_branches(page: Any, monkeypatch: Any, name: str) -> None:
    """In chunks of 64 steps: the registers of every step, and that each path was taken up where it had been left."""
    monkeypatch.setattr(timeline, "CHUNK", 64)
    v = bb.verify(program(name), trace=True)
    steps = Steps(v, v.program)
    document = json.dumps({**steps.document(), "chunks": [steps.chunk(n) for n in range(steps.chunks)]})
    page.goto("about:blank")
    shown, left, strays = page.evaluate(f"""async ([code, doc]) => {{
        const t = await (await {MODULE}).Timeline.read(JSON.parse(doc)), shown = [];
        for (let s = 0; s < t.steps; s++) {{
          const chunk = await t.need(s);
          shown.push(Array.from(chunk.state(s).slice(0, 11), (n) => chunk.value(n).text));
        }}
        return [shown, t.pending(t.steps)[0].length, [...t.begins].filter(([path, b]) => path > 0 && b.fork < 0).length];
    }}""", [static("time_machine.js"), document])
    assert shown == [[expected(reg) for reg in regs] for regs, _, _ in steps.held]
    assert strays == (name == "xdp_callbacks")          # the callback of its timer begins on its own
    assert left == 0 or not v.accepted


def test_why_follows_calls_returns_and_paths(page: Any) -> None:
    """The chain of a value goes through a function, back over a spill, and over the branch that left another path."""
    prog = bb.assemble("""
        call get_prandom_u32
        r6 = r0
        r6 &= 15
        if r6 > 7 goto other
        r0 = 0
        exit
    other:
        *(u64 *)(r10 - 8) = r6
        r1 = 5
        call plus
        r2 = *(u64 *)(r10 - 8)
        r0 += r2
        exit
    plus:
        r0 = r1
        r0 += 1
        exit
    """)
    v = bb.verify(prog, trace=True)
    steps = Steps(v, prog)
    document = json.dumps({**steps.document(), "chunks": [steps.chunk(0)]})
    last = max(i for i, pc in enumerate(steps.pcs) if pc == 11)
    page.goto("about:blank")
    chain = page.evaluate(f"""async ([code, doc, step]) => {{
        const t = await (await {MODULE}).Timeline.read(JSON.parse(doc));
        return (await t.chain(0, step, 40)).map((link) => t.pcs[Math.max(link.step, 0)]);
    }}""", [static("time_machine.js"), document, last])
    assert {10, 9, 13, 12, 7, 6, 3, 2, 1, 0} <= set(chain), chain

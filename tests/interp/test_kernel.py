"""The interpreter against the running kernel's test run: return value, packet and maps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import bpfbench as bb
from bpfbench import interp
from bpfbench.errors import BpfbenchError
from bpfbench.interp.pcap import read_pcap
from bpfbench.interp.runtime import PACKET_TYPES
from bpfbench.program.program import Program
from tests.parity_execution import Random as Seeded
from tests.parity_execution import packet, program

READABLE = ("array", "hash", "lpm_trie")


def differences(first: int, count: int) -> list[str]:
    """Seeds of generated programs on which the two disagree, in one run and in a second that goes on with the maps."""
    from bpfbench.kernel.loaded import load
    from bpfbench.kernel.run import run_loaded

    wrong: list[str] = []
    for seed in range(first, first + count):
        prog, rng = program(seed), Seeded(seed)
        with load(prog) as loaded:
            maps: object = None
            for turn in range(2):
                data = packet(rng)
                last = turn == 1                           # reading the kernel's queues empties them
                theirs, mine = run_loaded(loaded, data, read_maps=last), interp.run(prog, data, maps=maps)
                held = {n: dict(mine.maps[m.name].items()) for n, m in enumerate(prog.maps) if m.type in READABLE}
                same = not last or held == {n: theirs.maps[n] for n in held}
                if (theirs.r0, theirs.data) != (mine.retval, mine.data) or mine.trap is not None or not same:
                    wrong.append(f"seed {seed} run {turn}: kernel {theirs}, interpreter {mine}")
                maps = mine.maps
    return wrong


def test_generated_programs(live_kernel: None) -> None:
    assert differences(0, 300) == []


@pytest.mark.slow
def test_many_generated_programs(live_kernel: None) -> None:
    assert differences(300, 4000) == []


CONTEXT = """
    r6 = r1
    r0 = *(u32 *)(r6 + {offset})
    exit
"""


@pytest.mark.parametrize("kind", ["sched_cls", "socket_filter", "cgroup_skb"])
def test_context_fields(live_kernel: None, kind: str) -> None:
    """Every field of __sk_buff that the type may read, on an IPv4, an IPv6 and an unknown packet."""
    fields = (*range(0, 52, 4), 64, 68, 72, 92, 96, 100, 112, 116, 132, 136, 160, 164, 176)
    ipv4 = bytes.fromhex("020000000001020000000002080045000028000040004006") + bytes(range(40))
    ipv6 = bytes.fromhex("333300000001020000000002" + "86dd" + "6" + "0" * 15) + bytes(range(60))
    for offset in fields:
        prog = bb.assemble(CONTEXT.format(offset=offset), type=kind)
        for data in (ipv4, ipv6, bytes(64)):
            try:
                theirs = bb.kernel.run(prog, data)
            except BpfbenchError:
                break                                      # a field that this type may not read
            assert interp.run(prog, data).retval == theirs.r0, (offset, data[:14].hex())


def entries() -> list[dict[str, object]]:
    manifest = Path(__file__).resolve().parents[2] / "datasets" / "datasets.json"
    found = json.loads(manifest.read_text())["programs"] if manifest.exists() else []
    return [e for e in found if e["expectation"] == "accept" and e["type"] in PACKET_TYPES and e.get("captures")]


@pytest.mark.parametrize("entry", entries(), ids=lambda e: str(e["name"]))
def test_data_sets(live_kernel: None, datasets: Path, entry: dict[str, object]) -> None:
    """Every networking data set with its packets (all of them in `make parity`, a few of each capture here)."""
    from bpfbench.kernel.loaded import load
    from bpfbench.kernel.run import fill, run_loaded

    prog: Program = bb.load(str(datasets / str(entry["file"]))).programs[str(entry["program"])]
    given = entry.get("maps", {})
    assert isinstance(given, dict)
    maps = {name: {bytes.fromhex(k): bytes.fromhex(v) for k, v in held.items()} for name, held in given.items()}
    captures = entry["captures"]
    assert isinstance(captures, list)
    compared = 0
    for capture in captures:
        for captured in read_pcap(datasets / capture)[:3]:
            with load(prog) as loaded:
                fill(loaded, maps)
                try:
                    theirs = run_loaded(loaded, captured.data, read_maps=False)
                except BpfbenchError:
                    with pytest.raises(BpfbenchError):
                        interp.run(prog, captured.data, maps=maps)
                    continue
            mine = interp.run(prog, captured.data, maps=maps)
            assert (mine.trap, mine.retval, mine.data) == (None, theirs.r0, theirs.data), capture
            compared += 1
    assert compared

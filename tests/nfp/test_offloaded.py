"""Every data set that can be offloaded: the card and the interpreter agree on all captured packets; the others say why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bpfbench as bb
from bpfbench.errors import BpfbenchError
from bpfbench.execute.nfp_card import action_of, offload
from bpfbench.execute.nfp_sim import run
from bpfbench.interp.pcap import read_pcap
from bpfbench.program.program import Program

DATASETS = Path(__file__).resolve().parents[2] / "datasets"
# those that the card takes; the reason is checked for some that it does not take
TAKEN = {"nfp_memcpy", "xdp_firewall", "xdp_icmp_echo", "xdp_nat", "xdp_decap"}
REFUSED = {
    "xdp_rate_limiter": "unsupported function: ktime_get_ns", "xdp_conntrack": "map writes not supported",
    "xdp_tenants": "map tenants is of type hash_of_maps", "xdp_callbacks": "instruction LDDW_FUNC not supported",
    "tc_classifier": "store to the context at offset 72", "xdp_firewall_unchecked": "R1 offset is outside of the packet",
}  # fmt: skip


def programs() -> Iterator[Program]:
    for path in sorted(DATASETS.glob("*.o")):
        for prog in bb.load(path).programs.values():
            if prog.type in ("xdp", "sched_cls"):
                yield prog


def captures() -> Iterator[tuple[str, list[bytes]]]:
    for path in sorted((DATASETS / "captures").glob("*.pcap")):
        yield path.stem, [packet.data for packet in read_pcap(path)]


def given() -> dict[str, dict[str, dict[bytes, bytes]]]:
    """What the maps of a data set hold at the start."""
    entries = json.loads((DATASETS / "datasets.json").read_text())["programs"]
    return {
        entry["name"]: {name: {bytes.fromhex(key): bytes.fromhex(value) for key, value in table.items()}
                        for name, table in entry["maps"].items()}
        for entry in entries if entry.get("maps")
    }  # fmt: skip


def contents(maps: Any) -> dict[str, Any]:
    return {m.name: m.records if m.type == "perf_event_array" else m.items() for m in maps if m.max_entries <= 4096}


@pytest.mark.parametrize("prog", list(programs()), ids=lambda prog: prog.name)
def test_the_card_agrees_with_the_interpreter(prog: Program) -> None:
    try:
        offload(prog)
    except BpfbenchError as error:
        assert prog.name not in TAKEN
        assert REFUSED.get(prog.name, "not supported") in str(error)
        return
    assert prog.name not in REFUSED
    for name, packets in captures():
        start = given().get(prog.name)
        maps: tuple[Any, Any] = (start, start)
        for packet in packets[:16]:
            try:
                expected = bb.run(prog, packet, maps=maps[0])
            except BpfbenchError:                       # shorter than an Ethernet header
                continue
            found = run(prog, packet, maps=maps[1])
            maps = (expected.maps, found.maps)
            assert (found.r0, found.data) == (expected.r0 & 0xFFFFFFFF, expected.data), name
            assert found.code == action_of(prog.type, expected.r0), name
        assert maps[0] is start or contents(maps[0]) == contents(maps[1]), name


def test_our_passes_cost_no_instruction() -> None:
    for prog in programs():
        if prog.name in TAKEN:
            assert len(offload(prog).code.words) <= len(offload(prog, "linux-6.1").code.words)

"""What the NFP's passes are worth: instructions and simulated cycles of data sets and of the slides' examples.

    python benchmarks/nfp.py [--packets N] [--json] [--write FILE.md]

    none      the driver's translation without any pass          driver   with its passes (kernel linux-6.1)
    ours      all passes of bpfbench

`words` is the length of the image, `run` the instructions that a packet takes on average over all captures (one packet of
200 bytes for the examples), `cycles` the engine's clock from arrival to verdict: latencies of memory and helpers are
chosen (execute/nfp_bus.py, nfp_firmware.py), the same for all columns.  Where the driver's code does what the machine
leaves undefined, the table says "defect", where it refuses a program that we take, "refused".
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

import bpfbench as bb
from bpfbench.errors import BpfbenchError, Hazard, NotSupported
from bpfbench.execute.nfp_card import CardResult, offload
from bpfbench.execute.nfp_host import Card
from bpfbench.interp.pcap import read_pcap
from bpfbench.nfp import slides
from bpfbench.nfp.passes import NAMES
from bpfbench.program.program import Program

DATASETS: Final = Path(__file__).resolve().parent.parent / "datasets"
BEGIN, END = "<!-- nfp figures -->", "<!-- end of nfp figures -->"
VERSIONS: Final = {"none": ("linux-6.1", NAMES), "driver": ("linux-6.1", ()), "ours": ("bpfbench", ())}
HEAD: Final = """
r2 = *(u32 *)(r1 + 0)
r3 = *(u32 *)(r1 + 4)
r4 = r2
r4 += 64
if r4 > r3 goto out
"""
TAIL: Final = "\nr0 = 2\nexit\nout: r0 = 1\nexit"
SUM: Final = {
    "slide 53: sum of two words, 64 bits": "r5 = *(u32 *)(r2 + 0)\nr4 = *(u32 *)(r2 + 4)\nr4 += r5\n*(u32 *)(r2 + 8) = r4",
    "slide 54: sum of two words, alu32": "r5 = *(u32 *)(r2 + 0)\nr4 = *(u32 *)(r2 + 4)\nw4 += w5\n*(u32 *)(r2 + 8) = r4",
}
CACHE: Final = """
r5 = *(u8 *)(r2 + 12)
r4 = *(u8 *)(r2 + 13)
r4 <<= 8
r4 |= r5
r5 = *(u16 *)(r2 + 16)
r4 += r5
r5 = *(u32 *)(r2 + 30)
r4 ^= r5
*(u32 *)(r2 + 40) = r4
"""


def examples() -> dict[str, Program]:
    """The slides' examples as programs that a card takes."""
    found = {
        "slide 45: memcpy in order": slides.copy_program(),
        "slide 46: memcpy, scheduled": slides.copy_program(slides.OFFSETS_SCHEDULED),
        "slide 47: its register live after": slides.copy_program(live=True),
        "slides 48-51: loads next to each other": bb.assemble(HEAD + CACHE + TAIL),
    }
    return found | {name: bb.assemble(HEAD + body + TAIL) for name, body in SUM.items()}


def programs() -> dict[str, Program]:
    """The data sets that a card takes."""
    found = {}
    for path in sorted(DATASETS.glob("*.o")):
        for prog in bb.load(path).programs.values():
            try:
                if prog.type in ("xdp", "sched_cls"):
                    offload(prog)
                    found[prog.name] = prog
            except BpfbenchError:
                continue
    return found


def packets(limit: int) -> list[bytes]:
    found = [p.data for path in sorted((DATASETS / "captures").glob("*.pcap")) for p in read_pcap(path)]
    return [packet for packet in found if len(packet) >= 14][:limit]


def measure(prog: Program, version: str, traffic: list[bytes], maps: dict[str, dict[str, str]]) -> dict[str, Any]:
    """One cell: words, instructions and cycles per packet; or what is wrong."""
    kernel, without = VERSIONS[version]
    try:
        card = Card(prog, kernel, without)
        for name, table in maps.items():
            for key, value in table.items():
                card.maps[name].update(bytes.fromhex(key), bytes.fromhex(value))
        runs: list[CardResult] = [card.run(packet) for packet in traffic]
    except Hazard:
        return {"note": "defect"}
    except NotSupported:
        return {"note": "refused"}
    return {"words": len(card.loaded.code.words), "run": sum(r.insns_executed for r in runs) / len(runs),
            "cycles": sum(r.cycles for r in runs) / len(runs)}  # fmt: skip


def table(rows: dict[str, dict[str, Any]]) -> str:
    lines = ["| program | words: none | driver | ours | run: none | driver | ours | cycles: none | driver | ours |",
             "|---" + "|---:" * 9 + "|"]  # fmt: skip
    for name, row in rows.items():
        cells = []
        for figure in ("words", "run", "cycles"):
            for version in VERSIONS:
                value = row[version].get(figure, row[version].get("note", ""))
                cells.append(f"{value:.0f}" if isinstance(value, int | float) else value)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--packets", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", default="", help="a Markdown file with the marks")
    args = parser.parse_args()
    entries = json.loads((DATASETS / "datasets.json").read_text())["programs"]
    maps = {entry["name"]: entry.get("maps", {}) for entry in entries}
    rows = {}
    for found, traffic in ((programs(), packets(args.packets)), (examples(), [bytes(range(200))])):
        for name, prog in found.items():
            rows[name] = {version: measure(prog, version, traffic, maps.get(name, {})) for version in VERSIONS}
    worse = [name for name, row in rows.items() for figure in ("words", "cycles") for other in ("none", "driver")
             if figure in row[other] and row["ours"].get(figure, 0) > row[other][figure]]  # fmt: skip
    print(json.dumps(rows) if args.json else table(rows))
    if args.write:
        path = Path(args.write)
        before, _, rest = path.read_text().partition(BEGIN)
        path.write_text(f"{before}{BEGIN}\n{table(rows)}\n{END}{rest.partition(END)[2]}")
    if worse:
        print(f"ours is worse: {', '.join(worse)}", file=sys.stderr)
    return int(bool(worse))


if __name__ == "__main__":
    sys.exit(main())

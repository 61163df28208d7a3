"""Shared libraries against static linking: every captured packet, every engine, bound at the start and at the first call.

    python tests/parity_dynlink.py [--packets N]

Each program of `datasets/libraries/` is linked statically and run in the interpreter, which says what is right: r0, the
packet and the maps.  Then it is loaded with its libraries on every engine.  Status 1 if anything differs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import bpfbench as bb  # noqa: E402
from bpfbench.dynlink import ENGINES, link_static, start  # noqa: E402
from bpfbench.interp.pcap import read_pcap  # noqa: E402

LIBRARIES = ROOT / "datasets" / "libraries"
PROGRAMS = (("meter", "checksum", "counters", "headers"), ("police", "bytes", "checksum", "counters"))
SHORTEST = 54                   # bytes of Ethernet and IPv6 headers, which a test run of `tc` wants


def captured(limit: int) -> list[bytes]:
    files = sorted((ROOT / "datasets" / "captures").glob("*.pcap"))
    found = [packet.data for file in files for packet in read_pcap(file)]
    return [data for data in found if len(data) >= SHORTEST][:limit]


def compare(names: tuple[str, ...], packets: list[bytes]) -> tuple[int, int]:
    """Runs made, and how many of them differ."""
    objects = [LIBRARIES / f"{name}.o" for name in names]
    whole = bb.load(link_static(objects)).programs[names[0]]
    expected, maps = [], None
    for data in packets:
        result = bb.run(whole, data, maps=maps)
        maps = result.maps
        expected.append((result.r0, result.data))
    counts = dict(maps["counts"].items()) if maps is not None else {}
    runs = different = 0
    for engine in ENGINES:
        for lazy in (False, True):
            with start(objects[0], objects[1:], engine, lazy) as process:
                for data, right in zip(packets, expected, strict=True):
                    result = process.run(data)
                    runs += 1
                    different += (result.r0, result.data) != right or result.trap is not None
                different += dict(result.maps["counts"].items()) != counts
    return runs, different


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--packets", type=int, default=1000, metavar="N", help="at most so many of the captures")
    packets = captured(parser.parse_args().packets)
    total = 0
    for names in PROGRAMS:
        runs, different = compare(names, packets)
        total += different
        print(f"{names[0]}: {len(packets)} packets, {len(ENGINES)} engines, twice: {runs} runs, {different} different")
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())

"""Builds the objects of the data sets from their C sources and writes the manifest `datasets.json`.

    python datasets/build.py            compile everything, write the objects and the manifest
    python datasets/build.py --check    compile everything, compare with the objects that are here
    python datasets/build.py --kernel   ask the running kernel about every program, compare with the manifest
    python datasets/build.py --btf      write kernel.btf: the running kernel's types that the programs here ask for

A source may begin with comments that say more about it:

    // rejected: MESSAGE     no kernel takes it; MESSAGE is the last error line of linux-6.18
    // cpu=v4                instruction set to compile for, v3 unless said

The same compiler makes the same bytes, wherever the checkout is.  The manifest records which compiler it was; name one
with BPFBENCH_CLANG, e.g. `BPFBENCH_CLANG=clang-19 python datasets/build.py --check`.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import bpfbench as bb  # noqa: E402
from bpfbench.elf import read_btf  # noqa: E402
from bpfbench.elf.btf_subset import subset  # noqa: E402
from bpfbench.elf.btf_types import STRUCT  # noqa: E402
from bpfbench.toolchain import compile_object, find_compiler  # noqa: E402

KERNEL = "linux-6.18"
KERNEL_TYPES = ("task_struct", "signal_struct")
FRAMES = "tcp udp icmp ipv6 vlan options fragments arp tunnel short malformed flood".split()
#   program types whose programs can be run on frames
ON_FRAMES = ("xdp", "sched_cls", "socket_filter", "cgroup_skb")


def ip4(text: str) -> bytes:
    return bytes(int(part) for part in text.split("."))


def endpoint(address: str, port: int, protocol: int) -> bytes:
    """Address and port in network order, protocol in host order: a key of several programs."""
    return ip4(address) + struct.pack(">H", port) + struct.pack("<H", protocol)


def fnv(name: str) -> bytes:
    """The hash that xdp_dns computes of a name, as a map key."""
    value = 0x811C9DC5
    for byte in "".join("." + label for label in name.split(".")).encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return struct.pack("<I", value)


def prefix(address: bytes, length: int) -> bytes:
    return struct.pack("<I", length) + address


def mapped(text: str) -> bytes:
    """An IPv4 address as IPv6."""
    return bytes(10) + b"\xff\xff" + ip4(text)


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def hop(port: int) -> bytes:
    return u32(port) + bytes([2, 0, 0, 0, 1, port]) + bytes([2, 0, 0, 0, 2, port])


# What maps hold before a run: program -> map -> key -> value.  Other maps start empty.
FILLS: dict[str, dict[str, dict[bytes, bytes]]] = {
    "xdp_firewall": {
        "blocked_sources": {ip4("198.51.100.7"): bytes(8)},
        "closed_ports": {u32(23): b"\x01", u32(445): b"\x01", u32(9000): b"\x01"},
    },
    "xdp_load_balancer": {
        "services": {endpoint("10.0.0.100", 80, 6): u32(1), endpoint("10.0.0.100", 53, 17): u32(1)},
        "ring": {u32(slot): u32(slot * 7 % 5) for slot in range(251)},
        "backends": {
            u32(i): ip4(f"10.1.0.{i + 1}") + bytes([2, 0, 0, 0, 1, i]) + struct.pack("<H", 1) for i in range(4)
        },
    },
    "xdp_nat": {
        "inside": {
            endpoint("10.0.0.2", 40000, 17): endpoint("203.0.113.5", 61000, 17),
            endpoint("10.0.0.2", 40000, 6): endpoint("203.0.113.5", 61001, 6),
        },
        "outside": {endpoint("10.0.0.2", 40000, 6): endpoint("192.168.0.9", 4000, 6)},
    },
    "xdp_lpm_router": {
        "routes": {
            prefix(ip4("10.0.0.0"), 8): hop(1), prefix(ip4("10.0.0.0"), 24): hop(2),
            prefix(ip4("10.0.0.1"), 32): hop(3),
        },
    },
    "xdp_dns": {"blocked_names": {fnv("ads.example.com"): u32(1), fnv("example.org"): u32(2)}},
    "cgroup_egress": {
        "policies": {
            prefix(mapped("10.0.0.0"), 96 + 24): struct.pack("<IIQ", 1, 24, 0),
            prefix(mapped("10.0.0.100"), 128): struct.pack("<IIQ", 0, 32, 0),
            prefix(bytes.fromhex("20010db8") + bytes(12), 32): struct.pack("<IIQ", 0, 32, 0),
        },
    },
    "cgroup_connect": {"services": {endpoint("10.0.0.100", 80, 6): endpoint("10.1.0.1", 8080, 6)}},
}  # fmt: skip


def sources() -> list[Path]:
    return sorted(HERE.glob("*.c"))


def remarks(source: Path) -> dict[str, str]:
    """`rejected` and `cpu` from the comments at the top."""
    found: dict[str, str] = {}
    for line in source.read_text().splitlines():
        if not line.startswith("// "):
            break
        for key, separator in (("rejected", ": "), ("cpu", "=")):
            if line.startswith(f"// {key}{separator}"):
                found[key] = line.removeprefix(f"// {key}{separator}")
    return found


def build(source: Path) -> bytes:
    return compile_object(source, cpu=remarks(source).get("cpu", "v3"))


def entries(source: Path) -> Iterator[dict[str, object]]:
    """The manifest's entries for the programs of one object."""
    told = remarks(source)
    for program in bb.load(source.with_suffix(".o")).programs.values():
        runnable = program.type in ON_FRAMES and "rejected" not in told
        entry: dict[str, object] = {
            "name": program.name, "file": source.with_suffix(".o").name, "source": source.name, "program": program.name,
            "section": program.section, "type": program.type, "slots": len(program), "cpu": told.get("cpu", "v3"),
            "expectation": "reject" if "rejected" in told else "accept",
        }  # fmt: skip
        if "rejected" in told:
            entry["message"] = told["rejected"]
        if runnable:
            entry["captures"] = [f"captures/{name}.pcap" for name in FRAMES]
        if program.name in FILLS:
            entry["maps"] = {
                name: {key.hex(): value.hex() for key, value in table.items()}
                for name, table in FILLS[program.name].items()
            }
        yield entry


def write_all() -> int:
    for source in sources():
        source.with_suffix(".o").write_bytes(build(source))
    manifest = {
        "compiler": f"clang {find_compiler().version}",
        "kernel": KERNEL,
        "programs": [entry for source in sources() for entry in entries(source)],
    }
    (HERE / "datasets.json").write_text(json.dumps(manifest, indent=1) + "\n")
    print(f"{len(sources())} objects, {len(manifest['programs'])} programs, {manifest['compiler']}")
    return 0


def check() -> int:
    """0 if compiling again gives the same bytes."""
    recorded = json.loads((HERE / "datasets.json").read_text())["compiler"]
    if recorded != f"clang {find_compiler().version}":
        print(f"built with {recorded}; this is clang {find_compiler().version}, so a difference would say nothing")
        return 1
    different = [s.name for s in sources() if s.with_suffix(".o").read_bytes() != build(s)]
    print(f"{len(sources()) - len(different)} objects are the same, different: {', '.join(different) or 'none'}")
    return 1 if different else 0


def write_btf() -> int:
    """What `load` takes for programs that need a kernel's types, where the running kernel shows none."""
    whole = read_btf(Path("/sys/kernel/btf/vmlinux").read_bytes())
    part = subset(whole, [id for name in KERNEL_TYPES if (id := whole.find(name, STRUCT)) is not None])
    (HERE / "kernel.btf").write_bytes(part.to_bytes())
    print(f"{len(part)} of {len(whole)} types")
    return 0


def ask_kernel() -> int:
    """0 if the running kernel decides every program as the manifest says."""
    wrong = 0
    programs = json.loads((HERE / "datasets.json").read_text())["programs"]
    for entry in programs:
        verdict = bb.kernel.verify(bb.load(HERE / entry["file"]).programs[entry["program"]])
        expected = entry["expectation"] == "accept"
        if verdict.accepted != expected or (not expected and verdict.message != entry["message"]):
            wrong += 1
            print(f"{entry['file']} {entry['program']}: {verdict}, expected {entry.get('message', 'accepted')}")
    print(f"{len(programs) - wrong} of {len(programs)} programs decided as expected")
    return 1 if wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--check", action="store_true", help="compare with the objects that are here")
    group.add_argument("--kernel", action="store_true", help="compare with the running kernel")
    group.add_argument("--btf", action="store_true", help="write kernel.btf from the running kernel")
    options = parser.parse_args()
    chosen = check if options.check else ask_kernel if options.kernel else write_btf if options.btf else write_all
    raise SystemExit(chosen())

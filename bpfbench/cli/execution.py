"""run, compare, plugin: execute programs on every engine, and hold the engines against each other."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import bpfbench as bb
from bpfbench.cli.inputs import add_input, one_program, programs
from bpfbench.errors import BpfbenchError, UsageError, Where
from bpfbench.program.program import Program

ENGINES = ("interp", "native", "emulate:x86_64", "emulate:aarch64", "emulate:arm", "emulate:mips64", "emulate:ppc64",
           "emulate:riscv64", "nfp", "kernel")  # fmt: skip


def add(commands: Any) -> None:
    run = commands.add_parser("run", help="run a program on packet data")
    add_input(run, batch=True)
    run.add_argument("--engine", default="interp", help=f"one of: {', '.join(ENGINES)}")
    _packet_option(run)
    run.add_argument("--trace", action="store_true", help="print every executed instruction")
    run.set_defaults(run=run_file)

    compare = commands.add_parser("compare", help="the same run on several engines; status 1 if they differ")
    add_input(compare)
    _packet_option(compare)
    compare.add_argument("--engines", default="", help="comma-separated (all that can run here)")
    compare.set_defaults(run=compare_engines)

    plugin = commands.add_parser("plugin", help="bpf_conformance plugin: program as hex on stdin, r0 on stdout")
    plugin.add_argument("--engine", default="interp")
    plugin.add_argument("memory", nargs="?", default="", help="memory handed to the program, as hex")
    plugin.add_argument("--program", dest="program_hex", default="", help="program as hex, instead of stdin")
    plugin.add_argument("--elf", action="store_true", help="accepted for compatibility; objects are not read here")
    plugin.set_defaults(run=conformance)


def _packet_option(command: argparse.ArgumentParser) -> None:
    command.add_argument("--data", default="", metavar="HEX|FILE", help="packet: hex, raw bytes, or a .pcap")
    command.add_argument("--packet", type=int, default=-1, metavar="N", help="only packet N of a capture")


def packets(args: argparse.Namespace) -> list[bytes]:
    """The packets that --data names; one of 64 zero bytes without it."""
    if not args.data:
        return [bytes(64)]
    try:
        return [bytes.fromhex(args.data)]
    except ValueError:
        pass
    path = Path(args.data)
    if path.suffix not in (".pcap", ".cap"):
        return [path.read_bytes()]
    from bpfbench.interp.pcap import read_pcap

    found = [packet.data for packet in read_pcap(path)]
    if args.packet >= len(found):
        raise UsageError(f"there is no packet {args.packet}; the capture has {len(found)}", Where(file=args.data))
    return found if args.packet < 0 else [found[args.packet]]


def execute(prog: Program, data: bytes, engine: str, **options: Any) -> Any:
    """One run on any engine, the live kernel included."""
    return bb.kernel.run(prog, data) if engine == "kernel" else bb.run(prog, data, engine=engine, **options)


def outcome(result: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"r0": result.r0}
    trap = getattr(result, "trap", None)
    if trap is not None:
        row["trap"] = str(trap)
    if result.data:
        row["data"] = bytes(result.data).hex()
    return row


def on_card(result: Any) -> dict[str, Any]:
    """What a run on the NFP tells beside."""
    return {name: getattr(result, name) for name in ("verdict", "cycles", "insns_executed") if hasattr(result, "verdict")}


def run_file(args: argparse.Namespace) -> int:
    if args.batch:
        from bpfbench.cli.many import batch

        return batch(args, lambda record, prog: outcome(execute(prog, _batch_data(record), args.engine)))
    if not getattr(args, "each", False):
        return run_program(one_program(args), args)
    status = 0
    for prog in programs(args):                            # one of many files: a program that cannot run stops no other
        try:
            status = max(status, run_program(prog, args, f"{prog.name}: "))
        except BpfbenchError as error:
            print(f"bpfbench: {args.file}: {prog.name}: {error}", file=sys.stderr)
            status = 2
    return status


def run_program(prog: Program, args: argparse.Namespace, head: str = "") -> int:
    """Runs it on every packet, and prints each outcome."""
    status = 0
    for number, data in enumerate(packets(args)):
        result = execute(prog, data, args.engine, **({"trace": True} if args.trace else {}))
        row = outcome(result) | on_card(result)
        status |= 1 if "trap" in row else 0
        if args.json:
            print(json.dumps({"name": prog.name, "packet": number, **row}))
            continue
        if args.trace:
            for event in result.trace:
                print(event)
        changed = "" if bytes(result.data) == data else f", packet now {len(result.data)} bytes"
        cost = f", {row['verdict']} after {row['cycles']} cycles" if "verdict" in row else ""
        end = f"trap: {row['trap']}" if "trap" in row else f"r0 = {result.r0:#x}{changed}{cost}"
        print(f"{head}packet {number}: {end}")
    return status


def _batch_data(record: dict[str, Any]) -> bytes:
    try:
        return bytes.fromhex(str(record.get("data", "")))
    except ValueError:
        raise UsageError("key 'data' must be hex digits") from None


def compare_engines(args: argparse.Namespace) -> int:
    prog = one_program(args)
    engines = [e for e in args.engines.split(",") if e] or [e for e in ENGINES if e != "nfp"]
    differences = 0
    rows: list[dict[str, Any]] = []
    for number, data in enumerate(packets(args)):
        first: dict[str, Any] | None = None
        for engine in engines:
            try:
                found = outcome(execute(prog, data, engine))
            except BpfbenchError as error:
                if args.engines:
                    raise
                rows.append({"packet": number, "engine": engine, "skipped": error.message})
                continue
            found["r0"] &= 0xFFFF_FFFF                     # what a kernel hook looks at
            first = first or found
            same = found == first
            differences += not same
            rows.append({"packet": number, "engine": engine, "same": same, **found})
    if args.json:
        print(json.dumps({"name": prog.name, "differences": differences, "rows": rows}))
    else:
        for row in rows:
            said = row.get("skipped") or f"r0 = {row['r0']:#x}" + ("" if row["same"] else "    <- differs")
            print(f"packet {row['packet']:3}  {row['engine']:16} {said}")
        print(f"{prog.name}: {differences} differences")
    return 1 if differences else 0


def conformance(args: argparse.Namespace) -> int:
    from bpfbench.plugin import run

    return run(args.memory, args.program_hex or sys.stdin.read(), args.engine)

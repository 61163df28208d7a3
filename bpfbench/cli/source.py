"""cc, asm, dis, cfg: from C and text to instructions, and back to text and graphs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bpfbench.cli.inputs import add_input, one_program, programs, show
from bpfbench.errors import UsageError
from bpfbench.isa.codec import encode
from bpfbench.isa.text import DIALECTS, disassemble, format_insn


def add(commands: Any) -> None:
    cc = commands.add_parser("cc", help="compile C to a BPF object")
    cc.add_argument("file")
    cc.add_argument("-o", dest="output", metavar="FILE", help="object to write (FILE.o)")
    cc.add_argument("-m", "--cpu", default="v3", help="-mcpu (v1 v2 v3 v4)")
    cc.add_argument("-O", dest="opt", default="2", help="optimisation level (2)")
    cc.add_argument("-I", dest="include", action="append", default=[], metavar="DIR")
    cc.add_argument("-D", dest="define", action="append", default=[], metavar="NAME[=VALUE]")
    cc.set_defaults(run=compile_file)

    asm = commands.add_parser("asm", help="assemble text to program JSON, raw slots or hex")
    add_input(asm)
    asm.add_argument("-o", dest="output", metavar="FILE", help="raw instructions to write")
    asm.set_defaults(run=assemble)

    dis = commands.add_parser("dis", help="disassemble: text as llvm-objdump -d or as the kernel prints it")
    add_input(dis)
    dis.add_argument("--notation", choices=DIALECTS, default="llvm",
                     help="llvm: as LLVM 20 and newer do; kernel: as bpftool and logs do")  # fmt: skip
    dis.add_argument("--asm", action="store_true", help="assembly with labels that assembles to the same bytes")
    dis.add_argument("--linked", action="store_true", help="programs as they are loaded, not the file's sections")
    dis.set_defaults(run=disassembly)

    cfg = commands.add_parser("cfg", help="control-flow graph: blocks, loops, depth-first walk")
    add_input(cfg)
    cfg.add_argument("--dot", action="store_true", help="Graphviz source")
    cfg.add_argument("--svg", metavar="FILE", help="draw to a file")
    cfg.add_argument("--dfs", action="store_true", help="the depth-first walk, step by step (slides 26-28)")
    cfg.add_argument("--loops", action="store_true", help="induction variables, trip counts, and what kernels do")
    cfg.set_defaults(run=graph)

    man = commands.add_parser("man", help="manual page of an operation, or the list of operations")
    man.add_argument("op", nargs="?", default="")
    man.set_defaults(run=manual_page)


def compile_file(args: argparse.Namespace) -> int:
    from bpfbench.toolchain.clang import compile_object

    path = Path(args.file)
    extra = [f"-I{d}" for d in args.include] + [f"-D{d}" for d in args.define]
    raw = compile_object(path, cpu=args.cpu, opt=f"-O{args.opt}", extra=tuple(extra))
    output = Path(args.output or path.with_suffix(".o").name)
    output.write_bytes(raw)
    print(f"{output}: {len(raw)} bytes")
    return 0


def assemble(args: argparse.Namespace) -> int:
    prog = one_program(args)
    if args.output:
        Path(args.output).write_bytes(prog.raw)
    elif args.json:
        print(json.dumps(prog.to_json()))
    else:
        for pc, insn in enumerate(prog.insns):
            if insn is not None:
                print(f"{pc:4}:  {encode([insn]).hex(' ')}  {format_insn(insn)}")
    return 0


def disassembly(args: argparse.Namespace) -> int:
    if Path(args.file).suffix == ".o" and not (args.linked or args.program or args.asm or args.json):
        return _sections(args)
    for prog in programs(args):
        if args.json:
            rows = prog.listing(args.notation).to_json()
            print(json.dumps(rows))
        elif args.asm:
            print(f".type {prog.type}\n.license {prog.license}")
            for i, m in enumerate(prog.maps):
                print(f".map {m.name or f'map{i}'} {m.type} {m.key_size} {m.value_size} {m.max_entries} {m.flags}")
            print(disassemble(prog.insns, args.notation.split("-")[0]))
        else:
            print(prog.listing(args.notation))
    return 0


def _sections(args: argparse.Namespace) -> int:
    """The code sections of an object as they stand in the file, laid out as llvm-objdump does."""
    from bpfbench.elf.listing import code_listing
    from bpfbench.elf.loader import load

    obj = load(args.file)
    print(f"\n{args.file}:\tfile format elf64-bpf")
    for section in obj.code:
        print(f"\nDisassembly of section {section.name}:")
        sys.stdout.write(code_listing(section, obj.big_endian, args.notation))
    return 0


def graph(args: argparse.Namespace) -> int:
    from bpfbench.program import cfg as cfgs

    prog = one_program(args)
    built = cfgs.build(prog)
    if args.dfs:
        from bpfbench.program.dfs import walk

        print(walk(prog))
    elif args.loops:
        from bpfbench.program.loops import analyse

        for facts in analyse(built):
            print(facts)
    elif args.svg:
        from bpfbench.notebook.graph import draw

        Path(args.svg).write_text(draw(built))
        print(f"{args.svg}: {len(built.blocks)} blocks")
    elif args.dot:
        print(built.to_dot())
    elif args.json:
        show(_graph_json(built))
    else:
        print(built)
    return 0


def _graph_json(cfg: Any) -> dict[str, Any]:
    return {
        "functions": [[f.start, f.end] for f in cfg.functions],
        "blocks": [{"start": b.start, "end": b.end, "idom": b.idom, "loop": b.loop} for b in cfg.blocks],
        "edges": [{"source": e.source, "target": e.target, "kind": e.kind, "back": e.back} for e in cfg.edges],
        "loops": len(cfg.loops),
    }


def manual_page(args: argparse.Namespace) -> int:
    from bpfbench.isa.ops import OP, OPS
    from bpfbench.isa.reference import page

    if not args.op:
        for op in OPS:
            print(f"{op.name:20} {op.code:02x}  {op.meaning}")
        return 0
    wanted = args.op.upper()
    if wanted not in OP:
        near = [name for name in OP if name.startswith(wanted[:3])]
        raise UsageError(f"there is no operation '{args.op}'" + (f"; near: {', '.join(near[:8])}" if near else ""))
    print(page(wanted))
    return 0

"""The journey of one real program: C, object, instructions, graph, verification, native code, execution.

`make tour` writes it as one HTML page; notebook 00 takes the same steps one cell at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bpfbench.elf.loader import load
from bpfbench.elf.object import Object
from bpfbench.errors import BpfbenchError, UsageError, Where
from bpfbench.notebook import report, views
from bpfbench.notebook.html import cards, esc, page, row, section, table
from bpfbench.notebook.widgets import module
from bpfbench.profiles import DEFAULT
from bpfbench.program.program import Program

PROGRAM = "xdp_firewall"
ENGINES = ("interp", "native", "emulate:x86_64", "emulate:aarch64", "emulate:arm", "emulate:mips64", "emulate:ppc64",
           "emulate:riscv64")  # fmt: skip
MOST_PACKETS = 24
ACTIONS = {0: "ABORTED", 1: "DROP", 2: "PASS", 3: "TX", 4: "REDIRECT"}


def tour(datasets: Path, say: Callable[[str], None] = lambda text: None, name: str = PROGRAM) -> str:
    """The page as text; `say` is told each step."""
    path = datasets / f"{name}.c"
    if not path.exists():
        raise UsageError("the data sets are not here; run this in a clone of bpfbench", Where(file=str(path)))
    say(f"1  C source          {path}")
    obj, how = compiled(path)
    say(f"2  object            {how}")
    prog = next(iter(obj.programs.values()))
    say(f"3  instructions      {len(prog.insns)} slots, {len(prog.maps)} maps")
    graph = report.attempt(lambda: report.control_flow(prog))
    say("4  control flow      drawn")
    verified = report.attempt(lambda: report.verification(prog, DEFAULT))
    say(f"5  verification      as {DEFAULT} does it")
    native = report.attempt(lambda: report.native(prog))
    say(f"6  native code       {', '.join(report.HOSTS)}")
    ran = executed(prog, datasets, say)
    say("7  execution         every engine on real packets")
    steps = [
        ("C source", f"<p>The program that goes on the journey. It is {esc(path.name)}, as written.</p>",
         views.source(path.read_text(encoding="utf-8"))),
        ("Object", f"<p>{esc(how)}. The loader found programs, maps, relocations and types.</p>", about_object(obj)),
        ("Instructions", "<p>Each instruction under the C line it came from. Point at one: it lights up in every view "
         "below; click it and they scroll to it.</p>", views.program(prog)),
        ("Control flow", "<p>The verifier's first question: is every instruction reachable, and does control stay "
         "inside? (slides 17, 25-28)</p>", graph),
        ("Verification", "<p>Then it walks every path and tracks what each register can hold (slides 19, 29-33).</p>",
         verified),
        ("Native code", "<p>An accepted program is translated one instruction at a time (slides 35-38). These are the "
         "bytes that the Linux JIT of each machine emits.</p>", native),
        ("Execution", "<p>The interpreter, the native code in a child process, and the code of the other machines in "
         "an emulator must agree on every packet.</p>", ran),
    ]  # fmt: skip
    links = "".join(f'<li><a href="#step{i}">{esc(title)}</a></li>' for i, (title, *_) in enumerate(steps, 1))
    body = [f"<h1>One program, from C to every machine</h1><p>{esc(name)}: an XDP program on its way through the eBPF "
            f"JIT compiler.</p><nav aria-label=\"steps\"><ol>{links}</ol></nav>"]  # fmt: skip
    body += [module()] + [section(f"{i}. {title}", f"step{i}", *parts) for i, (title, *parts) in enumerate(steps, 1)]
    return page("bpfbench: the tour", "\n".join(body))


def compiled(path: Path) -> tuple[Object, str]:
    """The object, compiled here if a compiler is at hand, else the prebuilt one; and which of the two it was."""
    from bpfbench.toolchain.clang import compile_c, find_compiler

    try:
        compiler = find_compiler()
        return compile_c(path), f"compiled with clang {compiler.version}"
    except BpfbenchError as error:
        return load(path.with_suffix(".o")), f"prebuilt {path.with_suffix('.o').name} ({error.message})"


def about_object(obj: Object) -> str:
    prog = next(iter(obj.programs.values()))
    types = len(obj.btf) if obj.btf is not None and hasattr(obj.btf, "__len__") else 0
    figures = cards([("bytes", len(obj.raw)), ("programs", len(obj.programs)), ("maps", len(obj.maps)),
                     ("BTF types", types), ("licence", obj.license)])  # fmt: skip
    return figures + views.maps(prog)


def executed(prog: Program, datasets: Path, say: Callable[[str], None]) -> str:
    """A table of packets against engines, with a last column that says whether all agree."""
    from bpfbench.execute import run
    from bpfbench.kernel import available
    from bpfbench.kernel import run as kernel_run

    packets = capture(datasets)
    engines = [*ENGINES, "kernel"]
    state = available()
    skipped: list[str] = [] if state else [f"kernel: {state.reason}"]
    results: dict[str, list[tuple[int, bytes]]] = {}
    for engine in engines:
        try:
            if engine == "kernel" and not state:
                continue
            outs = [kernel_run(prog, p) if engine == "kernel" else run(prog, p, engine) for p in packets]
            results[engine] = [(out.r0 & 0xFFFF_FFFF, bytes(out.data)) for out in outs]
        except BpfbenchError as error:
            skipped.append(f"{engine}: {error.message}")
    rows = []
    for i, packet in enumerate(packets):
        seen = [answer[i] for answer in results.values()]
        shown = [ACTIONS.get(r0, str(r0)) for r0, _ in seen]
        same = all(s == seen[0] for s in seen)
        rows.append(row([i, f"{packet[:14].hex(' ')} … {len(packet)} bytes", *shown, "yes" if same else "NO"]))
        if not same:
            say(f"   packet {i}: the engines differ")
    heads = ["packet", "begins with", *results, "all agree"]
    return table(heads, rows, "runs") + "".join(f'<p class="dim">{esc(s)}</p>' for s in skipped)


def capture(datasets: Path) -> list[bytes]:
    """Packets of every kind; one of 64 zero bytes if there is no capture."""
    from bpfbench.interp.pcap import read_pcap

    path = datasets / "captures" / "mixed.pcap"
    return [p.data for p in read_pcap(path)][:MOST_PACKETS] if path.exists() else [bytes(64)]

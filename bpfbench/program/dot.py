"""A control-flow graph as text in the DOT language, for any Graphviz.

One record per block with its instructions and, above them, the C lines they came from; functions and loops are
clusters; back edges are thick and dashed, so that they can be told without colour.  Colours are of the Okabe-Ito
palette.

DOT: https://graphviz.org/doc/info/lang.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bpfbench.isa.text import format_insn

if TYPE_CHECKING:
    from bpfbench.program.cfg import Cfg, Edge

#         edge kind   attributes
EDGES: Final = {
    "fall":  'color="#000000"',
    "taken": 'color="#0072B2"',
    "goto":  'color="#000000"',
}  # fmt: skip
BACK: Final = 'color="#D55E00" style=dashed penwidth=2'
DEPTH_FILL: Final = ("#FFFFFF", "#FFF6E0", "#FFEBC2", "#FFE0A3", "#FFD485")  # deeper loops are darker


def block_lines(cfg: Cfg, block: int) -> list[tuple[str, bool]]:
    """(text, is source line) of what a block shows, in order; a source line that goes on is not repeated."""
    shown: list[tuple[str, bool]] = []
    current = ("", 0)
    for pc, insn in cfg.insns(block):
        line = cfg.program.lines.get(pc)
        if line is not None and (line.file, line.line) != current:
            current = (line.file, line.line)
            where = f"{line.file.rsplit('/', 1)[-1]}:{line.line}"
            shown.append((f"{where}  {line.text.strip()}".rstrip(), True))
        shown.append((f"{pc:4}: {format_insn(insn)}", False))
    return shown


def to_dot(cfg: Cfg) -> str:
    """DOT text; the same graph always gives the same text.

    >>> from bpfbench.program.program import from_assembly
    >>> from bpfbench.program.cfg import build
    >>> print(to_dot(build(from_assembly("r0 = 0\\nexit"))))
    digraph "prog" {
      node [shape=box fontname="monospace" fontsize=10 style=filled fillcolor="#FFFFFF"];
      subgraph cluster_f0 {
        label="func 0";
        b0 [label="   0: r0 = 0\\l   1: exit\\l"];
      }
    }
    """
    out = [f"digraph {_quoted(cfg.program.name)} {{",
           '  node [shape=box fontname="monospace" fontsize=10 style=filled fillcolor="#FFFFFF"];']  # fmt: skip
    for function in cfg.functions:
        out += [f"  subgraph cluster_f{function.index} {{", f"    label={_quoted(function.name)};"]
        out += [_node(cfg, b.index) for b in cfg.blocks if b.function == function.index]
        out.append("  }")
    out += [f"  b{edge.source} -> b{edge.target} [{_style(edge)}];" for edge in cfg.edges]
    return "\n".join([*out, "}"])


def _node(cfg: Cfg, index: int) -> str:
    block = cfg.blocks[index]
    label = "".join(_escaped(text) + "\\l" for text, _ in block_lines(cfg, index))
    attributes = [f'label="{label}"']
    if block.loop >= 0:
        attributes.append(f'fillcolor="{DEPTH_FILL[min(cfg.loops[block.loop].depth, len(DEPTH_FILL) - 1)]}"')
    if any(loop.header == index for loop in cfg.loops):
        attributes.append("penwidth=2")
    if not block.reachable:
        attributes.append('style="filled,dotted"')
    return f"    b{index} [{' '.join(attributes)}];"


def _style(edge: Edge) -> str:
    if edge.back:
        return f'{BACK} label="back"'
    return EDGES[edge.kind] + (' label="taken"' if edge.kind == "taken" else "")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def plain_dot(nodes: list[tuple[str, float, float]], edges: list[tuple[str, str]], quick: bool = False) -> str:
    """DOT text for layout alone: boxes of fixed size (name, width, height in inches) without labels.

    Without labels Graphviz measures no text, so the layout depends on no font; `quick` bounds its optimisation, for
    large graphs.
    """
    limits = " nslimit=1 nslimit1=1 mclimit=0.2 splines=polyline" if quick else ""
    out = [f"digraph g {{ graph [nodesep=0.3 ranksep=0.45{limits}];",
           'node [shape=box label="" fixedsize=true]; edge [arrowhead=none];']  # fmt: skip
    out += [f"{name} [width={width:.3f} height={height:.3f}];" for name, width, height in nodes]
    out += [f"{source} -> {target};" for source, target in edges]
    return "\n".join([*out, "}"])

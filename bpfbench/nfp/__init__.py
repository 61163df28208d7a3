"""The Netronome NFP as a place for eBPF programs: what the code generator is told, and its optimisation passes.

    notes.py         what is known about each instruction: pointer classes, ranges, dead code
    gather.py        the same, from our own verifier's walk
    peephole.py      removed moves, masks and shifts; negative constants made positive
    memcpy.py        copies gathered into one memory command (slides 44-47)
    packet_cache.py  packet bytes kept in transfer registers (slides 48-51)
    defuse.py        define-use chains (slide 56)
    width32.py       which upper halves are dead: the verifier's marks, and seeds along the chains (slides 52-59)
    passes.py        the passes in order          reports.py  what each of them achieved
    slides.py        the slides' own examples
    offload.py       the rules by which the driver refuses a program

The code generator itself is jit/nfp*.py.
"""

from bpfbench.nfp.reports import Reports, reports

__all__ = ["Reports", "reports"]

"""The Netronome NFP as a place for eBPF programs: what the code generator is told, and its optimisation passes.

    notes.py         what is known about each instruction: pointer classes, ranges, dead code
    gather.py        the same, from our own verifier's walk
    peephole.py      removed moves, masks and shifts; negative constants made positive
    memcpy.py        copies gathered into one memory command (slides 44-47)
    packet_cache.py  packet bytes kept in transfer registers (slides 48-51)
    alu32.py         upper halves that nobody reads: the verifier's marks, solution 1 (slides 52-55)
    defuse.py        definitions and uses of each register half
    width32.py       which upper halves are dead, solution 2 (slides 56-59)
    offload.py       the rules by which the driver refuses a program

The code generator itself is jit/nfp*.py.
"""

"""Debug information for JITed images, separate from the images.

    describe(code, program, address)   lines, functions, frames of one image     -> Described
    Described.elf()                    the .debug file (DWARF, symbols, build id)
    perf_map, write_perf_map, jitdump  files for perf
    gdbjit.register(described)         tell a debugger attached to this process
"""

from bpfbench.debug.debugfile import Described, describe
from bpfbench.debug.perfmap import jitdump, perf_map, write_perf_map

__all__ = ["Described", "describe", "jitdump", "perf_map", "write_perf_map"]

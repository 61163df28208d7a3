"""Debug information for JITed images, separate from the images.

    describe(code, program, address)   lines, functions, frames of one image     -> Described
    c_variables(object file)           C variables, to be passed to `describe`    -> list of CVariable
    Described.elf()                    the .debug file (DWARF, symbols, build id)
    write_perf_map, write_jitdump      files for perf
    gdbjit.register(described)         tell a debugger attached to this process
    stepper.record(program, data)      a run that can be stepped through in both directions
"""

from bpfbench.debug.debugfile import Described, describe
from bpfbench.debug.perfmap import jitdump, perf_map, write_jitdump, write_perf_map
from bpfbench.debug.variables import CVariable, c_variables

__all__ = ["CVariable", "Described", "c_variables", "describe", "jitdump", "perf_map", "write_jitdump",
           "write_perf_map"]  # fmt: skip

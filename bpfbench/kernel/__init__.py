"""The live kernel as an oracle: its verifier, its JIT and its test-run, one call each.  Nothing is ever attached.

    available()           may bpf(2) be used here, and if not, why
    verify(prog)          verdict, errno, message, log, statistics        -> KernelVerdict
    verify_many(progs)    the same for many programs                      -> iterator
    jit(prog)             rewritten and native code                       -> KernelImage
    run(prog, data)       a test run: r0, packet, context, maps, time     -> KernelRun
    load(prog)            keep it in the kernel for several of these      -> Loaded, a context manager
"""

from bpfbench.kernel.available import Availability, available
from bpfbench.kernel.bulk import verify_many
from bpfbench.kernel.jit import KernelImage, jit
from bpfbench.kernel.loaded import Loaded, load
from bpfbench.kernel.run import KernelRun, fill, run, run_loaded, set_program
from bpfbench.kernel.verify import KernelVerdict, verify

__all__ = [
    "Availability", "KernelImage", "KernelRun", "KernelVerdict", "Loaded", "available", "fill", "jit", "load", "run",
    "run_loaded", "set_program", "verify", "verify_many",
]  # fmt: skip

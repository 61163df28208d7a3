"""The interpreter: run a program with its maps, helpers, context and packet, and watch it.

`run(program, packet)` returns a `Result`; see `machine.py`.
"""

from bpfbench.interp.contexts import Context
from bpfbench.interp.machine import DEFAULT_BUDGET, Machine, Result, run
from bpfbench.interp.observe import Observer, Recorder
from bpfbench.interp.pcap import read_pcap, write_pcap
from bpfbench.interp.runtime import Maps, Runtime, surroundings
from bpfbench.interp.trap import Trap

__all__ = [
    "DEFAULT_BUDGET", "Context", "Machine", "Maps", "Observer", "Recorder", "Result", "Runtime", "Trap", "read_pcap",
    "run", "surroundings", "write_pcap",
]  # fmt: skip

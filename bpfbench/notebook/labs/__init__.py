"""Laboratories: change an input, see what the verifier makes of it.

>>> from bpfbench.notebook import labs
>>> labs.tnum_lab()
TnumLab(add: 01xx + 00x1 = xxxx, 10 numbers too many)
"""

from bpfbench.notebook.labs.bounds import BoundsLab, bounds_lab
from bpfbench.notebook.labs.dfs import DfsLab, dfs_lab
from bpfbench.notebook.labs.encoding import EncodingLab, encoding_lab
from bpfbench.notebook.labs.lab import Lab, static_lab
from bpfbench.notebook.labs.liveness import LivenessLab, liveness_lab
from bpfbench.notebook.labs.pruning import PruningLab, pruning_lab
from bpfbench.notebook.labs.runs import RunsLab, runs_lab
from bpfbench.notebook.labs.tnum import TnumLab, tnum_lab

__all__ = [
    "BoundsLab", "DfsLab", "EncodingLab", "Lab", "LivenessLab", "PruningLab", "RunsLab", "TnumLab", "bounds_lab",
    "dfs_lab", "encoding_lab", "liveness_lab", "pruning_lab", "runs_lab", "static_lab", "tnum_lab",
]  # fmt: skip

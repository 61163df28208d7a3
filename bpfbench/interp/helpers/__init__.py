"""The helper functions: what programs call in the kernel, on the interpreter's memory, maps and packets.

A helper is a plain function `fn(runtime, a1, …)` of the unsigned 64-bit arguments; it returns what r0 gets (negative
errno as usual) and raises `ProgramFault` for an argument that no verified program can pass.  Each file ends with its
rows; `HELPERS` joins them by number.
"""

from __future__ import annotations

from typing import Final

from bpfbench.interp.helpers import basic, callbacks, redirects, sockets, trace, xdp
from bpfbench.interp.helpers import maps as map_helpers
from bpfbench.interp.helpers import skb as skb_helpers
from bpfbench.interp.helpers.row import Row
from bpfbench.isa.helpers import helper_id

HELPERS: Final[dict[int, Row]] = {
    helper_id(row.name): row
    for rows in (
        basic.ROWS, map_helpers.ROWS, skb_helpers.ROWS, xdp.ROWS, redirects.ROWS, sockets.ROWS, trace.ROWS,
        callbacks.ROWS,
    )
    for row in rows
}  # fmt: skip

"""The switches: which wrong rule each name puts back.

| kind    | what changes |
|---|---|
| field   | a field of `Features` that says the check is there |
| number  | `Arithmetic.faulty`, a transfer function asked before the right ones |
| compare | `Features.combine`, what one width of a compared number says about the other |

The names are CVE numbers, or, where nobody asked for one, a word and the fixing commit stands in the row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

if TYPE_CHECKING:
    from bpfbench.verifier.features import Features


@final
class Switch:
    """A row: the wrong rule, the commit that fixed it, the kernels that had it."""

    __slots__ = ("name", "kind", "rule", "commit", "kernels")

    def __init__(self, name: str, kind: str, rule: str, commit: str, kernels: str) -> None:
        self.name = name
        self.kind = kind
        self.rule = rule
        self.commit = commit
        self.kernels = kernels

    def __repr__(self) -> str:
        return f"<{self.name}: fixed by {self.commit}>"


#                    name                  kind       rule                       fixed by        kernels that had it
SWITCHES: Final[dict[str, Switch]] = {s.name: s for s in (
    Switch("CVE-2017-16995",         "field",   "mov32_sign",              "95a762e2c8c9", "4.4 to 4.14"),
    Switch("CVE-2017-17852",         "number",  "untruncated",             "468f6eafa6c4", "4.14"),
    Switch("CVE-2017-17853",         "number",  "stale_signed_maximum",    "4374f256ce81", "4.14"),
    Switch("CVE-2018-18445",         "number",  "shift_before_truncation", "b799207e1e18", "4.15 to 4.18"),
    Switch("arsh32",                 "number",  "sign_at_bit_63",          "0af2ffc93a4b", "4.18 to 5.4"),
    Switch("CVE-2020-8835",          "compare", "offset32",                "f2d67fec0b43", "5.5, 5.6"),
    Switch("CVE-2020-27194",         "number",  "half_from_whole",         "5b9fbeb75b6a", "5.7, 5.8"),
    Switch("CVE-2021-3490",          "number",  "forgotten_half",          "049c4e13714e", "5.7 to 5.12"),
    Switch("CVE-2021-31440",         "compare", "one_end",                 "10bf4e83167c", "5.7 to 5.12"),
    Switch("CVE-2022-23222",         "field",   "nullable_moves",          "c25b2ae13603", "5.8 to 5.16"),
    Switch("CVE-2023-2163",          "field",   "jump_chain",              "71b547f56124", "5.3 to 6.2"),
    Switch("scalar-ids",             "field",   "ids_compared",            "1ffc85d9298e", "5.10 to 6.4"),
    Switch("callbacks-once",         "field",   "callbacks_as_loops",      "ab5cfac139ab", "5.13 to 6.6"),
    Switch("CVE-2024-58098",         "field",   "pkt_data_subprogs",       "51081a3f25c7", "5.6 to 6.12"),
)}  # fmt: skip
TURNED_ON: Final = ("mov32_sign", "nullable_moves")        # fields that are true when the bug is there


def restore(k: Features, name: str) -> None:
    """Put one wrong rule into a row of switches."""
    switch = SWITCHES[name]
    if switch.kind == "number":
        from bpfbench.verifier.history import arithmetic

        k.arith.faulty = getattr(arithmetic, switch.rule)
    elif switch.kind == "compare":
        from bpfbench.verifier.history import comparisons

        k.combine = getattr(comparisons, switch.rule)
    else:
        switched: Any = k
        setattr(switched, switch.rule, switch.rule in TURNED_ON)

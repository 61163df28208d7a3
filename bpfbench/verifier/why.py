"""Why a program was refused, in words; and which rule a message belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpfbench.verifier.verification import Verification


def rule_of(message: str) -> str:
    """The stable code of the rule behind a kernel message (a row of rules.py), "other" if it is not in the catalogue."""
    try:
        from bpfbench.verifier.rules import match
    except ImportError:
        return "other"
    found = match(message)
    return found.code if found is not None else "other"


def explain(v: Verification) -> str:
    if v.rejection is None:
        return f"Accepted: {v.stats}"
    r = v.rejection
    where = f"at instruction {r.pc}" if r.pc >= 0 else "before any path was walked"
    return f"Refused {where} with {r.errno}: {r.message}"

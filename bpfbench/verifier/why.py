"""Which rule a message belongs to; the explanation itself is explanation.py."""

from __future__ import annotations


def rule_of(message: str) -> str:
    """The stable code of the rule behind a kernel message (a row of rules.py), "other" if it is not in the catalogue.

    >>> rule_of("R9 !read_ok"), rule_of("hello")
    ('uninitialised', 'other')
    """
    from bpfbench.verifier.rules import match

    found = match(message)
    return found.code if found is not None else "other"

"""One row of the helper tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import final


@final
class Row:
    """`name` without "bpf_", the function, and how many of r1-r5 it takes."""

    __slots__ = ("name", "fn", "args")

    def __init__(self, name: str, fn: Callable[..., int], args: int) -> None:
        self.name = name
        self.fn = fn
        self.args = args

    def __repr__(self) -> str:
        return f"bpf_{self.name}/{self.args}"

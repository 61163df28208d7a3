"""Stand-in until BTF reading is wired."""

from __future__ import annotations


def fields_of(btf: bytes, type_id: int) -> list[tuple[str, int, int]]:
    return []


def function_of(btf: bytes, type_id: int) -> tuple[str, int, list[tuple[str, int]] | None]:
    return "", 0, None

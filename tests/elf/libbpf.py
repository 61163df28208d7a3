"""libbpf as an oracle: what its loader makes of an object, instruction by instruction.

The C library is opened with ctypes if the machine has it.  Loading an object makes its maps and programs in the kernel
and nothing more; they go away when the object is closed.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

Slot = tuple[int, int, int, int | str]      # code, registers, offset, immediate (a map: its name)


def library() -> Any:
    """libbpf, or None."""
    name = ctypes.util.find_library("bpf")
    if name is None:
        return None
    lib = ctypes.CDLL(name, use_errno=True)
    for function in ("bpf_object__open_file", "bpf_object__next_program", "bpf_object__next_map", "bpf_program__insns"):
        getattr(lib, function).restype = ctypes.c_void_p
    for function in ("bpf_program__name", "bpf_map__name"):
        getattr(lib, function).restype = ctypes.c_char_p
    lib.bpf_program__insn_cnt.restype = ctypes.c_size_t
    lib.libbpf_set_print.restype = ctypes.c_void_p
    lib.libbpf_set_print(None)
    return lib


def programs(lib: Any, path: Path) -> dict[str, list[Slot]] | None:
    """Name -> slots of every program, after libbpf loaded the object; None if it could not."""
    obj = lib.bpf_object__open_file(str(path).encode(), None)
    if not obj:
        return None
    try:
        if lib.bpf_object__load(ctypes.c_void_p(obj)):
            return None
        maps = {lib.bpf_map__fd(m): _name(lib.bpf_map__name(m)) for m in _walk(lib, obj, "map")}
        return {lib.bpf_program__name(p).decode(): _slots(lib, p, maps) for p in _walk(lib, obj, "program")}
    finally:
        lib.bpf_object__close(ctypes.c_void_p(obj))


def _walk(lib: Any, obj: int, what: str) -> list[ctypes.c_void_p]:
    step, found, at = getattr(lib, f"bpf_object__next_{what}"), [], None
    while at := step(ctypes.c_void_p(obj), ctypes.c_void_p(at)):
        found.append(ctypes.c_void_p(at))
    return found


def _name(raw: bytes) -> str:
    """libbpf puts the object's name before that of a data section; bpfbench does not."""
    text = raw.decode()
    return text[text.index(".") :] if "." in text else text


def _slots(lib: Any, program: ctypes.c_void_p, maps: dict[int, str]) -> list[Slot]:
    count = lib.bpf_program__insn_cnt(program)
    raw = ctypes.string_at(lib.bpf_program__insns(program), 8 * count)
    return normal(raw, lambda fd: maps[fd])


def normal(raw: bytes, map_name: Callable[[int], str]) -> list[Slot]:
    """Slots with maps by name, so that descriptors and indices do not matter."""
    slots: list[Slot] = []
    for code, regs, off, imm in struct.iter_unpack("<BBhi", raw):
        named = code == 0x18 and regs >> 4 in (1, 2)
        slots.append((code, regs, off, map_name(imm) if named else imm))
    return slots

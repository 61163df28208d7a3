"""The GDB JIT interface: a debugger that is attached to this process learns of native code as it appears.

GDB (and LLDB) look for two symbols in every library a process loads, and stop silently whenever the function is called:

    __jit_debug_register_code()      empty; GDB has a breakpoint in it
    __jit_debug_descriptor           { version, action, entry concerned, first entry }
                                        entry: { next, previous, address of an ELF image, its size }

A Python process has neither, so a shared object with just these two is written to a temporary file and loaded.  What an
entry points to is the debug file of `debugfile.py`, with the code's absolute address on its .text section.

Source: GDB manual, "JIT Compilation Interface".
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import struct
import tempfile
from typing import Final, final

from bpfbench.debug.debugfile import Described
from bpfbench.debug.elf_image import (
    ET_DYN,
    PAGE,
    SHF_ALLOC,
    SHF_EXEC,
    SHF_WRITE,
    SHT_DYNAMIC,
    SHT_DYNSYM,
    SHT_HASH,
    SHT_PROGBITS,
    SHT_STRTAB,
    STT_FUNC,
    STT_OBJECT,
    Section,
    Strings,
    Symbol,
    symbol_table,
    write_elf,
)  # fmt: skip
from bpfbench.debug.targets import DebugTarget, debug_target
from bpfbench.errors import DebugError

REGISTER: Final = "__jit_debug_register_code"
DESCRIPTOR: Final = "__jit_debug_descriptor"
RETURN: Final = {"x86_64": bytes.fromhex("c3"), "aarch64": bytes.fromhex("c0035fd6")}
_REGISTERED, _UNREGISTERED = 1, 2
_PT_LOAD, _PT_DYNAMIC, _PT_GNU_STACK = 1, 2, 0x6474E551
_R, _RW, _RX = 4, 6, 5
_PAGES: Final = ((".dynsym", _R), (".dynstr", _R), (".hash", _R), (".text", _RX), (".data", _RW), (".dynamic", _RW))
_DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_STRSZ, _DT_SYMENT = 4, 5, 6, 10, 11


class _Entry(ctypes.Structure):
    _fields_ = [("next", ctypes.c_void_p), ("previous", ctypes.c_void_p), ("image", ctypes.c_void_p),
                ("size", ctypes.c_uint64)]  # fmt: skip


class _Descriptor(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("action", ctypes.c_uint32), ("concerned", ctypes.c_void_p),
                ("first", ctypes.c_void_p)]  # fmt: skip


def interface_library(target: DebugTarget) -> bytes:
    """A shared object with the two symbols, each kind of contents on a page of its own; no page is writable and
    executable."""
    strings = Strings()
    places = {name: PAGE * (at + 1) for at, (name, _) in enumerate(_PAGES)}
    code = RETURN[target.name]
    sections = [
        Section(".dynsym", SHT_DYNSYM, b"", SHF_ALLOC, places[".dynsym"], link=".dynstr", info=1, align=8, entry=24),
        Section(".dynstr", SHT_STRTAB, b"", SHF_ALLOC, places[".dynstr"]),
        Section(".hash", SHT_HASH, struct.pack("=6I", 1, 3, 1, 0, 2, 0), SHF_ALLOC, places[".hash"], link=".dynsym",
                align=4, entry=4),
        Section(".text", SHT_PROGBITS, code, SHF_ALLOC | SHF_EXEC, places[".text"], align=16),
        Section(".data", SHT_PROGBITS, struct.pack("=IIQQ", 1, 0, 0, 0), SHF_ALLOC | SHF_WRITE, places[".data"],
                align=8),
        Section(".dynamic", SHT_DYNAMIC, b"", SHF_ALLOC | SHF_WRITE, places[".dynamic"], link=".dynstr", align=8,
                entry=16),
    ]  # fmt: skip
    symbols = [Symbol(REGISTER, STT_FUNC, ".text", places[".text"], len(code)),
               Symbol(DESCRIPTOR, STT_OBJECT, ".data", places[".data"], 24)]  # fmt: skip
    table = symbol_table(target, symbols, sections, strings)
    entries = [(_DT_HASH, places[".hash"]), (_DT_STRTAB, places[".dynstr"]), (_DT_SYMTAB, places[".dynsym"]),
               (_DT_STRSZ, len(strings.content)), (_DT_SYMENT, 24), (0, 0)]  # fmt: skip
    dynamic = b"".join(struct.pack("=QQ", *entry) for entry in entries)
    for name, content in ((".dynsym", table), (".dynstr", strings.content), (".dynamic", dynamic)):
        section = next(s for s in sections if s.name == name)
        section.content, section.size = content, len(content)
    segments = [(_PT_LOAD, flags, name) for name, flags in _PAGES]
    segments += [(_PT_DYNAMIC, _RW, ".dynamic"), (_PT_GNU_STACK, _RW, ".data")]
    return write_elf(target, ET_DYN, sections, segments)


@final
class _Interface:
    """The loaded library, and the list of what is registered."""

    __slots__ = ("library", "call", "descriptor", "entries")

    def __init__(self, target: DebugTarget) -> None:
        file, path = tempfile.mkstemp(prefix="bpfbench-jit-interface-", suffix=".so")
        try:
            with os.fdopen(file, "wb") as out:
                out.write(interface_library(target))
            self.library = ctypes.CDLL(path)
        except OSError as e:
            raise DebugError(f"the debugger interface cannot be loaded: {e}") from None
        finally:
            atexit.register(_remove, path)  # a debugger that attaches later still wants to read it
        self.call = ctypes.CFUNCTYPE(None)(ctypes.cast(getattr(self.library, REGISTER), ctypes.c_void_p).value or 0)
        self.descriptor = _Descriptor.in_dll(self.library, DESCRIPTOR)
        self.entries: list[Registration] = []

    def announce(self, action: int, entry: _Entry) -> None:
        self.descriptor.action = action
        self.descriptor.concerned = ctypes.addressof(entry)
        self.call()
        self.descriptor.action = 0


@final
class Registration:
    """Code that debuggers know of, until `close` (or the end of a `with` block)."""

    __slots__ = ("described", "entry", "image", "open")

    def __init__(self, described: Described, folder: str) -> None:
        self.described = described
        raw = described.elf(folder=folder)
        self.image = ctypes.create_string_buffer(raw, len(raw))
        self.entry = _Entry(None, None, ctypes.addressof(self.image), len(raw))
        self.open = True

    def close(self) -> None:
        if self.open and _interface is not None:
            self.open = False
            _unlink(_interface, self)

    def __enter__(self) -> Registration:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_interface: _Interface | None = None


def register(described: Described, folder: str = ".") -> Registration:
    """Announce code that lies in this process at `described.address`.

    `folder` is where a debugger looks for relative source files.  Raises DebugError on a machine without support.
    """
    global _interface
    if described.target.name not in RETURN:
        raise DebugError(f"no debugger interface for {described.target.name}; there is for {', '.join(RETURN)}")
    if _interface is None:
        _interface = _Interface(debug_target(described.target.name))
    new = Registration(described, os.path.abspath(folder))
    if _interface.entries:
        last = _interface.entries[-1]
        last.entry.next = ctypes.addressof(new.entry)
        new.entry.previous = ctypes.addressof(last.entry)
    else:
        _interface.descriptor.first = ctypes.addressof(new.entry)
    _interface.entries.append(new)
    _interface.announce(_REGISTERED, new.entry)
    return new


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def _unlink(interface: _Interface, gone: Registration) -> None:
    at = interface.entries.index(gone)
    before = interface.entries[at - 1] if at else None
    after = interface.entries[at + 1] if at + 1 < len(interface.entries) else None
    following = ctypes.addressof(after.entry) if after is not None else None
    if before is not None:
        before.entry.next = following
    else:
        interface.descriptor.first = following
    if after is not None:
        after.entry.previous = ctypes.addressof(before.entry) if before is not None else None
    interface.entries.remove(gone)
    interface.announce(_UNREGISTERED, gone.entry)

"""What the tests of this folder share: the committed binaries with their truth, and a program run under Unicorn."""

from __future__ import annotations

import json
import lzma
import struct
from collections import Counter
from pathlib import Path

from bpfbench.jumptable.image import Image

ROOT = Path(__file__).resolve().parents[2]
PREBUILT = ROOT / "datasets" / "jumptables" / "prebuilt"
CORPUS = sorted(p.stem for p in PREBUILT.glob("*.json") if not p.stem.startswith("gallery"))
GALLERY = sorted(p.stem for p in PREBUILT.glob("gallery*.json"))


def truth(name: str) -> dict[str, list[dict[str, object]]]:
    return json.loads((PREBUILT / f"{name}.json").read_text())


def elf(name: str) -> bytes:
    path = PREBUILT / f"{name}.elf"
    return path.read_bytes() if path.exists() else lzma.decompress((PREBUILT / f"{name}.elf.xz").read_bytes())


def stripped(raw: bytes) -> bytes:
    """The file without its symbol table (its section header is made void)."""
    data = bytearray(raw)
    table, count = struct.unpack_from("<Q", data, 40)[0], struct.unpack_from("<H", data, 60)[0]
    for k in range(count):
        at = table + 64 * k
        if struct.unpack_from("<I", data, at + 4)[0] == 2:
            struct.pack_into("<I", data, at + 4, 0)
    return bytes(data)


class Run:
    """A program without a library, run whole under Unicorn: its `output`, exit `status`, executed `steps` and followed
    `pairs` of addresses, and the final `memory` reader."""

    def __init__(self, raw: bytes, trace: bool = False) -> None:
        import unicorn
        from unicorn import arm64_const as reg

        image = Image(raw, "program")
        bias = 0x10000000 if image.pie else 0
        self.output, self.status, self.bias = b"", -1, bias
        self.steps: Counter[int] = Counter()
        self.pairs: Counter[tuple[int, int]] = Counter()
        last = [0]
        uc = unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
        mapped: set[int] = set()
        for seg in image.segments:
            for page in range(seg.addr & ~0xFFFF, seg.addr + seg.size, 0x10000):
                if page not in mapped:
                    mapped.add(page)
                    uc.mem_map(bias + page, 0x10000)
            uc.mem_write(bias + seg.addr, raw[seg.offset : seg.offset + seg.filesz])
        uc.mem_map(0x7F0000000000, 0x100000)
        uc.reg_write(reg.UC_ARM64_REG_SP, 0x7F00000F0000)
        uc.reg_write(reg.UC_ARM64_REG_CPACR_EL1, 3 << 20)

        def syscall(uc: object, number: int, _: object) -> None:
            call = uc.reg_read(reg.UC_ARM64_REG_X8)  # type: ignore[attr-defined]
            x0, x1, x2 = (uc.reg_read(getattr(reg, f"UC_ARM64_REG_X{k}")) for k in range(3))  # type: ignore[attr-defined]
            if call == 64:
                self.output += bytes(uc.mem_read(x1, x2))  # type: ignore[attr-defined]
            elif call == 93:
                self.status = x0 & 0xFF
                uc.emu_stop()  # type: ignore[attr-defined]
            elif call == 56:  # no counter file here: counts stay in memory
                uc.reg_write(reg.UC_ARM64_REG_X0, (1 << 64) - 2)  # type: ignore[attr-defined]

        def step(uc: object, addr: int, size: int, _: object) -> None:
            here = addr - bias
            self.steps[here] += 1
            self.pairs[last[0], here] += 1
            last[0] = here

        uc.hook_add(unicorn.UC_HOOK_INTR, syscall)
        if trace:
            uc.hook_add(unicorn.UC_HOOK_CODE, step)
        try:
            uc.emu_start(bias + image.entry, 0, timeout=60_000_000)
        except unicorn.UcError as why:
            self.output += f"crashed: {why} at {uc.reg_read(reg.UC_ARM64_REG_PC) - bias:#x}".encode()
        self._uc = uc

    def counters(self, addr: int, count: int) -> list[int]:
        return list(struct.unpack(f"<{count}Q", bytes(self._uc.mem_read(self.bias + addr, 8 * count))))


def call(raw: bytes, addr: int, argument: int) -> int:
    """Calls one function `u32 f(u32)` of a fixed-address program under Unicorn; its result (-1: it crashed)."""
    import unicorn
    from unicorn import arm64_const as reg

    image = Image(raw, "program")
    uc = unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
    pages = {p for s in image.segments for p in range(s.addr & ~0xFFFF, s.addr + s.size, 0x10000)}
    for page in pages:
        uc.mem_map(page, 0x10000)
    for s in image.segments:
        uc.mem_write(s.addr, raw[s.offset : s.offset + s.filesz])
    uc.mem_map(0x7F0000000000, 0x100000)
    stack, back = 0x7F00000F0000, 0x7F0000000000
    uc.reg_write(reg.UC_ARM64_REG_CPACR_EL1, 3 << 20)
    uc.reg_write(reg.UC_ARM64_REG_SP, stack)
    uc.reg_write(reg.UC_ARM64_REG_X0, argument & 0xFFFFFFFF)
    uc.reg_write(reg.UC_ARM64_REG_X30, back)
    try:
        uc.emu_start(addr, back, count=10000)
    except unicorn.UcError:
        return -1
    assert uc.reg_read(reg.UC_ARM64_REG_SP) == stack
    return int(uc.reg_read(reg.UC_ARM64_REG_X0)) & 0xFFFFFFFF

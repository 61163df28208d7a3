"""The frame that a target describes is the frame that its code makes: checked before every instruction executed.

A `Layout` says, for each address, where the caller's stack pointer (CFA) is and where registers were saved.  Here
random programs run under emulation, and at each step the description has to lead back to what the machine held first.
"""

from __future__ import annotations

from typing import Any

import pytest
import unicorn
from unicorn import arm_const, mips_const, ppc_const

from bpfbench.execute.emulate import Emulator
from bpfbench.execute.host_memory import HostMemory
from bpfbench.execute.shared import compile_for
from bpfbench.interp.runtime import surroundings
from bpfbench.jit.layout import Layout
from bpfbench.machine import a32, mips64, ppc64

from .random_programs import random_program

#: target -> bytes in a register, layout's name of a register -> Unicorn's number for it
REGISTERS: dict[str, tuple[int, dict[str, int]]] = {
    "arm": (4, {name: getattr(arm_const, f"UC_ARM_REG_{name.upper()}") for name in a32.REGS}),
    "mips64": (8, {name: mips_const.UC_MIPS_REG_0 + n for n, name in enumerate(mips64.REGS)}),
    "ppc64": (8, {name: ppc_const.UC_PPC_REG_0 + n for n, name in enumerate(ppc64.REGS)}),
}

REGISTERS["ppc64"][1]["lr"] = ppc_const.UC_PPC_REG_LR


def described(layout: Layout, addr: int) -> tuple[str, int, dict[str, int]]:
    """The CFA as register and distance, and the saved registers with their distance from it, at byte `addr`."""
    cfa, saved = ("", 0), {}
    for step in layout.steps:
        if step.addr > addr:
            break
        if step.what == "cfa":
            cfa = step.register, step.offset
        else:
            saved[step.register] = step.offset
    return *cfa, saved


class Watch:
    """Compares description and machine at each step; `wrong` collects where they differ."""

    def __init__(self, machine: Emulator, target: str, layout: Layout) -> None:
        self.machine = machine
        self.layout = layout
        self.width, self.registers = REGISTERS[target]
        self.entry: dict[str, int] = {}
        self.steps = 0
        self.wrong: list[str] = []

    def __call__(self, uc: Any, address: int, size: int, unused: Any) -> None:
        addr = address - self.machine.entry
        self.steps += 1
        if addr == 0:
            self.entry = {name: uc.reg_read(n) for name, n in self.registers.items()}
            self.entry["cfa"] = uc.reg_read(self.machine.host.sp)
        base, distance, saved = described(self.layout, addr)
        cfa = uc.reg_read(self.registers[base]) + distance
        if cfa != self.entry["cfa"]:
            self.wrong.append(f"{addr:#x}: the CFA is not {base}{distance:+d}")
            return
        for name, offset in saved.items():
            kept = int.from_bytes(bytes(uc.mem_read(cfa + offset, self.width)), "little")
            if kept != self.entry[name] & (1 << 8 * self.width) - 1:
                self.wrong.append(f"{addr:#x}: {name} is not saved at CFA{offset:+d}")


@pytest.mark.parametrize("target", sorted(REGISTERS))
def test_the_frame_leads_back_to_the_entry(target: str) -> None:
    steps = 0
    for seed in range(6):
        program = random_program(seed)
        machine = Emulator(program, target, surroundings(program, memory=HostMemory(real=False)), 20.0)
        _, code = compile_for(program, target)
        watch = Watch(machine, target, code.layout)
        last = machine.entry + len(code.bytes) - 1
        machine.uc.hook_add(unicorn.UC_HOOK_CODE, watch, begin=machine.entry, end=last)
        machine.start()
        assert watch.wrong == []
        steps += watch.steps
    assert steps > 500

"""Processor and configuration features that show in generated code, per kernel and target, as data.

A feature is true of a machine (BMI2, LSE atomics) or of a kernel's configuration on it (return thunks, IBT).  The
defaults are those of the kernels that bpfbench's recordings come from; `jit(..., features={...})` overrides them.

| feature           | target  | what it shows                                                          |
|-------------------|---------|------------------------------------------------------------------------|
| `ibt`             | x86_64  | endbr64 at the entry and after the frame is made                       |
| `return_thunk`    | x86_64  | `jmp __x86_return_thunk` in place of `ret`                             |
| `retpoline`       | x86_64  | `jmp __x86_indirect_thunk_*` in place of an indirect jump              |
| `sls`             | x86_64  | int3 after ret (straight-line speculation)                             |
| `bmi2`            | x86_64  | shlx, shrx, sarx for shifts by a register (6.2 and later)              |
| `gotox`           | x86_64  | indirect jumps, also before 6.19, the first kernel that has them       |
| `smp`             | x86_64  | per-CPU addresses add this_cpu_off                                     |
| `pac`             | aarch64 | paciasp / autiasp around the frame                                     |
| `bti`             | aarch64 | bti c / bti j at entries                                               |
| `lse`             | aarch64 | single-instruction atomics                                             |
| `shadow_stack`    | aarch64 | shadow call stack                                                      |
| `zba` `zbb` `rvc` | riscv64 | address generation, basic bit manipulation, compressed instructions    |
| `idiv`            | arm     | hardware division                                                      |
| `user_space`      | all     | addresses may be anywhere: for code that runs outside a kernel         |
| `mips_r2`         | mips64  | release 2: byte swaps, bit-field insertion                             |
| `mips_r6`         | mips64  | release 6: three-operand multiply and divide, other load-linked forms  |
| `store_barrier`   | ppc64   | the barrier against speculative stores (eieio) for nospec              |
| `masked_shifts`   | arm ppc64 | a shift by a register masks the amount, as eBPF says; kernels do not |
| `own_routines`    | arm     | 64-bit division by a routine behind the function, not the kernel's     |
"""

from __future__ import annotations

from typing import Final

from bpfbench.errors import UsageError

_X86_61: Final = {"sls": True, "retpoline_config": True}
_X86_612: Final = {"ibt": True, "sls": True, "retpoline_config": True, "bmi2": True, "smp": True}
_X86_618: Final = {
    "return_thunk": True, "retpoline": True, "sls": True, "retpoline_config": True, "bmi2": True, "smp": True,
}  # fmt: skip
_A64: Final = {"pac": True, "lse": True}
_RV64: Final = {"rvc": True, "zba": True, "zbb": True, "smp": True}

#: (target, kernel) -> features that are on; a pair that is missing takes the target's entry for "".
FEATURES: Final[dict[tuple[str, str], dict[str, bool]]] = {
    ("x86_64", "linux-6.1"): _X86_61,
    ("x86_64", "linux-6.12"): _X86_612,
    ("x86_64", "linux-6.18"): _X86_618,
    ("x86_64", "bpfbench"): {**_X86_618, "gotox": True},
    ("x86_64", ""): _X86_618,
    ("aarch64", ""): _A64,
    ("riscv64", ""): _RV64,
    ("arm", ""): {"idiv": True},
    ("arm", "bpfbench"): {"idiv": True, "masked_shifts": True, "own_routines": True},
    ("mips64", ""): {"mips_r2": True},
    ("ppc64", ""): {"store_barrier": True},
    ("ppc64", "bpfbench"): {"masked_shifts": True},
}
NAMES: Final = (
    "ibt return_thunk retpoline retpoline_config sls gotox bmi2 smp pac bti lse shadow_stack zba zbb rvc zbkb zacas idiv "
    "mips_r6 mips_r2 power9 power10 masked_shifts own_routines store_barrier user_space"
).split()


def features_of(target: str, kernel: str, changes: dict[str, bool] | None = None) -> dict[str, bool]:
    """The features of a target under a kernel, with the caller's changes; UsageError for an unknown name.

    >>> features_of("x86_64", "linux-6.12")["ibt"], features_of("x86_64", "linux-6.12", {"ibt": False})["ibt"]
    (True, False)
    """
    found = dict(FEATURES.get((target, kernel), FEATURES.get((target, ""), {})))
    for name, on in (changes or {}).items():
        if name not in NAMES:
            raise UsageError(f"unknown feature '{name}'; known: {', '.join(NAMES)}")
        found[name] = on
    return found


#: First kernel -> offsets in bytes on a 64-bit machine: struct bpf_array.map.max_entries, struct bpf_array.ptrs,
#: struct bpf_prog.bpf_func.  Tail calls are generated code that walks these structures.
TAIL_CALL_LAYOUT: Final[list[tuple[tuple[int, int], tuple[int, int, int]]]] = [
    ((6, 18), (76, 312, 72)),
    ((6, 8), (36, 264, 48)),
    ((0, 0), (36, 272, 48)),
]


def tail_call_layout(kernel: tuple[int, int]) -> tuple[int, int, int]:
    """Where a kernel keeps what a tail call reads: (max_entries, ptrs, bpf_func).

    >>> tail_call_layout((6, 12))
    (36, 264, 48)
    """
    for since, offsets in TAIL_CALL_LAYOUT:
        if kernel >= since:
            return offsets
    raise UsageError(f"no kernel {kernel}")

"""Helper calls: numbers become addresses, and some calls become something better.

    tail_call               keeps its number, guarded when unprivileged; when map and index are constant the kernel will
                            patch a jump into the native code (`Rewritten.pokes`)
    map_lookup_elem …       written out or bound to the map's own function (map_lookup.py)
    jiffies64               a load of the counter
    get_smp_processor_id    a load from this CPU's data
    kptr_xchg               an exchange
    *_storage_get           r5 says how memory may be allocated
    timer_set_callback      r3 names the program

All other calls keep their form; `imm` becomes the distance of the function from `__bpf_call_base`, which only the
running kernel knows: a symbol here.

Source: kernel/bpf/verifier.c (`do_misc_fixups`); slides 22, 37.
"""

from __future__ import annotations

from bpfbench.isa import ops
from bpfbench.isa.helpers import helper_id, helper_name
from bpfbench.program.program import Program
from bpfbench.verifier.regstate import MapView
from bpfbench.verifier.rewrite.body import Body, Line, op, wide
from bpfbench.verifier.rewrite.hints import KEY_POISONED, KEY_UNKNOWN, Hint, Hints
from bpfbench.verifier.rewrite.kernel_layout import KernelLayout
from bpfbench.verifier.rewrite.map_lookup import index_mask, inline_lookup

TAIL_CALL = helper_id("tail_call")
_LOOKUP = helper_id("map_lookup_elem")
_GFP_ATOMIC, _GFP_KERNEL = 0x820, 0xCC0
_SLEEPABLE = 16                                 # BPF_F_SLEEPABLE
_MAP_CALLS = frozenset(helper_id(n) for n in (
    "map_lookup_elem", "map_update_elem", "map_delete_elem", "map_push_elem", "map_pop_elem", "map_peek_elem",
    "redirect_map", "for_each_map_elem", "map_lookup_percpu_elem"))
# What the code generators of some machines write out themselves, so that the call keeps its number.
JIT_INLINES = {
    "aarch64": frozenset(helper_id(n) for n in ("get_smp_processor_id", "get_current_task", "get_current_task_btf")),
    "riscv64": frozenset((helper_id("get_smp_processor_id"),)),
}
_PER_CPU_INSN = frozenset(("x86_64", "aarch64", "riscv64"))      # machines whose JIT has the per-CPU move
_EXCHANGES_POINTERS = frozenset(("x86_64", "aarch64", "riscv64"))
_32_BIT = frozenset(("arm",))
_STORAGE = frozenset(helper_id(n) for n in ("sk_storage_get", "inode_storage_get", "task_storage_get",
                                            "cgrp_storage_get"))


def fix_calls(body: Body, prog: Program, hints: Hints, layout: KernelLayout, version: tuple[int, int],
              machine: str = "x86_64") -> list[str]:
    """Every helper call; returns the tail calls that the kernel will patch ("map 0 index 3")."""
    kept = JIT_INLINES.get(machine, frozenset()) if version >= (6, 10) else frozenset()
    patches: dict[int, list[Line]] = {}
    pokes: list[str] = []
    for i, line in enumerate(body.lines):
        if line.insn.kind != ops.CALL or line.symbol or line.pc < 0 or line.hint is None:
            continue
        number = line.insn.imm
        if number == TAIL_CALL:
            patches[i] = _tail_call(line.hint, hints, pokes)
            continue
        if number in kept:
            continue
        special = _special(number, line.hint, prog, hints, layout, version, machine)
        patches[i] = special if special is not None else [Line(op(0x85), symbol="bpf_" + helper_name(number))]
    body.rebuild(patches)
    return pokes


def _tail_call(hint: Hint, hints: Hints, pokes: list[str]) -> list[Line]:
    view, key = hint.map, hint.map_key
    known = view is not None and not hint.map_poisoned
    if hints.privileged and hints.bypass_v1 and known and key not in (KEY_POISONED, KEY_UNKNOWN):
        assert view is not None
        pokes.append(f"map {view.index} index {key}")
        return [Line(op(0x85, 0, 0, 0, TAIL_CALL))]
    if hints.bypass_v1 or view is None:
        return [Line(op(0x85, 0, 0, 0, TAIL_CALL))]
    return [Line(op(0x35, 3, 0, 2, view.max_entries)), Line(op(0x54, 3, 0, 0, index_mask(view.max_entries))),
            Line(op(0x85, 0, 0, 0, TAIL_CALL))]


def _special(number: int, hint: Hint, prog: Program, hints: Hints, layout: KernelLayout,
             version: tuple[int, int], machine: str) -> list[Line] | None:
    name = helper_name(number)
    call = Line(op(0x85), symbol="bpf_" + name)
    if name == "timer_set_callback":
        return [Line(wide(3), symbol="&prog->aux"), call]
    if number in _STORAGE:
        flags = _GFP_KERNEL if prog.flags & _SLEEPABLE else _GFP_ATOMIC
        return [Line(op(0xB7, 5, 0, 0, flags)), call]
    if machine in _32_BIT:
        return None
    if number in _MAP_CALLS:
        return _map_call(number, name, hint.map, layout, hints, version if machine in _PER_CPU_INSN else (6, 1))
    if name == "jiffies64":
        return [Line(wide(0), symbol="&jiffies"), Line(op(0x79, 0, 0))]
    if name == "get_smp_processor_id" and version >= (6, 10) and machine == "x86_64":
        address = Line(op(0xB4 if version < (6, 15) else 0xB7, 0), symbol="&cpu_number")
        return [address, Line(op(0xBF, 0, 0, -1)), Line(op(0x61, 0, 0))]
    if name == "kptr_xchg" and version >= (6, 8) and machine in _EXCHANGES_POINTERS:
        return [Line(op(0xBF, 0, 2)), Line(op(0xDB, 1, 0, 0, 0xE1))]
    return None


def _map_call(number: int, name: str, view: MapView | None, layout: KernelLayout, hints: Hints,
              version: tuple[int, int]) -> list[Line] | None:
    if view is None:
        return None
    if number == _LOOKUP:
        inlined = inline_lookup(view, layout, hints.bypass_v1, version)
        if inlined is not None:
            return inlined
    return [Line(op(0x85), symbol=f"{view.type}_{name}")]

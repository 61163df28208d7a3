"""Programs to object file and back: nothing that matters is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfbench.elf import load, to_object
from bpfbench.errors import ElfError, NotSupported
from bpfbench.program.program import MapSpec, Program, from_assembly

COUNTING = """
    r6 = r1
    call double
    r0 &= 1
    exit
double:
    r0 = 2
    r0 *= 2
    exit
"""


def attributes(spec: MapSpec) -> tuple[object, ...]:
    inner = attributes(spec.inner) if spec.inner is not None else None
    return (
        spec.type, spec.key_size, spec.value_size, spec.max_entries, spec.flags, spec.contents, spec.inner_values,
        spec.pinning, spec.extra, inner,
    )  # fmt: skip


def test_every_data_set_comes_back(datasets: Path) -> None:
    for path in sorted(datasets.glob("*.o")):
        obj = load(path)
        again = load(to_object(list(obj.programs.values()), list(obj.maps.values())), name=path.name)
        assert set(again.programs) == set(obj.programs)
        for name, program in obj.programs.items():
            other = again.programs[name]
            assert other.raw == program.raw
            assert (other.type, other.attach_type) == (program.type, program.attach_type)
            assert (other.license, other.section) == (program.license, program.section)
            assert [attributes(m) for m in other.maps] == [attributes(m) for m in program.maps]
            assert other.func_info == program.func_info
            assert repr(other.lines) == repr(program.lines)


@pytest.mark.usefixtures("live_kernel")
def test_a_kernel_takes_what_comes_back(datasets: Path) -> None:
    from bpfbench import kernel

    for name in ("tc_library", "xdp_callbacks", "xdp_rate_limiter", "xdp_tenants"):
        obj = load(datasets / f"{name}.o")
        again = load(to_object(list(obj.programs.values()), list(obj.maps.values())), name=f"{name}.o")
        assert kernel.verify(again.programs[name]).accepted


def test_assembly_with_a_function_and_a_map() -> None:
    program = from_assembly(COUNTING, type="sched_cls", name="count")
    program.maps = [MapSpec("lru_hash", 4, 8, 64, 0, "flows")]
    again = load(to_object([program], program.maps), name="count.o")
    assert again.programs["count"].raw == program.raw and again.programs["count"].section == "tc"
    assert attributes(again.maps["flows"]) == attributes(program.maps[0])


def test_what_an_object_cannot_say() -> None:
    direct = Program.from_json(
        {"name": "p", "prog_type": "xdp", "insns": "18210000000000000000000000000000b7000000000000009500000000000000",
         "maps": [{"type": "array", "key_size": 4, "value_size": 8, "max_entries": 1, "flags": 0}]}
    )  # fmt: skip
    with pytest.raises(NotSupported, match="section p, insn 0: .*LDDW_MAP_VALUE of map map_0"):
        to_object([direct])
    direct.maps = []
    with pytest.raises(ElfError, match="insn 0: map 0 does not exist"):
        to_object([direct])
    with pytest.raises(NotSupported, match="different licenses: BSD, GPL"):
        to_object([from_assembly("exit", name="a", license="GPL"), from_assembly("exit", name="b", license="BSD")])

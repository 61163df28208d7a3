"""Debug files of all host targets: readable by pyelftools, readelf and llvm-dwarfdump, and true about the code."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from bpfbench import assemble, jit
from bpfbench.debug import Described, c_variables, describe, jitdump, perf_map, write_jitdump, write_perf_map
from bpfbench.debug.dwarf import location
from bpfbench.debug.elf_image import ET_EXEC, write_elf
from bpfbench.debug.targets import TARGETS
from bpfbench.errors import DebugError
from bpfbench.program.program import Program, SourceLine

BASE = 0x40000


def two_functions() -> Program:
    main, inner = "r6 = r1\nr1 = 5\ncall pc+2\nr0 += 1\nexit\n", "r0 = r1\n*(u64 *)(r10 - 8) = r0\nr0 += 1\nexit"
    prog = assemble(main + inner, name="two")
    prog.symbols = {"two": 0, "inner": 5}
    prog.lines = {0: SourceLine("two.c", 3, 1), 2: SourceLine("two.c", 4, 9), 3: SourceLine("two.c", 5, 2),
                  5: SourceLine("two.c", 9, 1), 7: SourceLine("two.c", 10, 1)}  # fmt: skip
    return prog


def described(target: str) -> Described:
    prog = two_functions()
    return describe(jit(prog, target=target), prog, BASE)


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_lines_and_functions_are_those_of_the_code(target: str) -> None:
    d = described(target)
    elf = ELFFile(io.BytesIO(d.elf()))
    (unit,) = elf.get_dwarf_info().iter_CUs()
    found = [die for die in unit.iter_DIEs() if die.tag == "DW_TAG_subprogram"]
    functions = {die.attributes["DW_AT_name"].value.decode(): die for die in found}
    assert list(functions) == ["two", "inner"]
    assert [die.attributes["DW_AT_low_pc"].value for die in functions.values()] == [f.address for f in d.functions]
    variables = [v.attributes["DW_AT_name"].value for v in functions["two"].iter_children()]
    assert variables == [b"r%d" % n for n in range(11)]
    program = elf.get_dwarf_info().line_program_for_CU(unit)
    states = [e.state for e in program.get_entries() if e.state is not None and not e.state.end_sequence]
    assert [(s.address, s.line) for s in states] == [(r.address, r.line) for r in d.rows]
    assert {s.line for s in states} == {3, 4, 5, 9, 10}


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_a_line_row_is_where_the_code_of_its_instruction_begins(target: str) -> None:
    prog = two_functions()
    code = jit(prog, target=target)
    d = describe(code, prog, BASE)
    for pc, line in prog.lines.items():
        start = next(span.start for span in code.spans if span.pc == pc)
        row = d.line_at(BASE + start)
        assert row is not None and row.line == line.line


def test_frames_restore_what_the_prologue_saved() -> None:
    frames = ELFFile(io.BytesIO(described("x86_64").elf())).get_dwarf_info().CFI_entries()
    start = described("x86_64").functions[1].address
    inner = next(e for e in frames if getattr(e, "header", {}).get("initial_location") == start)
    table = inner.get_decoded().table
    cfa = [(row["cfa"].reg, row["cfa"].offset) for row in table]
    assert cfa == [(7, 8), (7, 16), (6, 16), (7, 8), (6, 16)]  # entry, push rbp, mov rbp, after leave, behind ret
    assert all(row[16].arg == -8 for row in table)


def test_debug_file_is_separate_and_matched_by_build_id() -> None:
    d = described("x86_64")
    elf = ELFFile(io.BytesIO(d.elf()))
    text, note = elf.get_section_by_name(".text"), elf.get_section_by_name(".note.gnu.build-id")
    assert text["sh_type"] == "SHT_NOBITS" and text["sh_addr"] == BASE and text["sh_size"] == len(d.code)
    assert next(iter(note.iter_notes()))["n_desc"] == d.build_id
    assert ELFFile(io.BytesIO(d.elf(with_code=True))).get_section_by_name(".text").data() == d.code


def test_program_without_c_lines_points_into_its_listing() -> None:
    prog = assemble("r0 = 7\nr1 = 0x1122334455667788 ll\nexit", name="seven")
    d = describe(jit(prog), prog, BASE)
    shown = d.listing.splitlines()
    assert [shown[row.line - 1].split("  ")[-1] for row in d.rows] == [
        "r0 = 7", "r0 = 7", "r1 = 0x1122334455667788", "exit"]  # fmt: skip
    assert {row.file for row in d.rows} == {"seven.bpf"}


@pytest.mark.parametrize("target", sorted(TARGETS))
@pytest.mark.parametrize("tool", [["llvm-dwarfdump", "--verify"], ["readelf", "-a", "-w"]], ids=lambda t: t[0])
def test_other_tools_find_nothing_wrong(tool: list[str], target: str, tmp_path: Path) -> None:
    if shutil.which(tool[0]) is None:
        pytest.skip(f"no {tool[0]}: install llvm or binutils")
    path = tmp_path / "two.debug"
    path.write_bytes(described(target).elf(with_code=True))
    done = subprocess.run([*tool, str(path)], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stdout[-500:] + done.stderr


def test_perf_files_name_every_function() -> None:
    d = described("x86_64")
    rows = [line.split() for line in perf_map(d).splitlines()]
    assert rows == [[f"{f.address:x}", f"{f.length:x}", f"bpf_{f.name}"] for f in d.functions]
    dump = jitdump([d], pid=7, moment=9)
    assert dump[:4] == b"DTiJ" and dump.count(b"bpf_inner\0") == 1 and dump.count(b"two.c\0") == len(d.rows)
    sizes, at = [], 40
    while at < len(dump):
        sizes.append(int.from_bytes(dump[at + 4 : at + 8], "little"))
        at += sizes[-1]
    assert at == len(dump) and len(sizes) == 4


def test_target_without_dwarf_says_so() -> None:
    code = jit(two_functions())
    code.target = "nfp"
    with pytest.raises(DebugError, match="no debug information for target 'nfp'"):
        describe(code, two_functions())


def test_c_variables_follow_the_registers_they_are_in() -> None:
    clang = pytest.importorskip("bpfbench.toolchain.clang")
    if not clang.available():
        pytest.skip("no clang with the BPF target: install clang, or bpfbench[c]")
    source = ('#include <bpf/helpers.h>\nSEC("xdp") int f(struct xdp_md *ctx)\n{\n\tint n = ctx->rx_queue_index;\n'
              "\tn += (int)bpf_ktime_get_ns();\n\treturn n & 3;\n}\n")  # fmt: skip
    obj = clang.compile_c(source, name="f")
    prog = obj.programs["f"]
    found = {v.name: v for v in c_variables(obj.elf.raw)}
    assert found["ctx"].parameter and found["ctx"].held[0].number == 1 and found["n"].type == ("int", 5, 4)
    for target in sorted(TARGETS):
        d = describe(jit(prog, target=target), prog, BASE, variables=list(found.values()))
        (unit,) = ELFFile(io.BytesIO(d.elf())).get_dwarf_info().iter_CUs()
        names = [die.attributes["DW_AT_name"].value for die in unit.iter_DIEs() if die.tag == "DW_TAG_formal_parameter"]
        assert names == [b"ctx"]
        first = next(v for v in d.functions[0].variables if v.name == "ctx").ranges[0]
        assert first[0] > BASE and first[2] == location(TARGETS[target].bpf[1])


def test_malformed_dwarf_is_one_clear_error() -> None:
    raw = bytearray(described("x86_64").elf())
    at = raw.index(b"\x25\x08\x13\x0b")  # in the abbreviations
    raw[at : at + 4] = b"\x25\xee\x13\xee"
    with pytest.raises(DebugError, match="the object's DWARF cannot be read"):
        c_variables(bytes(raw))
    assert c_variables(plain_object()) == []


def plain_object() -> bytes:
    """An ELF file without any DWARF."""
    return write_elf(TARGETS["x86_64"], ET_EXEC, [], [])


def test_perf_finds_the_files_of_this_process(tmp_path: Path) -> None:
    d = described("x86_64")
    path = write_jitdump([d], str(tmp_path))
    mapped = [line for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(path)]
    assert mapped and mapped[0].split()[1] == "r-xp" and Path(path).read_bytes()[:4] == b"DTiJ"
    assert Path(write_perf_map(d, str(tmp_path), pid=5)).read_text() == perf_map(d)
    with pytest.raises(DebugError, match="perf map .*No such file"):
        write_perf_map(d, str(tmp_path / "missing"))

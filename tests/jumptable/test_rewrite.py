"""Rewritten programs run, with all that moved destroyed at its old place (Unicorn; qemu-user where installed)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bpfbench.jumptable import a64
from bpfbench.jumptable.image import Image
from bpfbench.jumptable.instrument import Profile
from bpfbench.jumptable.rewrite import rewrite

from .support import CORPUS, GALLERY, Run, call, elf

pytest.importorskip("unicorn", reason="unicorn is not installed: pip install unicorn")


@pytest.mark.parametrize("name", GALLERY + CORPUS)
def test_reversed_and_poisoned_programs_print_the_same(name: str, tmp_path: Path) -> None:
    before = Run(elf(name))
    report = rewrite(Image(elf(name), name), tmp_path / "out", "reverse", poison=True)
    assert report.with_tables == report.with_tables_done > 0 and report.poisoned > 0
    after = Run((tmp_path / "out").read_bytes())
    assert (after.output, after.status) == (before.output, before.status) and before.status == 0


@pytest.mark.parametrize(
    "function", ["pos_G1_t7", "pos_C2_t10", "pos_S4_t11", "pos_M2_t8", "pos_Xp_t9", "pos_C1_split"]
)
def test_single_functions_agree_beyond_both_ends(function: str, tmp_path: Path) -> None:
    """Old and new body, called alone: all indices, the default on both sides, and the stack pointer afterwards."""
    report = rewrite(Image(elf("gallery"), "gallery"), tmp_path / "out", "random")
    new = (tmp_path / "out").read_bytes()
    old = {s.name: s.addr for s in Image(elf("gallery")).symbols}[function]
    for i in (*range(13), -1, 1 << 31):
        want = call(elf("gallery"), old, i)
        assert want > 0 and call(new, report.rewritten[old], i) == want, i


@pytest.mark.parametrize("name", ["gallery-bti", "gcc-12-Os-pie", "clang-22-O2-faarch64-jump-table-hardening"])
def test_counters_equal_an_independent_trace(name: str, tmp_path: Path) -> None:
    image = Image(elf(name), name)
    report = rewrite(image, tmp_path / "out", "random", "edges", poison=True)
    before, after = Run(elf(name), trace=True), Run((tmp_path / "out").read_bytes())
    assert after.output == before.output
    base = next(s.addr for s in Image((tmp_path / "out").read_bytes()).sections if s.name == ".bss.counters")
    counts = after.counters(base, len(report.counters))
    starts = sorted(report.labels)
    for row, n in zip(report.counters, counts, strict=True):
        if row["kind"] == "block":
            assert before.steps[row["block"]] == n, row
        else:
            assert before.pairs[_last(image, starts, row["block"]), row["target"]] == n, row
    assert sum(counts) > 1000


def _last(image: Image, starts: list[int], block: int) -> int:
    at = block
    while a64.decode(image.word(at) or 0).op not in a64.TERMINATORS and at + 4 not in starts:
        at += 4
    return at


def test_profile_loop(tmp_path: Path) -> None:
    """Instrument, run, read the counts, lay out by them, run again."""
    name = "gcc-12-O2"
    image = Image(elf(name), name)
    report = rewrite(image, tmp_path / "counted", instrument="blocks")
    run = Run((tmp_path / "counted").read_bytes())
    base = next(s.addr for s in Image((tmp_path / "counted").read_bytes()).sections if s.name == ".bss.counters")
    raw = b"".join(n.to_bytes(8, "little") for n in run.counters(base, len(report.counters)))
    (tmp_path / "bpfbench.counters").write_bytes(raw)
    profile = Profile.read(tmp_path / "counted.counters.json", tmp_path / "bpfbench.counters")
    final = rewrite(image, tmp_path / "final", "profile", profile=profile, poison=True)
    assert Run((tmp_path / "final").read_bytes()).output == run.output
    hot = max(profile.blocks, key=lambda b: profile.blocks[b])
    first = min(final.rewritten.values())
    assert profile.blocks[hot] > 0 and first in final.rewritten.values()
    assert final.refused and all(final.refused.values())


def test_symbols_and_unwind_rows_follow(tmp_path: Path) -> None:
    from elftools.elf.elffile import ELFFile

    image = Image(elf("gcc-12-O0"), "gcc")
    report = rewrite(image, tmp_path / "out", "reverse")
    new = Image((tmp_path / "out").read_bytes())
    moved = {s.addr for s in new.symbols if s.kind == "FUNC" and s.size}
    assert set(report.rewritten.values()) <= moved
    with (tmp_path / "out").open("rb") as f:
        section = ELFFile(f).get_section_by_name(".text.bpfbench")
        assert section is not None and section["sh_flags"] & 4
    assert not any(s.flags & 3 == 3 for s in new.segments), "no segment is writable and executable"


def test_unwind_rows_are_those_of_the_instructions_they_follow(tmp_path: Path) -> None:
    """pyelftools reads the old and the new unwind tables; each block's first row must agree."""
    from elftools.dwarf.callframe import FDE
    from elftools.elf.elffile import ELFFile

    def rows(path: Path, section: str) -> dict[tuple[int, int], list[dict[str, object]]]:
        with path.open("rb") as f:
            dwarf = ELFFile(f).get_dwarf_info()
            if section != ".eh_frame":
                sec = ELFFile(f).get_section_by_name(section)
                dwarf.eh_frame_sec.stream.seek(0)
                dwarf.eh_frame_sec = dwarf.eh_frame_sec._replace(
                    stream=__import__("io").BytesIO(sec.data()), size=sec["sh_size"], address=sec["sh_addr"]
                )
            return {
                (e["initial_location"], e["address_range"]): e.get_decoded().table
                for e in dwarf.EH_CFI_entries()
                if isinstance(e, FDE)
            }

    def at(table: dict[tuple[int, int], list[dict[str, object]]], addr: int) -> object:
        for (start, size), lines in table.items():
            if start <= addr < start + size:
                row = [r for r in lines if r["pc"] <= addr][-1]
                saved = {k: v.arg for k, v in row.items() if isinstance(k, int) and v.type == "OFFSET"}
                return row["cfa"].reg, row["cfa"].offset, saved
        return None

    (tmp_path / "in").write_bytes(elf("gcc-12-O1-eh-frame-hdr"))
    report = rewrite(tmp_path / "in", tmp_path / "out", "random", "blocks")
    old, new = rows(tmp_path / "in", ".eh_frame"), rows(tmp_path / "out", ".eh_frame.bpfbench")
    checked = [(b, at(old, b)) for b in sorted(report.labels)[::7] if at(old, b) is not None]
    assert len(checked) > 50
    for block, want in checked:
        assert at(new, report.labels[block]) == want, hex(block)


@pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="qemu-aarch64 is not installed: apt install qemu-user")
def test_counter_file_under_qemu(tmp_path: Path) -> None:
    """The start-up stub maps the file; counts are in it when the program has ended."""
    rewrite(Image(elf("gallery"), "gallery"), tmp_path / "out", "reverse", "blocks", poison=True)
    done = subprocess.run(["qemu-aarch64", str(tmp_path / "out")], cwd=tmp_path, check=False, timeout=60)
    assert done.returncode == 0
    profile = Profile.read(tmp_path / "out.counters.json", tmp_path / "bpfbench.counters")
    trace = Run(elf("gallery"), trace=True)
    assert {b: n for b, n in profile.blocks.items() if n != trace.steps[b]} == {}


@pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="qemu-aarch64 is not installed: apt install qemu-user")
@pytest.mark.parametrize("name", ["go-1.19.stripped", "go-1.27-pie.stripped"])
def test_go_tables_are_updated_in_place(name: str, tmp_path: Path) -> None:
    """Every entry leads through a counting trampoline; in the position-independent file the relocations do."""
    (tmp_path / "go").write_bytes(elf(name))
    (tmp_path / "go").chmod(0o755)
    report = rewrite(tmp_path / "go", tmp_path / "new", instrument="edges")
    runs = [
        subprocess.run(["qemu-aarch64", str(tmp_path / f)], cwd=tmp_path, capture_output=True, check=False, timeout=120)
        for f in ("go", "new")
    ]
    if b"Could not open" in runs[0].stderr:
        pytest.skip("no AArch64 dynamic loader: set QEMU_LD_PREFIX to a folder with an arm64 /lib")
    assert runs[0].stdout == runs[1].stdout and runs[1].returncode == 0 and b"goroutines" in runs[1].stdout
    assert report.updated in (14, 18)
    profile = Profile.read(tmp_path / "new.counters.json", tmp_path / "bpfbench.counters")
    assert sum(profile.edges.values()) >= 60000  # 4 goroutines of 20,000 calls, 12 of 16 in range

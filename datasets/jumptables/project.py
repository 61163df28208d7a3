"""Exact truth for somebody's C sources: every file goes through the same truth section as the corpus.

    python datasets/jumptables/project.py OUT NAME --compiler gcc-12 --flags="-O2 -fPIE" --libs="-lm" FILE.c...

writes OUT/NAME.elf, OUT/NAME.stripped.elf and OUT/NAME.json for `benchmarks/jumptable_metrics.py OUT`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from corpus import Config, read_truth, run, truth_section

from bpfbench.jumptable.annotate import tables_in


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("name")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--compiler", default="gcc-12")
    parser.add_argument("--flags", default="-O2 -fPIE")
    parser.add_argument("--libs", default="-lm")
    args = parser.parse_args()
    print(args.name, build(args.out, args.name, args.files, args.compiler, args.flags, args.libs.split()), "tables")


def build(out: Path, name: str, files: list[str], compiler: str, flags: str, libs: list[str]) -> int:
    """Compiles, links with gcc 12's driver and strips; returns the number of dispatches."""
    from elftools.elf.elffile import ELFFile

    config = Config(compiler, flags, 0)
    arch = ["-march=armv8.5-a+lse+crypto"] if "gcc" in compiler else []
    out.mkdir(parents=True, exist_ok=True)
    full, objects = out / f"{name}.elf", []
    with TemporaryDirectory() as scratch:
        for k, file in enumerate(files):
            text, made = Path(scratch) / f"{k}.s", Path(scratch) / f"{k}.o"
            run([*config.command(), *config.flags, "-w", "-S", file, "-o", str(text)])
            body = text.read_text()
            text.write_text(truth_section(body, tables_in(body, file)))
            run([*config.command(), *arch, "-c", str(text), "-o", str(made)])
            objects.append(str(made))
        run(["aarch64-linux-gnu-gcc-12", *objects, "-o", str(full), *libs])
    with full.open("rb") as f:
        elf = ELFFile(f)
        section = elf.get_section_by_name(".jttruth")
        raw = section.data() if section is not None else b""
        symbols = elf.get_section_by_name(".symtab").iter_symbols()
        names = {s["st_value"]: s.name for s in symbols if s["st_info"]["type"] == "STT_FUNC"}
    tables = read_truth(b"", raw, names)
    run(["aarch64-linux-gnu-objcopy", "-R", ".jttruth", str(full), str(full)])
    run(["aarch64-linux-gnu-objcopy", "--strip-all", str(full), str(out / f"{name}.stripped.elf")])
    (out / f"{name}.json").write_text(json.dumps({"name": name, "tables": tables}))
    return len(tables)


if __name__ == "__main__":
    main()

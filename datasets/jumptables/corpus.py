"""Builds the corpus with exact truth: program -> assembly -> truth section -> link -> strip.

The truth never comes from the binary.  The compiler's assembly names each table, its anchor and its targets by label
(`bpfbench.jumptable.annotate.tables_in` reads that text); a non-allocated section of addresses of those very labels is
added and the *linker* fills it in.  Reading and removing the section leaves the layout untouched.

    python datasets/jumptables/corpus.py OUT [--only NAME] [--list]

writes OUT/NAME.elf (symbols), OUT/NAME.stripped.elf and OUT/NAME.json for every configuration whose compiler is there.
"""

from __future__ import annotations

import argparse
import json
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from programs import source

from bpfbench.jumptable.annotate import annotate, tables_in

BASE = ("-ffreestanding", "-fno-stack-protector", "-fno-builtin", "-w", "-fasynchronous-unwind-tables", "-fno-pie")
LINK = ("-static", "-nostdlib", "-e", "_start", "--build-id=none")
PIE = ("-fPIE",)
GCC = "aarch64-linux-gnu-gcc-{}"
BTI = ("-mbranch-protection=standard",)


class Config:
    """One build: `compiler`, `flags`, program `seed`, `linker` (bfd or lld), pie, C or C++."""

    def __init__(
        self,
        compiler: str,
        flags: str,
        seed: int,
        linker: str = "bfd",
        pie: bool = False,
        cxx: bool = False,
        link: str = "",
        wide: bool = False,
    ) -> None:
        self.compiler, self.flags, self.seed, self.linker, self.pie, self.cxx = (
            compiler,
            flags.split(),
            seed,
            linker,
            pie,
            cxx,
        )
        self.link, self.wide = link.split(), wide
        tags = [
            compiler,
            *(
                f.strip("-").replace("=", "_").replace("mllvm", "").replace(",", "_").replace("/", "_")
                for f in self.flags
            ),
        ]
        tags += [t for t, on in (("pie", pie), ("lld", linker == "lld"), ("cxx", cxx), ("wide", wide)) if on] + [
            x.strip("-").replace("=", "_") for x in self.link
        ]
        self.name = "-".join(t for t in tags if t)

    def command(self) -> list[str]:
        kind, version = self.compiler.split("-")
        if kind == "gcc":
            return [f"aarch64-linux-gnu-{'g++' if self.cxx else 'gcc'}-{version}"]
        return [f"clang-{version}", "--target=aarch64-linux-gnu"]


def configurations() -> list[Config]:
    """All of them; seeds differ so that programs do."""
    out: list[Config] = []
    levels = ("-O0", "-O1", "-O2", "-O3", "-Os")
    for k, level in enumerate(levels):
        out.append(Config("gcc-12", level, 100 + k))
        out.append(Config("gcc-11", level, 110 + k))
        for n, version in enumerate(("14", "16", "19", "22")):
            out.append(Config(f"clang-{version}", level, 200 + 10 * n + k))
    for n, version in enumerate(("14", "16", "19", "22")):
        out.append(Config(f"clang-{version}", "-Oz", 250 + n))
        out.append(Config(f"clang-{version}", "-O2", 260 + n, linker="lld", pie=True))
    extra_gcc = (
        "-O2 -mcmodel=tiny",
        "-O2 -mcmodel=large",
        "-O2 -ffunction-sections",
        "-O2 -mbranch-protection=standard",
        "-O2 -mharden-sls=all",
        "-O3 -mcpu=neoverse-n1",
        "-O3 -mcpu=cortex-a53",
        "-O2 -mcpu=thunderx",
        "-O1 --param=case-values-threshold=2",
        "-Os -mbranch-protection=standard",
        "-O2 -fno-tree-vrp",
        "-O2 -fno-gcse -fno-ivopts",
        "-O3 -funroll-loops",
        "-Og",
    )
    for k, flags in enumerate(extra_gcc):
        out.append(Config("gcc-12", flags, 300 + k))
    for k, flags in enumerate(("-O2", "-O3", "-Os", "-O0")):
        out.append(Config("gcc-12", flags, 320 + k, pie=True))
        out.append(Config("gcc-12", flags, 330 + k, linker="lld"))
    out.append(Config("gcc-12", "-O1", 350, link="--eh-frame-hdr"))
    out.append(Config("gcc-12", "-O2", 340, cxx=True))
    out.append(Config("gcc-12", "-O2", 341, wide=True))
    out.append(Config("gcc-12", "-O2 -ffunction-sections", 342, linker="lld", link="--icf=all"))
    extra_clang = (
        "-O2 -ffunction-sections",
        "-O2 -mbranch-protection=standard",
        "-O2 -mharden-sls=all",
        "-O2 -mcmodel=tiny",
        "-O2 -mcmodel=large",
        "-O3 -mcpu=neoverse-n1",
        "-O2 -mllvm -aarch64-enable-compress-jump-tables=false",
        "-Os -mbranch-protection=standard",
    )
    for k, flags in enumerate(extra_clang):
        out.append(Config("clang-19", flags, 400 + k))
    for k, flags in enumerate(("-O0", "-O1", "-O2", "-Os")):
        out.append(
            Config(
                "clang-22",
                flags + " -faarch64-jump-table-hardening",
                410 + k,
                pie=bool(k & 1),
                linker="lld" if k & 1 else "bfd",
            )
        )
    out.append(Config("clang-19", "-O2", 420, cxx=True))
    out.append(Config("clang-19", "-O2", 421, wide=True))
    out.append(Config("clang-19", "-O2 -ffunction-sections", 422, linker="lld", link="--icf=all"))
    out.append(Config("clang-14", "-O2", 423, wide=True, linker="lld"))
    return out


def available(config: Config) -> bool:
    linker = "ld.lld" if config.linker == "lld" else "aarch64-linux-gnu-ld"
    return shutil.which(config.command()[0]) is not None and shutil.which(linker) is not None


def truth_section(assembly: str, tables: list) -> str:
    """Adds `.jttruth`: per dispatch branch, table, anchor, count, size, signed, shift, owner; then its targets."""
    lines = assembly.splitlines()
    marks: dict[int, list[str]] = {}
    rows = ['\t.section\t.jttruth,"",%progbits']
    for n, t in enumerate(tables):
        marks.setdefault(t.branch_line, []).append(f".Ltruth{n}:")
        rows += [
            f"\t.xword\t.Ltruth{n}, {t.label}, {t.anchor}, {len(t.targets)}, {t.size}, {int(t.signed)}, {t.shift}, "
            f"{t.function}"
        ]
        rows += [f"\t.xword\t{x}" for x in t.targets]
    out: list[str] = []
    for k, line in enumerate(lines):
        out += marks.get(k, []) + [line]
    return "\n".join(out + rows) + "\n"


def run(command: list[str], **more: object) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload]
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:3])}...: {done.stderr.strip()[:2000]}")


def read_truth(elf: bytes, section: bytes, names: dict[int, str]) -> list[dict[str, object]]:
    out, at = [], 0
    while at + 64 <= len(section):
        branch, table, anchor, count, size, signed, shift, owner = struct.unpack_from("<8Q", section, at)
        targets = list(struct.unpack_from(f"<{count}Q", section, at + 64))
        at += 64 + 8 * count
        out.append(
            {
                "function": names.get(owner, ""),
                "branch": branch,
                "base": table,
                "anchor": anchor,
                "count": count,
                "entry_size": size,
                "signed": bool(signed),
                "shift": shift,
                "targets": targets,
            }
        )
    return out


def build(config: Config, out: Path, annotated: bool = False) -> dict[str, object]:
    """Compiles, links and strips one configuration; returns (and writes) its truth."""
    from elftools.elf.elffile import ELFFile

    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        unit = work / ("p.cc" if config.cxx else "p.c")
        unit.write_text(source(config.seed, config.wide))
        kind = [] if not config.cxx or "clang" not in config.compiler else ["-x", "c++"]
        language = [*kind, *(["-fno-exceptions", "-fno-rtti", "-fpermissive"] if config.cxx else [])]
        base = [f for f in BASE if not (config.pie and f == "-fno-pie")]
        run(
            [
                *config.command(),
                *base,
                *(PIE if config.pie else ()),
                *config.flags,
                *language,
                "-S",
                str(unit),
                "-o",
                str(work / "p.s"),
            ]
        )
        text = (work / "p.s").read_text()
        tables = tables_in(text, config.name)
        if annotated:
            text = annotate(text, config.name)
            tables = tables_in(text, config.name)
        (work / "p.s").write_text(truth_section(text, tables))
        arch = ["-march=armv8.5-a+lse+crypto"] if "gcc" in config.compiler else []
        run([*config.command(), *arch, "-c", str(work / "p.s"), "-o", str(work / "p.o")])
        linker = ["ld.lld"] if config.linker == "lld" else ["aarch64-linux-gnu-ld"]
        full = out / f"{config.name}.elf"
        run(
            [
                *linker,
                *LINK,
                *config.link,
                *(["-pie", "--no-dynamic-linker"] if config.pie else []),
                str(work / "p.o"),
                "-o",
                str(full),
            ]
        )
        data = full.read_bytes()
        with full.open("rb") as f:
            elf = ELFFile(f)
            section = elf.get_section_by_name(".jttruth")
            raw = section.data() if section is not None else b""
            names, brs = {}, {}
            for s in elf.get_section_by_name(".symtab").iter_symbols():
                if s["st_info"]["type"] == "STT_FUNC":
                    names[s["st_value"]] = s.name
        objcopy = "aarch64-linux-gnu-objcopy"
        run([objcopy, "-R", ".jttruth", "-R", ".rela.jttruth", str(full), str(full)])
        run([objcopy, "--strip-all", str(full), str(out / f"{config.name}.stripped.elf")])
    truth = {"name": config.name, "tables": read_truth(data, raw, names)}
    seen: set[object] = set()
    truth["tables"] = [
        t for t in truth["tables"] if t["branch"] not in seen and not seen.add(t["branch"])
    ]  # folded twins
    (out / f"{config.name}.json").write_text(json.dumps(truth))
    del brs
    return truth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    total = 0
    for config in configurations():
        if args.only and args.only not in config.name:
            continue
        if args.list or not available(config):
            print(config.name, "" if args.list else "(compiler missing)")
            continue
        try:
            truth = build(config, args.out)
        except Exception as why:
            print(f"{config.name}: FAILED {why}")
            continue
        total += len(truth["tables"])
        print(f"{config.name}: {len(truth['tables'])} tables")
    print(f"{total} tables")


if __name__ == "__main__":
    main()

"""The NFP disassembler held to the vendor's, which lives in the sources of GNU binutils.

    apt-get install binutils-source
    python tests/nfp/independent.py [--source TARBALL-OR-FOLDER] [--words N] [recordings]

Takes one source file and four headers out of the tarball (default: /usr/src/binutils, or $BPFBENCH_BINUTILS), compiles
them with a few lines of our own in place of libbfd, and sends words through: those of generated programs, with our passes
and as the driver emits them, and of all recorded programs if there are any.  Every text has to be identical.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PLACES: Final = (os.environ.get("BPFBENCH_BINUTILS", ""), "/usr/src/binutils")
WANTED: Final = {
    "opcodes/nfp-dis.c": "nfp-dis.c", "include/opcode/nfp.h": "opcode/nfp.h", "include/elf/nfp.h": "elf/nfp.h",
    "include/elf/common.h": "elf/common.h", "include/elf/reloc-macros.h": "elf/reloc-macros.h",
}  # fmt: skip
HEADERS: Final = ("sysdep.h", "disassemble.h", "libiberty.h", "opintl.h", "elf-bfd.h", "bfd.h")

# What the disassembler expects of libbfd and libopcodes when it is given words without a file around them.
SHIM: Final = r"""
#pragma once
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
typedef uint64_t bfd_vma, bfd_size_type;
typedef int64_t file_ptr;
typedef unsigned char bfd_byte;
typedef struct bfd bfd;
typedef struct { bfd *owner; } asection;
typedef struct {
  unsigned sh_type, sh_info;
  uint64_t sh_flags, sh_size, sh_entsize;
  asection *bfd_section;
} Elf_Internal_Shdr;
static inline unsigned elf_numsections(bfd *b) { return 0; }
static inline Elf_Internal_Shdr **elf_elfsections(bfd *b) { return 0; }
static inline bool bfd_get_section_contents(bfd *b, asection *s, void *to, file_ptr at, bfd_size_type n) { return false; }
static inline uint32_t bfd_getl32(const void *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static inline uint64_t bfd_getl64(const void *p) { uint64_t v; memcpy(&v, p, 8); return v; }
#define elf_section_flags(s) 0
#define elf_section_info(s) 0
typedef struct disassemble_info {
  int (*fprintf_func)(void *, const char *, ...);
  void *stream, *private_data;
  asection *section;
  unsigned long mach;
  const char *disassembler_options;
  int (*read_memory_func)(bfd_vma, bfd_byte *, unsigned, struct disassemble_info *);
  size_t buffer_length;
  int bytes_per_line, bytes_per_chunk;
} disassemble_info;
typedef struct { const char **name, **description; const void *arg; } disasm_options_t;
typedef struct { disasm_options_t options; void *args; } disasm_options_and_args_t;
#define FOR_EACH_DISASSEMBLER_OPTION(o, all) for ((o) = (all); (o); (o) = strchr((o), ',') ? strchr((o), ',') + 1 : 0)
static inline int disassembler_options_cmp(const char *a, const char *b) {
  size_t n = strcspn(a, ",");
  return n == strlen(b) ? strncmp(a, b, n) : 1;
}
#define _(text) text
#define N_(text) text
#define XNEWVEC(T, n) ((T *) malloc(sizeof(T) * (n)))
#define XNEW(T) ((T *) malloc(sizeof(T)))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
"""
MAIN: Final = r"""
#include "shim.h"
int print_insn_nfp(bfd_vma, disassemble_info *);
static unsigned char word[8];
static int fetch(bfd_vma at, bfd_byte *to, unsigned n, disassemble_info *info) { memcpy(to, word, n); return 0; }
int main(void) {
  disassemble_info info = {.fprintf_func = (int (*)(void *, const char *, ...)) fprintf, .stream = stdout, .mach = 0x6000,
                           .disassembler_options = "ctx4,no-pc", .read_memory_func = fetch, .buffer_length = 8};
  while (fread(word, 8, 1, stdin) == 1) { print_insn_nfp(0, &info); putchar('\n'); }
  return 0;
}
"""


def source_of(given: str = "") -> Path | None:
    """A tarball or an unpacked tree of binutils, None if there is none."""
    for place in filter(None, (given, *PLACES)):
        path = Path(place)
        if path.is_file() or (path / "opcodes").is_dir():
            return path
        found = sorted(path.glob("binutils-2*.tar.*"))
        if found:
            return found[-1]
    return None


def build(source: Path, folder: Path) -> Path:
    """Compile the vendor's disassembler; the program reads words (8 bytes, little-endian) and writes lines."""
    for name in ("opcode", "elf"):
        (folder / name).mkdir(exist_ok=True)
    if source.is_dir():
        for name, to in WANTED.items():
            shutil.copy(source / name, folder / to)
    else:
        with tarfile.open(source) as tar:
            left = dict(WANTED)
            for member in tar:
                to = left.pop(member.name.partition("/")[2], "")
                content = tar.extractfile(member) if to else None
                if content is not None:
                    (folder / to).write_bytes(content.read())
                if not left:
                    break
    (folder / "shim.h").write_text(SHIM)
    (folder / "main.c").write_text(MAIN)
    for name in HEADERS:
        (folder / name).write_text('#include "shim.h"\n')
    made = folder / "nfp-dis"
    compiler = shutil.which("cc") or shutil.which("gcc") or "cc"
    subprocess.run([compiler, "-O1", "-w", "-I", folder, "-o", made, folder / "main.c", folder / "nfp-dis.c"], check=True)
    return made


def texts(program: Path, words: list[int]) -> list[str]:
    raw = b"".join(word.to_bytes(8, "little") for word in words)
    return subprocess.run([program], input=raw, stdout=subprocess.PIPE, check=True).stdout.decode().splitlines()


def generated(count: int) -> Iterator[int]:
    """Words of random programs, of our own code generator and of the driver's in turn."""
    sys.path.insert(0, str(ROOT))
    from bpfbench.errors import BpfbenchError
    from bpfbench.jit.nfp import compile_nfp
    from bpfbench.program.program import from_assembly
    from tests.nfp_fuzz import program_text

    seed = 0
    while count > 0:
        seed += 1
        try:
            code = compile_nfp(from_assembly(program_text(seed)), "bpfbench" if seed % 2 else "linux-6.1")
        except BpfbenchError:
            continue
        words = code.image(512, 64, {number: 128 + number for number in (1, 2, 3, 25)})
        count -= len(words)
        yield from words


def recorded(folder: Path) -> Iterator[int]:
    with gzip.open(folder / "kernel-jit" / "nfp-linux-6.1.jsonl.gz", "rt") as lines:
        for line in lines:
            yield from (int(word, 16) for word in json.loads(line)["image"])


def compare(program: Path, words: list[int]) -> list[str]:
    """A line for each word whose texts differ."""
    from bpfbench.machine.nfp_text import disassemble

    pairs = zip(words, texts(program, words), strict=True)
    return [f"{word:#015x}: {disassemble(word)}   instead of   {said}" for word, said in pairs if disassemble(word) != said]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("recordings", nargs="?", default=os.environ.get("BPFBENCH_RECORDINGS", ""))
    parser.add_argument("--source", default="")
    parser.add_argument("--words", type=int, default=60_000)
    args = parser.parse_args()
    source = source_of(args.source)
    if source is None:
        print("no sources of binutils: apt-get install binutils-source, or name a tarball with --source")
        return 2
    words = {"generated": list(generated(args.words))}
    if args.recordings:
        words["recorded"] = list(recorded(Path(args.recordings)))
    with tempfile.TemporaryDirectory() as folder:
        program = build(source, Path(folder))
        wrong = 0
        for kind, some in words.items():
            differing = compare(program, some)
            wrong += len(differing)
            print(f"{kind}: {len(some) - len(differing)} of {len(some)} words have the same text")
            print("\n".join(differing[:20]), end="\n" if differing else "")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())

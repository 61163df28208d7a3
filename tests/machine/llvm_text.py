"""What LLVM's disassembler prints for given instructions, and a form in which texts compare."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence

import pytest


def disassembled(codes: Sequence[bytes], *options: str) -> list[str]:
    """LLVM's text of each instruction, "" where it knows none; skips where there is no LLVM."""
    tool = shutil.which("llvm-mc-19") or shutil.which("llvm-mc")
    if tool is None:
        pytest.skip("no llvm-mc: install LLVM (Debian: apt-get install llvm-19)")
    lines = "".join(" ".join(f"0x{byte:02x}" for byte in code) + "\n" for code in codes)
    # --show-encoding lets texts be matched with the bytes they stand for
    done = subprocess.run(
        [tool, "--disassemble", "--show-encoding", *options], input=lines, capture_output=True, text=True, timeout=120
    )
    texts: dict[bytes, str] = {}
    for line in done.stdout.splitlines():
        found = re.match(r"\s*(.*?)\s*[#;@/]+ encoding: \[(.*?)\]", line)
        if found:
            raw = bytes(int(part, 16) for part in found.group(2).split(","))
            texts[raw] = " ".join(found.group(1).split())
    return [texts.get(code, "") for code in codes]


def plain(text: str) -> str:
    """Numbers as signed 64-bit decimals, one space between tokens."""

    def number(found: re.Match[str]) -> str:
        value = int(found.group(0), 0) & (1 << 64) - 1
        return str(value - (1 << 64) if value >> 63 else value)

    text = re.sub(r"(?<![\w.])-?(0x[0-9a-fA-F]+|\d+)(?![\w.])", number, text.replace("- ", "-").replace("+ ", "+"))
    return " ".join(text.replace(",", " , ").replace("[", " [ ").replace("]", " ] ").replace("+", " + ").split())

"""C to BPF objects, with whatever clang there is."""

from __future__ import annotations

from bpfbench.toolchain.clang import available, compile_c, compile_object, find_compiler

__all__ = ["available", "compile_c", "compile_object", "find_compiler"]

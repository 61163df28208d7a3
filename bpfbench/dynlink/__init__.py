"""Linking BPF objects: statically into one file, or as shared libraries when the program is loaded.

    link_static([a.o, b.o])    one object out of several (static.py, merge_btf.py)

Source: the issue's model is tools/lib/bpf/linker.c for the static half and the ELF dynamic linker for the other;
the ABI and the file format are in docs/dynlink.md.
"""

from bpfbench.dynlink.static import StaticLinker, link_static

__all__ = ["StaticLinker", "link_static"]

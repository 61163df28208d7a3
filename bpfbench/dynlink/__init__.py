"""Linking BPF objects: statically into one file, or as shared libraries when the program is loaded.

    link_static([a.o, b.o])       one object out of several                  static, merge_btf
    start(main.o, [lib.o, …])     a program with shared libraries            process, module, forms
       .run(packet)               … on the interpreter, or as machine code   engines, emulated, native, child, stubs
       .replace(newer.o)          … with a library replaced in between

A library is verified by itself, against the prototypes of the functions that it exports; a program against those that it
imports.  ABI and file format: docs/dynlink.md.
"""

from bpfbench.dynlink.module import Module
from bpfbench.dynlink.process import ENGINES, LinkEvent, Process, start
from bpfbench.dynlink.static import StaticLinker, link_static

__all__ = ["ENGINES", "LinkEvent", "Module", "Process", "StaticLinker", "link_static", "start"]

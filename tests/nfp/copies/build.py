"""Compile copies.c three times: python build.py, with clang 14.

    as_is       what clang makes of it today: small copies happen to stay pairs, going down
    scheduled   another of LLVM's schedulers puts loads together, as slide 46 shows it
    in_order    the same scheduler, held back by -bpf-expand-memcpy-in-order
"""

from pathlib import Path

from bpfbench.toolchain.clang import compile_object

LINEAR = ("-mllvm", "-pre-RA-sched=linearize")
FLAGS = {"as_is": (), "scheduled": LINEAR, "in_order": (*LINEAR, "-mllvm", "-bpf-expand-memcpy-in-order")}
HERE = Path(__file__).parent


def built(name: str) -> bytes:
    return compile_object((HERE / "copies.c").read_text(), "copies", debug=False, extra=FLAGS[name])


if __name__ == "__main__":
    for name in FLAGS:
        (HERE / f"{name}.o").write_bytes(built(name))

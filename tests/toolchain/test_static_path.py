"""The classical path of slides 3 and 4: what is in an object, what a linker made of it, what is left for the loader."""

from __future__ import annotations

import pytest

from bpfbench.errors import ToolchainError
from bpfbench.toolchain.static_path import StaticPath, host_compiler, static_path


@pytest.fixture(scope="module")
def path() -> StaticPath:
    try:
        host_compiler()
    except ToolchainError as error:
        pytest.skip(str(error))
    return static_path()


def test_the_assembly_has_the_slide_s_names(path: StaticPath) -> None:
    assert all(f"{name}:" in path.assembly for name in ("a", "foo", "main"))


def test_data_and_code_are_in_sections_of_their_own(path: StaticPath) -> None:
    assert path.symbols["a"][0] == ".data" and path.symbols["foo"][0] == ".text"
    flags = {s.name: s.flags for s in path.sections}
    assert (flags[".text"], flags[".data"]) == ("AX", "WA")


def test_the_object_leaves_the_address_of_a_to_the_linker(path: StaticPath) -> None:
    assert any(r.section == ".text" and r.symbol in ("a", ".data") for r in path.relocations)


def test_no_segment_is_writable_and_executable(path: StaticPath) -> None:
    loaded = [s for s in path.segments if s.type == "LOAD"]
    assert loaded and not any("w" in s.access and "x" in s.access for s in loaded)
    holding = {name: s.access for s in loaded for name in s.sections}
    assert holding[".text"] == "r-x" and holding[".data"] == "rw-"
    assert path.runtime_relocations


def test_an_error_in_the_source_is_one_line(path: StaticPath) -> None:
    with pytest.raises(ToolchainError, match="error"):
        static_path("int main(void) { return nonsense; }")

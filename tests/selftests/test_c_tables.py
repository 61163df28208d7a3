"""Reading C tables: tokens, macros, expressions, initialisers, layouts of structures."""

from __future__ import annotations

import pytest

from bpfbench.errors import KernelError
from bpfbench.kernel import insn_macros
from bpfbench.kernel.c_tables import Braces, Evaluator, Source


def source(header: str = "") -> Source:
    made = Source(dict(insn_macros.MACROS))
    made.constants.update(insn_macros.constants())
    made.learn(header)
    return made


def value(text: str, header: str = "") -> object:
    made = source(header)
    return Evaluator(made, made.read(text)).initialiser()


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1 + 2 * 3", 7),
        ("(1 << 4) | 0xful", 31),
        ("-8 / 3", -2),
        ("~0", -1),
        ("!5", 0),
        ("1 ? 2 : 3", 2),
        ("'a'", 97),
        ("010", 8),
        ("sizeof(int) * 2", 8),
        ("(__u16)0x12345", 0x2345),
        ("(__s16)0xFFFF", -1),
        ("5 > 3 && 2 != 2", 0),
        ("0xcafe4all", 0xCAFE4A),
        ("INT_MIN", -(1 << 31)),
    ],
)
def test_expressions(text: str, number: int) -> None:
    assert value(text) == number


def test_macros_expand_with_arguments_pasting_and_strings() -> None:
    header = (
        "#define CAT(a, b) a##b\n#define NAME(x) #x\n#define TWICE(x) (x) + (x)\n#define LIST(...) { __VA_ARGS__ }\n"
    )
    assert value("TWICE(CAT(1, 2))", header) == 24
    assert value("NAME(map lookup)", header) == "map lookup"
    items = value("LIST(1, TWICE(2), 3)", header)
    assert isinstance(items, Braces) and [v for _, v in items.items] == [1, 4, 3]


def test_a_macro_is_not_expanded_inside_itself() -> None:
    made = source("#define LOOP LOOP + 1\n")
    assert [t.text for t in made.read("LOOP")] == ["LOOP", "+", "1"]


def test_conditions_choose_their_branch() -> None:
    text = "#define A 1\n#if A && !defined(B)\n1\n#else\n2\n#endif\n#ifdef B\n+ 10\n#elif A == 1\n+ 20\n#endif"
    assert value(text) == 21


def test_enumerations_count() -> None:
    assert value("{ A, B, C }", "enum x { A, B = 7, C };").items == [("", 0), ("", 7), ("", 8)]  # type: ignore[attr-defined]


def test_layouts_follow_the_abi() -> None:
    header = (
        "struct inner { __u8 a; __u64 b; };\n"
        "struct outer { __u32 x[5]; union { struct inner *p; __u64 :64; } __attribute__((aligned(8))); __u16 y; "
        "__u32 z; __u8 t; __u32 :24; long long w; };"
    )
    made = source(header)
    assert made.structs["inner"].size == 16
    members = made.structs["outer"].members
    assert {name: members[name] for name in ("x", "p", "y", "z", "t", "w")} == {
        "x": (0, 20),
        "p": (24, 8),
        "y": (32, 2),
        "z": (36, 4),
        "t": (40, 1),
        "w": (48, 8),
    }
    assert value("offsetof(struct outer, x[3])", header) == 12


def test_designators_and_instructions() -> None:
    table = value(
        '{ "name", .insns = { BPF_MOV64_IMM(BPF_REG_0, -1), BPF_LD_IMM64(BPF_REG_1, 1ULL << 40) }, .n = { [2] = 5 } }'
    )
    assert isinstance(table, Braces)
    fields = table.fields()
    assert table.items[0] == ("", "name")
    assert [v for _, v in fields["insns"].items] == [  # type: ignore[attr-defined]
        [(0xB7, 0, 0, 0, -1)],
        [(0x18, 1, 0, 0, 0), (0, 0, 0, 0, 256)],
    ]
    assert fields["n"].items == [("[2]", 5)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{ 1, ", "1: the table ends"),
        ("nonsense", "unknown name 'nonsense'"),
        ("1 / 0", "division by zero"),
        ("BPF_MOV64_IMM(1)", "BPF_MOV64_IMM with 1 arguments"),
        ("{" * 60, "nested too deeply"),
        ('"a" + 1', "not a number"),
        ("1 << 99999", "shift by 99999"), ("(" * 400 + "1", "nested too deeply"),
    ],
)
def test_bad_tables_get_one_clear_error(text: str, message: str) -> None:
    with pytest.raises(KernelError, match=message.replace("(", r"\(")):
        value(text)


def test_macros_that_explode_are_stopped() -> None:
    header = "#define A0 1\n" + "".join(f"#define A{n} A{n - 1} A{n - 1} A{n - 1} A{n - 1}\n" for n in range(1, 16))
    with pytest.raises(KernelError, match="more than a table can need"):
        value("{ A15 }", header)

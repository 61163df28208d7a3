"""The kernel's verifier tests: read from a small tree made here, and from a real one where there is one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bpfbench.errors import KernelError
from bpfbench.kernel import selftest_fills, selftests

HEADER = """
struct __sk_buff { __u32 len; __u32 pkt_type; __u32 mark; };
enum bpf_attach_type { BPF_CGROUP_INET_INGRESS, BPF_CGROUP_INET_EGRESS };
"""
RUNNER = r"""
#define MAX_ENTRIES 11
struct test_val { unsigned int index; int foo[MAX_ENTRIES]; };
#define READ_FIELD(field) BPF_LDX_MEM(BPF_W, BPF_REG_0, BPF_REG_1, offsetof(struct __sk_buff, field))
"""
TABLE = r"""
{
	"ctx: a field",
	.insns = { READ_FIELD(mark), BPF_EXIT_INSN(), },
	.result = ACCEPT,
	.retval = POINTER,
},
{
	"unpriv: no number comes back",
	.insns = { BPF_MOV64_REG(BPF_REG_0, BPF_REG_10), BPF_EXIT_INSN(), },
	.result_unpriv = REJECT,
	.errstr_unpriv = "R0 leaks addr",
	.result = ACCEPT,
},
{
	"ctx: a lookup without a check",
	.insns = {
	BPF_ST_MEM(BPF_DW, BPF_REG_10, -8, 0),
	BPF_MOV64_REG(BPF_REG_2, BPF_REG_10),
	BPF_ALU64_IMM(BPF_ADD, BPF_REG_2, -8),
	BPF_LD_MAP_FD(BPF_REG_1, 0),
	BPF_EMIT_CALL(BPF_FUNC_map_lookup_elem),
	BPF_ST_MEM(BPF_DW, BPF_REG_0, offsetof(struct test_val, foo), 0),
	BPF_EXIT_INSN(),
	},
	.fixup_map_hash_48b = { 3 },
	.errstr = "R0 invalid mem access 'map_value_or_null'",
	.result = REJECT,
	.prog_type = BPF_PROG_TYPE_SCHED_CLS,
},
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tools/testing/selftests/bpf"
    (folder / "verifier").mkdir(parents=True)
    (tmp_path / "include/uapi/linux").mkdir(parents=True)
    (tmp_path / "include/uapi/linux/bpf.h").write_text(HEADER)
    (folder / "test_verifier.c").write_text(RUNNER + "#define POINTER 0xcafe4all\n")
    (folder / "verifier/one.c").write_text(TABLE)
    return tmp_path


def test_tables_become_programs_with_expectations(tree: Path) -> None:
    field, leak, lookup = selftests.read(tree)
    assert [str(i) for i in field.program.insns] == ["<r0 = *(u32 *)(r1 +8)>", "<exit>"]
    assert field.program.type == "socket_filter" and field.expected == "accept" and field.retval is None
    assert leak.expected_unpriv == "reject" and leak.message_unpriv == ["R0 leaks addr"]
    assert lookup.program.type == "sched_cls" and str(lookup.program.maps[0]).startswith("MapSpec(map_hash_48b: hash")
    assert str(lookup.program.insns[3]) == "<r1 = map[0]>" and str(lookup.program.insns[6]) == "<*(u64 *)(r0 +4) = 0>"


def test_browsing_by_prefix(tree: Path) -> None:
    tests = selftests.read(tree)
    assert selftests.prefixes(tests) == {"ctx": 2, "unpriv": 1}
    assert [t.name for t in selftests.select(tests, "unpriv:")] == ["unpriv: no number comes back"]


def test_our_verifier_answers_as_the_tables_expect(tree: Path) -> None:
    for test in selftests.read(tree):
        assert selftests.as_expected(test, selftests.ask_ours(test))
        if test.expected_unpriv:
            answer = selftests.ask_ours(test, privileged=False)
            assert selftests.as_expected(test, answer, unprivileged=True)


def test_a_table_needs_no_tree_and_its_pieces_stand_in_order() -> None:
    text = ('{ "packet", .insns = { BPF_LDX_MEM(BPF_W, BPF_REG_2, BPF_REG_1, 0), '
            'BPF_LDX_MEM(BPF_B, BPF_REG_0, BPF_REG_2, 0), BPF_EXIT_INSN(), },'
            ' .prog_type = BPF_PROG_TYPE_XDP, .result = REJECT, .errstr = "%s" },')
    for pieces, good in (("invalid access\\toutside of", True), ("outside of\\tinvalid access", False)):
        test, = selftests.read_text(text % pieces)
        assert selftests.as_expected(test, selftests.ask_ours(test)) == good


def test_the_agreement_table(tree: Path, live_kernel: None) -> None:
    counts = selftests.summary(selftests.compare(selftests.read(tree)))
    assert counts == {
        "tests": 3,
        "same_verdict": 3,
        "rejected": 1,
        "same_message": 1,
        "wrongly_accepted": 0,
        "not_asked": 0,
    }


def test_a_folder_without_tests_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match="no verifier tests"):
        selftests.read(tmp_path)


def test_a_broken_table_names_file_and_line(tree: Path) -> None:
    (tree / "tools/testing/selftests/bpf/verifier/two.c").write_text('{\n\t"x",\n\t.insns = { BPF_NONSENSE() },\n},\n')
    with pytest.raises(KernelError, match=r"two.c:3: unknown name 'BPF_NONSENSE'"):
        selftests.read(tree)


@pytest.mark.parametrize(
    ("name", "size", "slots", "accepted"),
    [
        ("jump_around_ld_abs", 0, 4681, True),
        ("rand_ld_dw", 90, 95, True),
        ("torturous_jumps", 1, 259, True),
        ("torturous_jumps", 2, 4100, True),
        ("torturous_jumps", 3, 4364, True),
        ("big_prog_with_loop_1", 0, 4071, None),
        ("ld_abs_vlan_push_pop", 0, 29708, None),
        ("scale", 1, 967233, None),
    ],
)
def test_long_programs_are_built(name: str, size: int, slots: int, accepted: bool | None) -> None:
    import struct

    from bpfbench.program.program import Program

    made, _ = selftest_fills.FILLS[name](size, 1)
    assert len(made) == slots
    if accepted is not None and len(made) < 5000:
        raw = b"".join(struct.pack("<BBhi", code, dst | src << 4, off, imm) for code, dst, src, off, imm in made)
        import bpfbench as bb

        kind = "sched_cls" if name == "jump_around_ld_abs" else "socket_filter"
        assert bb.verify(Program.from_json({"name": name, "prog_type": kind, "insns": raw.hex()})).accepted == accepted


@pytest.fixture(scope="module")
def real() -> list[selftests.Selftest]:
    tree = os.environ.get("BPFBENCH_KERNEL_TREE", "")
    if not tree or not (Path(tree) / "tools/testing/selftests/bpf/verifier").is_dir():
        pytest.skip(
            "no kernel source tree: unpack one (Debian: apt-get install linux-source-6.1) and set BPFBENCH_KERNEL_TREE"
        )
    return selftests.read(tree)


@pytest.mark.slow
def test_a_real_tree_agrees_with_the_running_kernel(real: list[selftests.Selftest], live_kernel: None) -> None:
    plain = [test for test in real if not test.needs]
    counts = selftests.summary(selftests.compare(plain, limit=20_000))
    assert len(real) > 500 and counts["wrongly_accepted"] == 0
    assert counts["same_verdict"] >= 0.98 * counts["tests"]
    assert counts["same_message"] >= 0.90 * counts["rejected"]

"""The site: every part is written, every link and anchor leads somewhere, nothing is fetched from a network."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfbench.verifier.rules import RULES
from tests.conftest import ROOT

build = pytest.importorskip("docs.build", reason="no pdoc, mistune or nbconvert (pip install 'bpfbench[docs]')",
                            exc_type=ImportError)
api, kernels, lectures, manual = build.api, build.kernels, build.lectures, build.manual
papers, reports, shell = build.papers, build.reports, build.shell
links = build.links

MODULES = ["bpfbench", "bpfbench.bits", "bpfbench.errors", "bpfbench.verifier", "bpfbench.verifier.tnum"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole site, with reports of two data sets and the reference of five modules."""
    out = tmp_path_factory.mktemp("site")
    objects = kernels.objects()[:2]
    said = manual.write_rules(out)
    shell.write(out, "site.css", shell.sheet())
    build.write_index(out)
    lectures.write_lectures(out, papers.addresses())
    lectures.write_exercises(out)
    papers.write_papers(out, papers.addresses())
    manual.write_manual(out)
    kernels.write_kernels(out, said, objects)
    reports.write_reports(out, objects)
    api.write_api(out, MODULES)
    build.find.write_search(out)
    papers.write_sources(out, links.sources(out))
    return out


def test_every_link_leads_somewhere_and_nothing_is_fetched(site: Path) -> None:
    assert links.problems(site) == []


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    page = '<a href="b.html#x">1</a><a href="c.html">2</a><a href="#here">3</a><a id="here" href="../out.html">4</a>'
    (tmp_path / "a.html").write_text(page + '<img src="https://example.org/x.png"><script src="data:,"></script>')
    (tmp_path / "b.html").write_text("no anchor")
    assert [line.split(": ", 1)[1] for line in links.problems(tmp_path)] == [
        "b.html#x: no such anchor", "c.html: no such file", "../out.html: no such file",
        "loads https://example.org/x.png"]  # fmt: skip


def test_every_page_leads_to_all_parts(site: Path) -> None:
    for path in site.rglob("*.html"):
        if path.name != "index.html" or path.parent.name != "api":
            text = path.read_text()
            assert all(f"{to}\"" in text for to, _ in shell.NAV), path


def test_there_is_a_page_for_each_lecture_and_document(site: Path) -> None:
    for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"):
        text = (site / "lectures" / f"{path.stem}.html").read_text()
        assert "<h1" in text and "widget-view" not in text and "require.min.js" not in text
    for path in (ROOT / "docs").glob("*.md"):
        assert (site / "documents" / f"{path.stem}.html").is_file()


def test_each_rule_is_told_with_what_each_kernel_says(site: Path) -> None:
    text = (site / "rules.html").read_text()
    for rule in RULES:
        assert f'id="{rule.code}"' in text and shell.esc(rule.why) in text and shell.esc(rule.fix) in text
        assert all(shell.esc(message) in text for message in rule.messages)
    loop = next(r for r in RULES if r.code == "infinite-loop")
    said = manual.verdicts(loop)
    assert said["linux-4.18"].startswith("back-edge") and said["linux-6.18"].startswith("infinite loop detected")


def test_rules_headings_operations_and_names_can_be_searched(site: Path) -> None:
    found = {text: url for text, url, _ in build.find.entries(site)}
    assert found["deref-maybe-null"] == "rules.html#deref-maybe-null"
    assert found["bpfbench.verifier.tnum"] == "api/bpfbench/verifier/tnum.html"
    assert found["SDIV64_K"] == "manual.html#SDIV64_K" and found["13 · Pruning"] == "lectures/13_pruning.html"
    text = (site / "search-index.js").read_text()
    assert text.startswith("const ENTRIES = [[") and "</script" not in text


def test_profiles_show_only_what_differs(site: Path) -> None:
    rows = kernels.switches()
    assert all(len({str(v) for v in values}) > 1 for _, _, values in rows)
    by_name = {name: values for name, _, values in rows}
    assert by_name["insn_limit"] == [131_072, 1_000_000, 1_000_000, 1_000_000]
    assert all(text for _, text, _ in rows), [name for name, text, _ in rows if not text]


def test_markdown_has_anchors_scrolling_tables_and_links_to_pages() -> None:
    text = "# A `b`\n\n## Part\n\n## Part\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n[x](../notebooks/n.ipynb#part) <b>c</b>"
    body, contents = shell.markdown(text, {"notebooks/n.ipynb": "../lectures/n.html"}, "docs")
    assert [anchor for _, anchor, _ in contents] == ["a-b", "part", "part-2"]
    assert '<div class="table"' in body and 'href="../lectures/n.html#part"' in body and "<b>c</b>" in body


def test_the_reference_has_signatures_and_examples(site: Path) -> None:
    text = (site / "api" / "bpfbench" / "verifier" / "tnum.html").read_text()
    assert "&gt;&gt;&gt;" in text and 'id="add"' in text
    listed = (site / "api" / "index.html").read_text()
    assert all(name.replace(".", "/") + ".html" in listed for name in MODULES)
    assert {"bpfbench.verifier.walker", "bpfbench.jit.x64", "bpfbench.elf.loader"} <= set(api.modules())

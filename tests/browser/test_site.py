"""The site in a browser: no page is wider than a phone, both colour schemes, no request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bpfbench.verifier.rules import RULES

build = pytest.importorskip("docs.build", reason="no pdoc, mistune or nbconvert (pip install 'bpfbench[docs]')",
                            exc_type=ImportError)
api, kernels, lectures, manual = build.api, build.kernels, build.lectures, build.manual
papers, reports, shell = build.papers, build.reports, build.shell


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages of each kind."""
    out = tmp_path_factory.mktemp("site")
    objects = [path for path in kernels.objects() if path.stem == "xdp_firewall"]
    shell.write(out, "site.css", shell.sheet())
    build.write_index(out)
    lectures.write_lectures(out, papers.addresses(), ("07", "13"))
    lectures.write_exercises(out)
    papers.write_papers(out, papers.addresses())
    manual.write_manual(out)
    kernels.write_kernels(out, manual.write_rules(out, RULES[:20]), objects)
    reports.write_reports(out, objects)
    api.write_api(out, ["bpfbench", "bpfbench.verifier", "bpfbench.verifier.tnum"])
    papers.write_sources(out, {"bpfbench/bits.py"})
    build.find.write_search(out)
    return out


def test_pages_fit_a_phone_in_both_schemes(site: Path, chromium: Any) -> None:
    names = [str(path.relative_to(site)) for path in sorted(site.rglob("*.html"))]
    assert {"rules.html", "lectures/13_pruning.html", "reports/xdp_firewall.html"} <= set(names)
    grounds = set()
    for scheme in ("light", "dark"):
        tab = chromium.new_page()
        tab.emulate_media(color_scheme=scheme)
        tab.set_viewport_size({"width": 390, "height": 800})
        asked: list[str] = []
        tab.on("request", lambda r, asked=asked: r.url.startswith("http") and asked.append(r.url))
        for name in names:
            tab.goto((site / name).as_uri())
            wide = tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, f"{name} is {wide} pixels wider than a phone"
        grounds.add(tab.evaluate("getComputedStyle(document.body).backgroundColor"))
        tab.close()
        assert asked == []
    assert len(grounds) == 2


def test_search_finds_while_one_types(site: Path, chromium: Any) -> None:
    tab = chromium.new_page()
    tab.goto((site / "search.html").as_uri())
    tab.fill("#q", "unreach")
    assert tab.locator("#found a").first.get_attribute("href") == "rules.html#unreachable"
    tab.fill("#q", "no such thing at all")
    assert tab.locator("#found li").count() == 0 and tab.inner_text("#count") == "0 places"
    tab.close()

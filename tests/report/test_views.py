"""HTML, Markdown, JSON and the terminal: the same figures, well formed, for every state."""

from __future__ import annotations

import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fakes_records import CONFIG, SCENARIO, Record, Story, drop, records, set_, where, write

from fk_overlay.core import Sampling
from fk_overlay.errors import UsageError
from fk_overlay.lineage.record import Recorder
from fk_overlay.report import write as write_report
from fk_overlay.report.console import verdicts
from fk_overlay.report.figures import DOTS, _strips
from fk_overlay.report.summary import summarise
from fk_overlay.report.svg import PALETTE, new_figure

ARM = "fused-norm"
VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta"}
STORIES = {
    "Improved": Story(restarts=2, restart_sd=0.001, pass_sd=0.001),
    "Regressed": Story(restarts=3, speedup=0.8),
    "Neutral": Story(speedup=1.0, restart_sd=0.001, pass_sd=0.001),
    "Unresolved": Story(speedup=1.0),
    "Incorrect": Story(restarts=2).but(where("forced", arm=ARM)(lambda record: {**record, "logprobs": [None] * 48})),
    "Not engaged": Story(restarts=2).but(drop("receipt", arm=ARM)),
    "Invalid": Story(restarts=2).but(set_("launch", {"config": {**CONFIG, "dtype": "float16"}}, arm=ARM)),
    "Uncalibrated": Story(restarts=3).but(drop("forced", arm=ARM)),
    "Contract error": Story(restarts=2).but(set_("receipt", {"errors": ["ContractError: it changed"]}, arm=ARM)),
    "Resource regression": Story(restarts=2).but(set_("launch", {"kv_blocks": 9000}, arm=ARM)),
}


Pages = tuple[str, str, Record]
"""HTML, Markdown and the content of the JSON."""


class Tree(HTMLParser):
    """Checks that tags are closed in order, and collects text and everything that would be fetched."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        found = {name: value or "" for name, value in attrs}
        self.fetched += [found[name] for name in ("src", "href", "xlink:href") if name in found]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another tag"

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


def pages(story: Story, folder: Path) -> Pages:
    html, markdown, plain = "report.html", "report.md", "report.json"
    assert {path.name for path in write_report(write(story, folder))} == {html, markdown, plain}
    texts = [(folder / name).read_text(encoding="utf-8") for name in (html, markdown, plain)]

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return texts[0], texts[1], json.loads(texts[2], parse_constant=refuse)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Pages:
    """The reports of a finished run that ended well."""
    return pages(Story(), tmp_path_factory.mktemp("good"))


@pytest.mark.parametrize(("state", "story"), STORIES.items(), ids=STORIES)
def test_every_state_in_every_view(state: str, story: Story, tmp_path: Path) -> None:
    html, markdown, plain = pages(story, tmp_path)
    tree = Tree(html)
    assert not tree.open
    assert state.lower() in tree.words
    assert markdown.startswith(f"# {state}: {plain['arms'][0]['claim']}\n")
    assert plain["arms"][0]["verdict"]["state"] == state.lower().replace(" ", "_")
    assert plain["arms"][0]["claim"] in tree.words
    for reason in plain["arms"][0]["verdict"]["reasons"]:
        assert reason in tree.words
        assert f"- {reason}" in markdown


def test_a_load_whose_tokens_are_drawn_says_so(tmp_path: Path) -> None:
    batch, single = SCENARIO.workloads
    drawn = replace(SCENARIO, workloads=(batch, replace(single, sampling=Sampling(0.8, top_k=20))))
    words = " ".join(Tree(pages(Story(scenario=drawn, restarts=2), tmp_path)[0]).words)
    assert words.count("tokens are drawn (temperature 0.8, top-k 20) and not compared") == 1


@pytest.mark.parametrize("launches", [0, 1, 2, 5])
def test_an_unfinished_run_has_a_report_that_says_so(launches: int, tmp_path: Path) -> None:
    html, markdown, plain = pages(Story(stop_after=launches), tmp_path)
    note = f"This run is not finished: {launches} of 10 launches are over"
    assert note in Tree(html).words
    assert f"> **Note.** {note}" in markdown
    assert plain["finished"] is False
    effect = plain["arms"][0]["verdict"]["effect"]
    assert effect is None if launches < 2 else effect["high"] is None or launches > 2


def test_the_page_fetches_nothing_and_its_figures_follow_its_colours(good: Pages) -> None:
    html, _, _ = good
    tree = Tree(html)
    assert all(reference.startswith("#") for reference in tree.fetched)
    assert "<script" not in html
    assert "url(http" not in html
    figures = re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)
    assert len(figures) == 3
    for figure in figures:
        assert ElementTree.fromstring(figure).get("aria-label")
        assert "var(--candidate)" in figure
        assert not any(colour in figure for colour in PALETTE)
        assert "DejaVu" not in figure
    identifiers = re.findall(r'<clipPath id="([^"]+)"', html)
    assert len(identifiers) == len(set(identifiers))


def test_golden_figures_agree_in_all_views(good: Pages) -> None:
    html, markdown, plain = good
    words = Tree(html).words
    headline = plain["arms"][0]["verdict"]["effect"]
    assert headline["ratio"] == pytest.approx(1.0826, abs=1e-4)
    assert (headline["low"], headline["high"]) == pytest.approx((1.0716, 1.0938), abs=1e-4)
    assert {"3,178", "3,440", "+8.3 %", "+7.2 % to +9.4 %", "98.97 %", "98.53 %", "6 of 6"} <= set(words)
    assert "| **output throughput** | tokens/s | 3,178 | 3,440 | +8.3 % | +7.2 % to +9.4 % | 5 |" in markdown
    assert "| correctness | 0.9986 |" in markdown
    assert plain["arms"][0]["engagements"][0]["calls"] == 4485


def test_reports_are_reproducible(good: Pages, tmp_path: Path) -> None:
    assert pages(Story(), tmp_path) == good


def test_names_from_outside_are_escaped(tmp_path: Path) -> None:
    story = Story(restarts=2, scenario=replace(SCENARIO, name="<script>alert(1)</script>"))
    html, _, _ = pages(story.but(drop("receipt", arm=ARM)), tmp_path)
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_two_arms_are_counted_and_told_apart(tmp_path: Path) -> None:
    first = records(Story(restarts=3))
    second = [
        {**record, "arm": "other", "launch": f"{record['launch']}-other"}
        for record in records(Story(restarts=3, speedup=0.9, seed=8))
        if record.get("arm") == ARM
    ]
    first[0] = {**first[0], "arms": [*first[0]["arms"], {"name": "other", "digest": "", "packs": []}]}
    with Recorder(tmp_path) as recorder:
        recorder.add_all([*first, *(record for record in second if record["kind"] != "forced")])
    write_report(tmp_path)
    tree = Tree((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert {"Speed of fused-norm", "Speed of other", "1 improved, 1 incorrect"} <= set(tree.words)
    assert "1 improved, 1 incorrect" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_a_selftest_speaks_of_the_host(tmp_path: Path) -> None:
    html, markdown, _ = pages(Story(selftest=True, speedup=1.0), tmp_path)
    assert "Engagement" not in Tree(html).words
    assert "No bias found on this host" in markdown


def test_an_offline_driver_without_times_has_no_latency_figure(tmp_path: Path) -> None:
    timeless = set_("request", {"ttft_s": None, "latency_s": None, "itl_s": []})
    html, _, _ = pages(Story(restarts=2).but(timeless), tmp_path)
    assert len(re.findall("<svg", html)) == 2


def test_only_what_is_wanted_is_written(tmp_path: Path) -> None:
    folder = write(Story(restarts=2), tmp_path)
    assert write_report(folder, html=False, json=False) == [folder / "report.md"]


def test_without_the_packages_for_html_the_others_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"needs matplotlib: pip install 'fk-overlay\[report\]'"):
        write_report(write(Story(restarts=2), tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"records.jsonl", "report.json", "report.md"}


def test_the_terminal_shows_one_row_an_arm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = [arm.verdict for arm in summarise(write(Story(), tmp_path)).arms]
    verdicts(found, tmp_path, [tmp_path / "report.html"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["fused-norm", "improved", "+8.3", "%", "+7.2", "%", "to", "+9.4", "%", "5", "0.9986"]
    assert lines[-1] == str(tmp_path / "report.html")


def test_a_row_of_many_values_shows_the_least_and_the_most() -> None:
    axes = new_figure(2.0).subplots()
    _strips(axes, [[float(value) for value in range(5000)], [3.0, 1.0, 2.0]], bound=4000.0)
    many, few = (sorted(drawn.get_offsets()[:, 0]) for drawn in axes.collections[:2])
    assert (len(many), many[0], many[-1]) == (DOTS, 0.0, 4999.0)
    assert few == [1.0, 2.0, 3.0]

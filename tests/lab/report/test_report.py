"""``lfads report``: what stands on the page, that it stands alone, and how it behaves in a browser."""

from __future__ import annotations

import html
import json
import re
import shutil
import sys
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

import browser
import lfads_plugins_lab.plugin
import lfads_plugins_std.plugin
from lfads_core.cli.main import cli
from lfads_core.components.page import ChartBlock, Curve, PictureBlock, TextBlock
from lfads_core.config.load import resolve
from lfads_core.infer.loading import load
from lfads_core.pipeline.run import start_run
from lfads_core.plugins import Registry, ReportSectionSpec, ReportSpec, hookimpl, load_registry
from lfads_core.runs import Run
from lfads_core.train.progress import Display
from lfads_plugins_lab.evaluate.run import FILE
from lfads_plugins_lab.report.blocks import markup
from lfads_plugins_lab.report.facts import gather
from lfads_plugins_lab.report.page import page
from lfads_plugins_std.figures.chart import draw_chart
from lfads_plugins_std.figures.figure import as_png, new_figure

VOID = {"meta", "link", "br", "img", "input"}
TITLES = [
    "Is it good?",
    "Training",
    "Single trials",
    "Condition averages",
    "Factor trajectories",
    "Initial conditions",
    "Inferred inputs",
    "Decoding of behaviour",
    "Hyperparameters",
    "Settings and versions",
    "What the outputs mean",
]
UNDRAWN = ["Is it good?", "Settings and versions", "What the outputs mean"]


class Structure(HTMLParser):
    """Refuses tags that are not closed in order, and collects addresses and words."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.addresses, self.words = [], [], []

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for key, value in attrs if key in {"src", "href", "data", "action", "poster", "srcset"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.addresses += [value for key, value in attrs if key in {"src", "href"}]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.words.append(data)


def parsed(text):
    found = Structure()
    found.feed(text)
    assert found.open == []
    return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_settings):
    """A run of data with everything: conditions, behaviour, events, held-out channels; and its evaluation."""
    folder, rng = tmp_path_factory.mktemp("trained"), np.random.default_rng(8)
    with h5py.File(folder / "full.h5", "w") as file:
        file.attrs["bin_ms"] = 10.0
        for split, trials in (("train", 12), ("valid", 6)):
            file[f"{split}_encod_data"] = rng.poisson(1.0, (trials, 8, 5)).astype("f4")
            file[f"{split}_cond"] = np.array(["left </script>", "right"], dtype="S20")[np.arange(trials) % 2]
            file[f"{split}_behavior"] = rng.normal(size=(trials, 8, 2))
            file[f"{split}_go_cue_ms"] = rng.uniform(10, 60, trials)
    registry = load_registry()
    config = resolve([], (), [*tiny_settings, "data.hold_out.fraction=0.4"], registry)
    run = start_run(folder / "full", [folder / "full.h5"], config, registry, Display()).run
    gather(load(run.path))
    return run


@pytest.fixture(scope="module")
def whole(trained):
    """Its page, with every figure."""
    return page(load(trained.path))


@pytest.fixture
def full(trained, tmp_path):
    """A copy of it, to change."""
    return Run(shutil.copytree(trained.path, tmp_path / "full"))


@pytest.fixture
def undrawn(monkeypatch):
    """Sentences in place of figures, which take nearly all of the time."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)


def words(run):
    return " ".join(parsed(page(load(run.path))).words)


def test_the_page_has_every_section_and_loads_nothing_from_anywhere(trained, whole):
    text = whole
    found = parsed(text)
    assert re.findall(r"<h2>(.*?)</h2>", text) == TITLES
    assert "could not be drawn" not in text
    assert all(address.startswith(("data:", "#")) for address in found.addresses)
    assert re.findall(r"@import|url\((?!#)|https?://", text) == []
    said = " ".join(found.words)
    assert "full: 12 train, 6 valid trials, 8 bins of 10 ms, 5 channels, 2 of them held out from the model's input" in said
    assert "Size of inputs around go cue" in said
    assert "condition left </script>" in said
    assert "This model comes from a single run, not from a search (lfads search)." in said
    kept = json.loads((trained.path / FILE).read_text())["sessions"]["full"]["scores"]["valid"]
    assert f"{kept['LFADS']['co_bps']:.3f}" in said
    assert f"{kept['condition average']['co_bps']:.3f}" in said


@pytest.mark.usefixtures("undrawn")
def test_a_run_without_conditions_behaviour_or_inputs_says_so_in_one_line_each(train_tiny):
    said = words(train_tiny("model.controller=null", "components.input_prior=null").run)
    assert "The file names no conditions (an array such as train_cond), or hardly any trial shares one." in said
    assert "The file has no behaviour of training and validation trials (an array such as train_behavior of trials, bins, dimensions)." in said
    assert "The model infers no inputs: it has no controller (model.controller is null)." in said
    assert "This section could not be drawn" not in said


def with_plugin(run, **hooks):
    """A loaded run whose registry knows one more plugin, and of the page's own sections those that draw nothing by themselves."""
    own = [spec for spec in lfads_plugins_lab.plugin.lfads_report_sections() if spec.title in {*UNDRAWN, "Figures of plugins"}]
    ours = {"std": lfads_plugins_std.plugin, "lab": SimpleNamespace(lfads_report_sections=hookimpl(lambda: own))}
    stranger = SimpleNamespace(**{name: hookimpl(hook) for name, hook in hooks.items()})
    return replace(load(run.path), registry=Registry.from_plugins({**ours, "stranger": stranger}))


@pytest.mark.usefixtures("undrawn")
def test_a_section_that_fails_is_named_and_the_others_are_there(full, caplog):
    def broken(_):
        yield TextBlock(text="lost")
        raise ZeroDivisionError("no luck")

    def sections():
        yield ReportSectionSpec(name="fine", summary="a", title="Fine", draw=lambda _: [TextBlock(text="good")], place=1)
        yield ReportSectionSpec(name="broken", summary="b", title="Broken", draw=broken, place=2)
        yield ReportSectionSpec(name="empty", summary="c", title="Nothing to say", draw=lambda _: [], place=3)

    text = page(with_plugin(full, lfads_report_sections=sections))
    assert "<p>good</p>" in text
    why = (
        "stranger 0 (entry point 'stranger'): the report section 'broken' failed (ZeroDivisionError: no luck). --debug shows where; tell its authors."
    )
    assert f"This section could not be drawn: {why}" in html.unescape(text)
    assert [said for said in caplog.messages if "section" in said] == [f"report: the section 'Broken' could not be drawn ({why})"]
    assert re.findall(r"<h2>(.*?)</h2>", text) == ["Fine", "Broken", *UNDRAWN]


def test_figures_and_a_section_of_others_are_on_the_page_and_one_that_raises_costs_one_sentence(full, caplog):
    def figure():
        made = new_figure(3, 2)
        made.subplots().set_title("by a stranger")
        return made

    def spectra(run, folder):
        assert (run.path, list(folder.iterdir())) == (full.path, [])
        (folder / "one.png").write_bytes(as_png(figure()))
        (folder / "two.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
        (folder / "numbers.txt").write_text("1 2 3")
        return [folder / "one.png", folder / "two.svg", folder / "numbers.txt"]

    def broken(run, folder):
        raise OSError("no ink")

    def reports():
        yield ReportSpec(name="spectra", summary="Power spectra", render=spectra)
        yield ReportSpec(name="broken", summary="Phases", render=broken)

    def sections():
        blocks = [
            PictureBlock(image=figure, caption="Rotations of a stranger"),
            PictureBlock(image=as_png(figure()), caption="The same as PNG"),
            PictureBlock(image=partial(broken, None, None), caption="Broken one"),
            TextBlock(text="and it goes on"),
        ]
        yield ReportSectionSpec(name="jpca", summary="Rotations", title="jPCA", draw=lambda _: blocks, place=15)

    text = page(with_plugin(full, lfads_reports=reports, lfads_report_sections=sections))
    found = parsed(text)
    assert re.findall(r"<h2>(.*?)</h2>", text) == ["Is it good?", "jPCA", "Figures of plugins", *UNDRAWN[1:]]
    assert "by a stranger" in found.words
    assert {"Rotations of a stranger", "The same as PNG", "and it goes on", "Power spectra (one.png)", "Power spectra (two.svg)"} < set(found.words)
    alternatives = re.findall(r'<img src="data:image/(png|svg\+xml);base64,[^"]+" alt="([^"]*)">', text)
    assert alternatives == [("png", "The same as PNG"), ("png", "Power spectra (one.png)"), ("svg+xml", "Power spectra (two.svg)")]
    assert "Power spectra (spectra) stands in the run's folder plots: numbers.txt." in found.words
    assert "Broken one: could not be drawn (OSError: no ink)" in found.words
    assert "Phases (broken): could not be drawn (OSError: no ink)" in found.words
    assert text.count("could not be drawn") == 2
    assert caplog.messages == [
        "report: the figure 'Broken one' could not be drawn (OSError: no ink)",
        "report: broken could not be drawn (OSError: no ink)",
    ]


def test_what_the_page_draws_itself_is_not_shown_twice(full):
    assert re.findall(r"<h2>(.*?)</h2>", page(with_plugin(full))) == UNDRAWN
    with h5py.File(full.output("full"), "a") as file:
        file["valid_truth"] = file["valid_output_params"][()]
    text = page(with_plugin(full))
    assert re.findall(r'<img [^>]*alt="([^"]*)"', text) == ["Rates against true rates, where known (truth_full.png)"]


@pytest.mark.usefixtures("undrawn")
def test_without_matplotlib_sentences_stand_in_place_of_figures(full):
    text = page(load(full.path))
    assert re.findall(r"<h2>(.*?)</h2>", text) == TITLES
    assert "<svg" not in text
    assert "This section could not be drawn" not in text
    sentence = 'could not be drawn (LfadsError: plots: matplotlib must be installed, got none. Run: pip install "lfads-core[plot]")'
    said = " ".join(parsed(text).words)
    assert f"Condition averages of full: {sentence}" in said
    assert f"full, valid trial 3, condition right: {sentence}" in said
    assert "Averages over valid trials of each condition" in said
    assert "Drag or use the arrow keys to turn" in text  # what a browser draws needs none


def test_the_same_run_gives_the_same_page(trained, whole):
    assert page(load(trained.path)) == whole
    assert len(whole) < 1_000_000


def test_a_search_is_told_with_the_way_to_the_best_member(full):
    members = [
        {"member": m, "parent": None, "score": 1.0 - m / 10, "status": "done", "hyperparameters": {"optim.lr": 0.01 * (m + 1)}} for m in range(2)
    ]
    history = [{"generation": 0, "first_epoch": 0, "epochs": 5, "members": members}]
    from lfads_core.config.spaces import SpaceConfig
    from lfads_plugins_tune.search.history import generation_from_json
    from lfads_plugins_tune.search.state import Best, Member, SearchState, write_state

    state = SearchState(
        kind="random",
        executor="serial",
        data=("x.h5",),
        spaces={"optim.lr": SpaceConfig(kind="log", low=0.001, high=0.1)},
        score="recon",
        targets=(5,),
        burn_in=0,
        generation=1,
        members=tuple(Member(member=m, values={"optim.lr": 0.01 * (m + 1)}, status="done") for m in range(2)),
        best=Best(member=1, score=0.9, scores={}),
        history=tuple(generation_from_json(item) for item in history),
    )
    write_state(full.path, state)
    full.update_state(search={"member": 1, "score": 0.9})
    said = words(full)
    assert "Member 1 of a search (random, 2 members, 1 generations), chosen by recon." in said
    assert "optim.lr" in said
    assert "0.02" in said


@pytest.mark.usefixtures("undrawn")
def test_the_evaluation_is_made_once_and_again_when_outputs_are_newer(full, monkeypatch):
    import os

    monkeypatch.chdir(full.path.parent)
    invoke = CliRunner().invoke
    assert invoke(cli, ["report", "full", "-o", "page.html"]).stdout.startswith("report: page.html (")
    first = (full.path / FILE).stat().st_mtime_ns
    assert invoke(cli, ["report", "full"]).stdout.startswith("report: full/report.html (")
    assert (full.path / FILE).stat().st_mtime_ns == first
    later = (first + 2_000_000_000) / 1e9
    os.utime(full.output("full"), (later, later))
    assert "evaluating full" in invoke(cli, ["report", "full"]).stderr
    assert (full.path / FILE).stat().st_mtime_ns != first


def test_a_line_is_interrupted_where_there_is_no_number():
    gap = Curve(x=np.arange(5.0), y=np.array([0, 1, np.nan, 1, 0]), label="l")
    chart = ChartBlock(title="a <b>", x="x", y="y", curves=[gap, Curve(x=np.arange(2.0), y=np.ones(2), strong=False)])
    (ax,) = draw_chart(chart).axes
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), np.stack([gap.x, gap.y], axis=1))
    assert ax.lines[0].get_linewidth() > ax.lines[1].get_linewidth()
    text = markup([chart, chart])
    assert text.count('<div class="grid">') == 1
    path = re.findall(r'<path d="([^"]+)" clip-path[^>]*stroke: var\(--c0\)', text)[0]
    assert (path.count("M"), path.count("L")) == (2, 2)
    assert "a &lt;b&gt;" in text
    nothing = ChartBlock(title="t", x="x", y="y", curves=[Curve(x=np.arange(2.0), y=np.full(2, np.nan))], log=True)
    assert "Nothing was measured." in markup([nothing])


def test_ink_of_figures_is_that_of_the_page_and_what_is_large_is_a_png(monkeypatch):
    block = PictureBlock(image=lambda: draw_chart(ChartBlock(title="t", x="x", y="y", curves=[])), caption="Mine")
    text = markup([block])
    assert 'role="img" aria-label="Mine"' in text
    assert "fill: currentColor" in text
    assert not re.search(r"#222222|#ffffff|DejaVu|<style|xmlns", text)
    monkeypatch.setattr("lfads_plugins_lab.report.embed.MOST_CHARACTERS", 100)
    assert '<img src="data:image/png;base64,' in markup([block])


def test_what_is_no_block_is_refused():
    with pytest.raises(TypeError, match=r"^a section must consist of blocks of lfads_core\.components\.page, got a str$"):
        markup(block for block in ["<p>"])


@pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing()))
def test_in_a_browser_it_fits_a_phone_and_a_desk_without_a_fault_and_answers(whole, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(whole, encoding="utf-8")
    with browser.browsing(1280, 900) as window:
        for width in (1280, 390):
            window.size(width, 900)
            window.go(path.as_uri())
            assert window.script("return document.documentElement.scrollWidth <= window.innerWidth"), width
            wide = window.script(
                "const all = [...document.querySelectorAll('main > section > *, figure, p, h2')];"
                "return all.filter(e => e.getBoundingClientRect().right > innerWidth + 1).length"
            )
            assert wide == 0
            assert window.script("return performance.getEntriesByType('resource').filter(r => !r.name.startsWith('data:')).length") == 0
            assert window.script("return getComputedStyle(document.body).fontSize") == "16px"
        faults = [entry for entry in window.log() if entry["level"] in {"SEVERE", "WARNING"}]
        assert faults == []
        view = "return document.querySelector('.space canvas').dataset.view"
        before = window.script(view)
        window.script("document.querySelector('.space canvas').dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowLeft'}))")
        turned = window.script(view)
        assert turned != before
        window.click(".space button[data-group]", "condition right")
        assert window.script("return document.querySelector('.space button[data-group=\"1\"]').getAttribute('aria-pressed')") == "false"
        assert window.script(view) != turned
        said = window.script(
            """
            const canvas = document.querySelector('.space canvas'), box = canvas.getBoundingClientRect(),
                  out = document.querySelector('.space output');
            for (let x = 0; x < box.width; x += 4) for (let y = 0; y < box.height; y += 4) {
                canvas.dispatchEvent(new PointerEvent('pointermove', {clientX: box.left + x, clientY: box.top + y, bubbles: true}));
                if (out.textContent.includes('trial')) return out.textContent;
            }
            return '';
            """
        )
        assert re.fullmatch(r"condition left </script>, trial \d+, [\d.]+ ms", said)
        drawn = window.script(
            "const c = document.querySelector('.space canvas');return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v > 0)"
        )
        assert drawn
        shown = "return [...document.querySelectorAll('.choice > [data-value]')].filter(p => !p.hidden).map(p => p.dataset.value)"
        assert window.script(shown) == ["0"]
        window.script("const s = document.querySelector('.choice select'); s.value = '3'; s.dispatchEvent(new Event('change'))")
        assert window.script(shown) == ["3"]

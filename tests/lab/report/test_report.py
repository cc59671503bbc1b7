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

import attrs
import h5py
import numpy as np
import pytest
from click.testing import CliRunner

import browser
import lfads_core as lf
import lfads_plugins_lab.plugin
import lfads_plugins_std.plugin
from lfads_core.cli.main import cli
from lfads_core.components.page import ChartBlock, Curve, PictureBlock, TextBlock
from lfads_core.config.load import resolve
from lfads_core.errors import ConfigError
from lfads_core.infer.loading import load
from lfads_core.pipeline.run import start_run
from lfads_core.plugins import Registry, ReportSectionSpec, ReportSpec, hookimpl, load_registry
from lfads_core.runs import Run
from lfads_core.train.progress import Display
from lfads_plugins_lab.evaluate.run import FILE
from lfads_plugins_lab.report.blocks import markup
from lfads_plugins_lab.report.ending import told
from lfads_plugins_lab.report.facts import gather
from lfads_plugins_lab.report.page import page
from lfads_plugins_lab.report.trials import truth
from lfads_plugins_std.figures.chart import draw_chart
from lfads_plugins_std.figures.curves import draw_curves
from lfads_plugins_std.figures.figure import new_figure
from lfads_plugins_std.figures.files import as_png
from lfads_plugins_std.metrics.titles import title

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
    assert "full: 12 training, 6 validation trials, 8 bins of 10 ms, 5 channels, 2 of them held out from the model's input" in said
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


@pytest.mark.long
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
        "report: broken of stranger 0 (entry point 'stranger') could not be drawn (OSError: no ink)",
    ]


def test_what_the_page_draws_itself_is_not_shown_twice(full):
    assert re.findall(r"<h2>(.*?)</h2>", page(with_plugin(full))) == UNDRAWN
    with h5py.File(full.output("full"), "a") as file:
        file["valid_truth"] = file["valid_output_params"][()]
    assert "<img" not in page(with_plugin(full))
    titles = [block.caption for block in truth(load(full.path)) if isinstance(block, PictureBlock)]
    gather.cache_clear()
    assert titles == ["Rates against the truth, full"]


def test_no_names_of_keys_stand_on_figures_or_page_but_where_settings_and_outputs_are_listed(whole):
    every = parsed(whole).words
    said = " ".join(every[: len(every) - 1 - every[::-1].index("Settings and versions")])
    named = set(re.findall(r"(?<![\w.=-])[a-z0-9]+(?:_[a-z0-9]+)+", said))
    assert named == set()
    assert not re.search(r"\b(recon|bps|r2|co_means|ic_kl)\b", said.replace("co-bps", "").replace("fp-bps", ""))


SCORES = {"LFADS": 0.3, "condition average": 0.9, "Gaussian smoothing": 0.2, "factor analysis": 0.25}


@pytest.mark.usefixtures("undrawn")
def test_the_best_baseline_of_every_score_is_one_that_is_not_told_the_condition(full):
    path = full.path / FILE
    found = json.loads(path.read_text())
    found["sessions"]["full"]["scores"]["valid"] = {
        who: {"co_bps": value, "bps": value / 2, "psth_r2": value / 3, "behaviour_r2_0": value} for who, value in SCORES.items()
    }
    path.write_text(json.dumps(found))
    text = page(load(full.path))
    cards = re.findall(r'<div class="card"><b>(.*?)</b><span>(.*?)</span><span>(.*?)</span><span>(.*?)</span></div>', text)
    assert cards == [
        ("0.300", "bits per spike, held-out channels (co-bps)", "best baseline 0.250 (factor analysis)", "validation trials"),
        ("0.150", "bits per spike, seen channels", "best baseline 0.125 (factor analysis)", "validation trials"),
        ("0.100", "R² of condition averages (PSTH)", "best baseline 0.083 (factor analysis)", "validation trials"),
    ]
    assert text.count('class="card"') == 3
    said = " ".join(parsed(text).words)
    assert "The condition average is told each trial's condition, so it is not among these baselines; the tables below have it." in said


@pytest.mark.usefixtures("undrawn")
def test_scores_of_behaviour_have_the_names_of_its_dimensions(full):
    assert "R² of decoded behaviour, dimension 1" in words(full)
    with h5py.File(full.output("full"), "a") as file:
        file["behavior_dimensions"] = np.array(["hand x", "hand y"], dtype=object)
    said = words(full)
    assert "R² of decoded hand y" in said
    assert "dimension 1" not in said


@pytest.mark.usefixtures("undrawn")
def test_scores_that_lack_the_same_are_told_together_with_the_reason_once(full):
    loaded = load(full.path)
    lacking = gather(loaded).found(gather(loaded).sessions[0])["lacking"]
    (said,) = re.findall(r"Not available: (.*?)\.(?= |$)", words(full))
    assert all(said.count(f"({why})") == 1 for why in lacking.values())
    assert sum(said.count(title(name)) for name in lacking) >= len(lacking)


RAMPS = {"kl_ramp": np.array([0.2, 0.7]), "l2_ramp": np.array([0.2, 0.7])}


@pytest.mark.parametrize(
    ("state", "log", "sentence"),
    [
        ({"outcome": "minutes"}, RAMPS, "Training was stopped by the time limit (train.minutes 3.0) after 2 epochs, with the ramps at 70%."),
        (
            {"outcome": "epochs"},
            {"kl_ramp": np.ones(2), "l2_ramp": np.array([0.5, 0.996])},
            "Training came to its last epoch (train.epochs 5) after 2 epochs, with the ramp of the L2 terms at 99%.",
        ),
        (
            {"outcome": "early stopping"},
            {"kl_ramp": np.ones(2), "l2_ramp": np.ones(2)},
            "Training was stopped early, 100 epochs without a better validation cost, after 2 epochs.",
        ),
        ({"status": "interrupted", "outcome": "minutes"}, {}, "Training was interrupted after 2 epochs."),
        ({}, {"seconds": np.array([1.0, 40.4])}, "Training ended after 2 epochs and 40 s."),
        ({}, {"seconds": np.array([1.0, 200.0])}, "Training ended after 2 epochs and 3 min 20 s."),
        ({}, {"seconds": np.array([1.0, 7380.0])}, "Training ended after 2 epochs and 2 h 3 min."),
        (
            {},
            {"loss_ramp/speed_match": np.array([0.0, 0.25]), "kl_ramp": np.ones(2)},
            "Training ended after 2 epochs, with the ramp of speed match at 25%.",
        ),
    ],
)
def test_the_page_tells_how_the_training_ended_and_how_far_the_ramps_were(full, state, log, sentence):
    loaded = load(full.path)
    facts, config = gather(loaded), loaded.config
    gather.cache_clear()
    loaded = replace(loaded, config=attrs.evolve(config, train=attrs.evolve(config.train, minutes=3.0)))
    first, best, *_ = told(replace(facts, loaded=loaded, state={"status": "finished", **state}, log={"epoch": np.arange(2), **log}))
    assert first == sentence
    known = json.loads((full.checkpoints / "best.json").read_text())["state"]["progress"]["best"]
    assert best == f"The best epoch is {known['epoch'] + 1} of 2 (smoothed validation cost {known['cost']:.5g})."


def test_a_run_keeps_how_its_training_ended(trained):
    assert json.loads(trained.state_path.read_text())["outcome"] == "epochs"


@pytest.mark.long
def test_every_figure_of_the_page_is_written_as_a_file_in_the_words_of_the_recording(full, tmp_path):
    done = CliRunner().invoke(cli, ["report", str(full.path), "--format", "svg", "-o", str(tmp_path / "figures")])
    assert done.exit_code == 0, done.output
    files = {path.name: path.read_text() for path in (tmp_path / "figures").iterdir()}
    assert done.stdout == f"{len(files)} figures: {tmp_path / 'figures'}\n"
    assert {
        "conditions_condition-averages-of-full.svg",
        "decoding_behaviour-recorded-and-decoded-full.svg",
        "factors_the-same-still-and-over-time-full.svg",
        "initial_initial-conditions-of-validation-trials-full.svg",
        "inputs_inferred-inputs-of-validation-trials-full.svg",
        "inputs_inputs-around-events-full.svg",
        "training_costs-scores-learning-rate-and-ramps-over-epochs.svg",
        "trials_full-validation-trial-1-condition-right.svg",
    } < set(files)
    assert sum(name.startswith("trials_") for name in files) == 6
    averages = files["conditions_condition-averages-of-full.svg"]
    assert all(f">{text}</text>" in averages for text in ("condition right", "time in trial (ms)", "rate (spikes/s)", "data, smoothed by 50 ms"))
    assert "condition left &lt;/script&gt;" in averages
    assert ", held out</text>" in averages
    assert not (full.path / "report.html").exists()


@pytest.mark.usefixtures("undrawn")
def test_a_figure_that_fails_costs_one_line(full, tmp_path, caplog):
    assert lf.load(full.path).plot.save(tmp_path / "none") == []  # matplotlib is not there
    assert sum("could not be drawn" in text for text in caplog.messages) > 5


@pytest.mark.usefixtures("undrawn")
@pytest.mark.wrong_types
def test_formats_that_are_none_are_refused(full, tmp_path):
    wrong = CliRunner().invoke(cli, ["report", str(full.path), "--format", "jpg"])
    assert (wrong.exit_code, "'jpg' is not one of 'html', 'png', 'svg', 'pdf'" in wrong.output) == (2, True)
    both = CliRunner().invoke(cli, ["report", str(full.path), "--format", "pdf", "--open"])
    assert (both.exit_code, "--open opens the page: leave it out with --format, or take --format html." in both.output) == (2, True)
    with pytest.raises(ConfigError, match=r"^format: must be one of png, svg, pdf, got 'tiff'\.$"):
        lf.load(full.path).plot.save(tmp_path / "none", format="tiff")


@pytest.mark.usefixtures("undrawn")
def test_without_matplotlib_sentences_stand_in_place_of_figures(full):
    text = page(load(full.path))
    assert re.findall(r"<h2>(.*?)</h2>", text) == TITLES
    assert "<svg" not in text
    assert "This section could not be drawn" not in text
    sentence = 'could not be drawn (LfadsError: plots: matplotlib must be installed, got none. Run: pip install "lfads-core[plot]")'
    said = " ".join(parsed(text).words)
    assert f"Condition averages of full: {sentence}" in said
    assert f"full, validation trial 3, condition right: {sentence}" in said
    assert "Averages over validation trials of each condition" in said
    assert "Drag or use the arrow keys to turn" in text  # what a browser draws needs none


@pytest.mark.long
def test_the_same_run_gives_the_same_page(trained, whole):
    assert page(load(trained.path)) == whole
    assert len(whole) < 1_000_000


@pytest.mark.long
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
    cost = np.linspace(1.0, 0.9, 60)
    cost[40] = 3e4  # which a note tells
    noted = markup([PictureBlock(image=lambda: draw_curves({"train/recon": cost}), caption="Mine")])
    assert "fill: var(--panel)" in noted
    assert not re.search(r"#fefefe|#ffffff", noted)
    monkeypatch.setattr("lfads_plugins_lab.report.embed.MOST_CHARACTERS", 100)
    assert '<img src="data:image/png;base64,' in markup([block])


def test_what_is_no_block_is_refused():
    with pytest.raises(TypeError, match=r"^a section must consist of blocks of lfads_core\.components\.page, got a str$"):
        markup(block for block in ["<p>"])


@pytest.mark.long
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
        kept = window.script(
            "const box = document.querySelector('[aria-label=\"Scores, validation trials\"]'); box.scrollLeft = 1e4;"
            "const edge = box.getBoundingClientRect(), name = box.querySelector('tbody th').getBoundingClientRect();"
            "return [box.scrollLeft > 0, Math.abs(name.left - edge.left) < 3, edge.right <= innerWidth]"
        )
        assert kept == [True, True, True]  # at 390 px the table scrolls by itself, and the names of its rows stay
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

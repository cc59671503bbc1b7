"""``lfads report``: what stands on the page, that it stands alone, and how it behaves in a browser."""

from __future__ import annotations

import base64
import json
import re
import shutil
import struct
import zlib
from html.parser import HTMLParser

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

import browser
from lfads_core.cli.main import cli
from lfads_core.config.load import resolve
from lfads_core.infer.loading import load
from lfads_core.pipeline.run import start_run
from lfads_core.plugins import load_registry
from lfads_core.runs import Run
from lfads_core.train.progress import Display
from lfads_plugins_lab.evaluate.run import FILE
from lfads_plugins_lab.report.facts import gather
from lfads_plugins_lab.report.page import SECTIONS, page
from lfads_plugins_lab.report.png import encode, heat
from lfads_plugins_lab.report.svg import Axes, Line, chart, decades, spoken, ticks

VOID = {"meta", "link", "br", "img", "input"}


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


@pytest.fixture
def full(trained, tmp_path):
    """A copy of it, to change."""
    return Run(shutil.copytree(trained.path, tmp_path / "full"))


def words(run):
    return " ".join(parsed(page(gather(load(run.path)))).words)


def test_the_page_has_every_section_and_loads_nothing_from_anywhere(full):
    text = page(gather(load(full.path)))
    found = parsed(text)
    for _, title, _ in SECTIONS:
        assert title in found.words
    assert "could not be drawn" not in text
    assert all(address.startswith(("data:", "#")) for address in found.addresses)
    assert re.findall(r"@import|url\(|https?://", text) == []
    said = " ".join(found.words)
    assert "full: 12 train, 6 valid trials, 8 bins of 10 ms, 5 channels, 2 of them held out from the model's input" in said
    assert "Size of inputs around go cue" in said
    assert "condition left </script>" in said
    assert "This model comes from a single run, not from a search (lfads search)." in said
    kept = json.loads((full.path / FILE).read_text())["sessions"]["full"]["scores"]["valid"]
    assert f"{kept['LFADS']['co_bps']:.3f}" in said
    assert f"{kept['condition average']['co_bps']:.3f}" in said


def test_a_run_without_conditions_behaviour_or_inputs_says_so_in_one_line_each(train_tiny):
    said = words(train_tiny("model.controller=null", "components.input_prior=null").run)
    assert "The file names no conditions (an array such as train_cond), or hardly any trial shares one." in said
    assert "The file has no behaviour of training and validation trials (an array such as train_behavior of trials, bins, dimensions)." in said
    assert "The model infers no inputs: it has no controller (model.controller is null)." in said
    assert "could not be drawn" not in said


def test_a_section_that_fails_is_named_and_the_others_are_there(full, monkeypatch, caplog):
    def broken(_):
        raise ZeroDivisionError("no luck")

    monkeypatch.setattr("lfads_plugins_lab.report.page.SECTIONS", (("a", "Fine", lambda _: "<p>good</p>"), ("b", "Broken", broken)))
    text = page(gather(load(full.path)))
    assert "<p>good</p>" in text
    assert "This section could not be drawn: ZeroDivisionError: no luck" in text
    assert caplog.messages == ["report: the section 'Broken' could not be drawn (ZeroDivisionError: no luck)"]


def test_a_search_is_told_with_the_way_to_the_best_member(full):
    members = [
        {"member": m, "parent": None, "score": 1.0 - m / 10, "status": "done", "hyperparameters": {"optim.lr": 0.01 * (m + 1)}} for m in range(2)
    ]
    history = [{"generation": 0, "first_epoch": 0, "epochs": 5, "members": members}]
    from lfads_core.config.spaces import SpaceConfig
    from lfads_plugins_tune.search.history import generation_from_json
    from lfads_plugins_tune.search.state import Best, Member, State, write_state

    state = State(
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


def test_a_picture_reads_back_as_its_pixels():
    pixels = np.arange(2 * 3 * 4).reshape(2, 3, 4) * 10.0
    content = base64.b64decode(encode(pixels).removeprefix("data:image/png;base64,"))
    assert struct.unpack(">II", content[16:24]) == (3, 2)
    length = struct.unpack(">I", content[33:37])[0]
    lines = zlib.decompress(content[41 : 41 + length])
    np.testing.assert_array_equal(np.frombuffer(lines, np.uint8).reshape(2, 13)[:, 1:].reshape(2, 3, 4), pixels)


def test_colours_go_from_dark_to_light_and_nan_is_transparent():
    content = base64.b64decode(heat(np.array([[0.0, 1.0, np.nan]]), 0, 1).removeprefix("data:image/png;base64,"))
    length = struct.unpack(">I", content[33:37])[0]
    row = np.frombuffer(zlib.decompress(content[41 : 41 + length]), np.uint8)[1:].reshape(3, 4)
    np.testing.assert_array_equal(row[:2], [[0, 32, 77, 255], [255, 234, 70, 255]])
    assert row[2, 3] == 0


def test_ticks_are_round_and_inside():
    np.testing.assert_allclose(ticks(0.13, 0.98, 5), [0.2, 0.4, 0.6, 0.8])
    np.testing.assert_allclose(10 ** np.array(decades(-2.2, -0.5)), [0.01, 0.02, 0.05, 0.1, 0.2])
    np.testing.assert_allclose(10 ** np.array(decades(np.log10(0.0036), np.log10(0.004))), [0.0036, 0.0038, 0.004])
    assert [spoken(value) for value in (0.0, 0.00002, 33.2812, 1234.0, 0.5, 2e6)] == ["0", "2e-5", "33.3", "1234", "0.5", "2e6"]


def test_a_line_is_interrupted_where_there_is_no_number():
    text = chart(Axes(title="a <b>", x="x", y="y"), [Line(x=np.arange(5), y=np.array([0, 1, np.nan, 1, 0]), label="l")])
    (path,) = re.findall(r'<path d="([^"]+)"', text)
    assert (path.count("M"), path.count("L")) == (2, 2)
    assert "a &lt;b&gt;" in text
    assert "Nothing was measured." in chart(Axes(title="t", x="x", y="y"), [Line(x=np.arange(2), y=np.full(2, np.nan))])


@pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing()))
def test_in_a_browser_it_fits_a_phone_and_a_desk_without_a_fault_and_answers(full, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(page(gather(load(full.path))), encoding="utf-8")
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
        shown = "return [...document.querySelectorAll('[data-panel=\"trial0\"]')].filter(p => !p.hidden).map(p => p.dataset.value)"
        assert window.script(shown) == ["0"]
        window.script("const s = document.querySelector('select[data-show]'); s.value = '3'; s.dispatchEvent(new Event('change'))")
        assert window.script(shown) == ["3"]

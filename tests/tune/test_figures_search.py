"""Figures of a search: what is drawn from which numbers of a simulated one."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fake_search import SPACES, FakeSearch, write_search
from lfads_core.errors import LfadsError, RunError
from lfads_plugins_tune.figures import Story, draw_hyperparameters, draw_lineage, draw_scores, draw_search, draw_search_curves, read_story
from lfads_plugins_tune.figures.hyperparameters import MOST_PANELS
from lfads_plugins_tune.figures.lineage import founder_of, sorted_lanes, with_heirs
from lfads_plugins_tune.figures.paint import BEST, LOST
from lfads_plugins_tune.search.history import Generation, MemberRecord

LR, KL = "optim.lr", "regularisation.kl_ic"

JUDGED = "Reconstruction cost, validation trials (smoothed)"


def record(member: int, parent: int | None, score: float | None, *, status: str = "done", lr: float = 0.01, **more: object) -> MemberRecord:
    return MemberRecord(member=member, parent=parent, score=score, status=status, hyperparameters={LR: lr, **more})


def story(*generations: tuple[MemberRecord, ...], sign: float = 1.0, table: dict | None = None) -> Story:
    made = tuple(Generation(generation=i, first_epoch=10 * i, epochs=10 * i + 10, members=members) for i, members in enumerate(generations))
    return Story(name="fake", generations=made, table=table or {}, column="valid/recon_smooth" if sign > 0 else "valid/co_bps", sign=sign)


@pytest.fixture
def small() -> Story:
    """Member 2 copies 0 and becomes the best; 1 diverges, copies 2, and is copied by 0; 3 is started afresh."""
    return story(
        (
            record(0, None, 0.5, lr=0.01),
            record(1, None, None, status="diverged", lr=0.9),
            record(2, None, 0.7, lr=0.001),
            record(3, None, 0.6, lr=0.005),
        ),
        (record(0, 0, 0.4, lr=0.01), record(1, 0, 0.45, lr=0.02), record(2, 0, 0.3, lr=0.012), record(3, 3, None, status="failed", lr=0.005)),
        (record(0, 0, 0.38, lr=0.01), record(1, 2, 0.25, lr=0.011), record(2, 2, 0.28, lr=0.012), record(3, None, 0.6, lr=0.5)),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_search(tmp_path_factory.mktemp("runs") / "pbt", FakeSearch(6, interval=6, words=True, seed=3), 4)


def _titles(figure):
    return [ax.get_title(loc="left") for ax in figure.axes if ax.get_title(loc="left")]


def _panel(figure, title):
    return next(ax for ax in figure.axes if ax.get_title(loc="left") == title)


def _bold(ax):
    return [line for line in ax.get_lines() if line.get_color() == BEST and len(line.get_xdata()) > 1]


def test_the_way_of_the_best_weights_leads_through_those_who_carried_them(small):
    assert small.best == 1
    assert small.way_to(1) == {2: 1, 1: 2, 0: 0}
    assert small.way_to(3) == {2: 3}
    assert small.final == {0: 0.38, 1: 0.25, 2: 0.28, 3: 0.6}
    assert small.ranked() == [1, 2, 0, 3]


def test_where_more_is_better_scores_are_shown_as_the_column_has_them():
    better = story((record(0, None, -0.1), record(1, None, -0.3), record(2, None, None, status="failed")), sign=-1.0)
    assert better.final == {0: 0.1, 1: 0.3}
    assert better.best == 1
    assert better.ranked() == [1, 0, 2]


def test_founders_and_heirs_follow_the_weights(small):
    founders = founder_of(small)
    assert {node for node, founder in founders.items() if founder == (0, 0)} == {(0, 0), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)}
    assert founders[2, 3] == (2, 3)
    assert with_heirs(small) == {(2, 0), (2, 1), (2, 2), (2, 3), (1, 0), (1, 2), (0, 0)}


@pytest.mark.parametrize("seed", range(5))
def test_no_two_lines_of_a_lineage_cross(seed):
    search = FakeSearch(12, interval=4, seed=seed)
    list(search.run(8))
    made = Story(name="fake", generations=search.history, table={}, column="valid/recon_smooth", sign=1.0)
    lanes = sorted_lanes(made)
    for before, after in itertools.pairwise(search.history):
        assert sorted(lanes[after.generation].values()) == list(range(12))
        links = [(lanes[before.generation][r.parent], lanes[after.generation][r.member]) for r in after.members]
        assert all((a - c) * (b - d) >= 0 for (a, b), (c, d) in itertools.combinations(links, 2))


def test_a_lineage_has_a_line_for_every_taking_of_weights_and_the_way_to_the_best_is_bold(small):
    (ax,) = draw_lineage(small).axes
    links = [line for line in ax.get_lines() if len(line.get_xdata()) > 2]
    assert len(links) == 4 + 3
    assert [tuple(np.asarray(line.get_xdata())[[0, -1]]) for line in links if line.get_color() == BEST] == [(0, 1), (1, 2)]
    assert sum(line.get_color() == LOST for line in links) == 2  # to 1 and 3 in the second generation: nobody took their weights
    dashed = [line for line in links if line.get_linestyle() == "--"]
    assert len(dashed) == 1  # 1 took the weights of 0; the other copies are on the way to the best
    assert len([line for line in ax.get_lines() if line.get_marker() == "x" and len(line.get_xdata())]) == 1
    assert len([line for line in ax.get_lines() if line.get_marker() == "+" and len(line.get_xdata())]) == 1


def test_a_lineage_names_members_at_both_ends_with_their_scores(small):
    (ax,) = draw_lineage(small).axes
    texts = {text.get_text() for text in ax.texts}
    assert {"m00", "m01", "m02", "m03", "last score", "m00  0.3800", "m01  0.2500", "m02  0.2800", "m03  0.6000"} == texts


def test_a_lineage_says_how_a_member_ended_that_has_no_score():
    (ax,) = draw_lineage(story((record(0, None, 0.5), record(1, None, 0.6)), (record(0, 0, 0.4), record(1, 1, None, status="failed")))).axes
    assert "m01  failed" in {text.get_text() for text in ax.texts}


def test_hyperparameters_are_levels_that_branch_as_weights_did(small):
    figure = draw_hyperparameters(small)
    ax = _panel(figure, "lr")
    assert ax.get_yscale() == "log"
    (best,) = _bold(ax)
    steps = [(x, y) for x, y in zip(best.get_xdata(), best.get_ydata(), strict=True) if np.isfinite(y)]
    assert steps == [(0, 0.01), (10, 0.01), (10, 0.01), (10, 0.012), (20, 0.012), (20, 0.012), (20, 0.011), (30, 0.011)]
    third = [line for line in ax.get_lines() if np.isclose(line.get_ydata(), 0.5).any()]
    joined = np.asarray(third[0].get_ydata())
    assert np.isnan(joined[np.flatnonzero(np.isclose(joined, 0.5))[0] - 1])  # started afresh: its line comes from nowhere


def test_words_stand_at_the_axis(folder):
    ax = _panel(draw_hyperparameters(read_story(folder)), "ic_prior")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["normal", "student-t"]


def test_each_hyperparameter_has_a_panel_until_there_are_too_many(folder):
    read = read_story(folder)
    assert _titles(draw_hyperparameters(read)) == [read.names[path] for path in [*SPACES, "components.ic_prior"]]
    many = story((record(0, None, 0.5, **{f"a.x{i}": float(i) for i in range(15)}),), (record(0, 0, 0.4, **{f"a.x{i}": 1.0 for i in range(15)}),))
    figure = draw_hyperparameters(many)
    assert len(_titles(figure)) == MOST_PANELS
    for ax, path in zip(figure.axes, list(many.names)[:MOST_PANELS], strict=False):
        first = many.generations[0].members[0].hyperparameters[path]
        assert any(first in line.get_ydata() for line in ax.get_lines()), path
    assert figure._supxlabel.get_text() == "4 more hyperparameters stand in search.json"


def test_curves_are_those_of_all_members_with_a_gap_where_weights_were_taken():
    table = {
        "epoch": [*range(20), *range(20)],
        "member": [0] * 20 + [1] * 20,
        "generation": ([0] * 10 + [1] * 10) * 2,
        "valid/recon_smooth": [1 - i / 100 for i in range(20)] + [2 - i / 100 for i in range(10)] + [0.5 - i / 100 for i in range(10)],
        "train/recon": [0.0] * 40,
    }
    made = story((record(0, None, 0.9), record(1, None, 1.9)), (record(0, 0, 0.8), record(1, 0, 0.4)), table=table)
    figure = draw_search_curves(made)
    assert _titles(figure) == [
        JUDGED,
        "Reconstruction cost, training trials",
        f"{JUDGED}, by generation",
    ]
    assert [ax.get_ylabel() for ax in figure.axes[:3]] == ["nats/value"] * 3
    ax = _panel(figure, JUDGED)
    lines = [line for line in ax.get_lines() if len(line.get_xdata()) > 2 and line.get_color() != BEST]
    gaps = {int(np.isnan(line.get_ydata()).sum()) for line in lines}
    assert gaps == {1, 2}  # each curve begins afresh; that of member 1 once more
    (best,) = _bold(ax)
    np.testing.assert_allclose(best.get_ydata(), table["valid/recon_smooth"][:10] + table["valid/recon_smooth"][30:])
    np.testing.assert_array_equal(best.get_xdata(), np.arange(1, 21))


def test_the_population_is_summed_up_by_generation(small):
    ax = _panel(draw_search_curves(small), f"{JUDGED}, by generation")
    lines = {line.get_label(): line for line in ax.get_lines()}
    np.testing.assert_allclose(lines["best"].get_ydata(), [0.5, 0.3, 0.25])
    np.testing.assert_allclose(lines["median"].get_ydata(), [0.6, 0.4, 0.33])
    np.testing.assert_array_equal(lines["best"].get_xdata(), [10, 20, 30])


def test_scores_stand_against_what_members_had_at_the_end(small):
    figure = draw_scores(small)
    (ax,) = figure.axes
    dots, best = ax.collections[0], ax.collections[-1]
    assert sorted(map(tuple, dots.get_offsets())) == [(0.01, 0.38), (0.011, 0.25), (0.012, 0.28), (0.5, 0.6)]
    assert list(map(tuple, best.get_offsets())) == [(0.011, 0.25)]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_xscale()) == ("lr", JUDGED, "log")


def test_members_without_a_score_are_crosses_at_the_edge():
    (ax,) = draw_scores(story((record(0, None, 0.5, lr=0.1), record(1, None, None, status="diverged", lr=0.2)))).axes
    assert [list(map(tuple, dots.get_offsets())) for dots in ax.collections] == [[(0.1, 0.5)], [(0.2, 0.97)], [(0.1, 0.5)]]


def test_a_search_where_nobody_has_a_score_is_drawn_all_the_same():
    nobody = story((record(0, None, None, status="failed"), record(1, None, None, status="diverged")), (record(0, 0, None, status="failed"),))
    for draw in (draw_hyperparameters, draw_lineage, draw_scores, draw_search_curves):
        draw(nobody).draw_without_rendering()


@pytest.mark.long
def test_all_figures_are_written_beside_the_search(folder):
    paths = draw_search(folder, "png")
    assert paths == [folder / "plots" / f"{name}.png" for name in ("curves", "scores", "hyperparameters", "lineage")]
    for path in paths:
        with Image.open(path) as picture:
            assert min(picture.size) > 250


@pytest.mark.long
def test_a_search_of_one_generation_has_no_lineage(tmp_path):
    paths = draw_search(write_search(tmp_path / "random", FakeSearch(4, kind="random", interval=3), 1), "pdf")
    assert [path.name for path in paths] == ["curves.pdf", "scores.pdf"]
    assert all(path.read_bytes().startswith(b"%PDF-") for path in paths)


def test_a_search_without_its_table_is_drawn_from_its_journal(tmp_path):
    folder = write_search(tmp_path / "pbt", FakeSearch(3, interval=3), 2)
    (folder / "fitlog.csv").unlink()
    assert _titles(draw_search_curves(read_story(folder))) == [f"{JUDGED}, by generation"]


def test_the_journal_says_which_column_is_judged_and_that_more_of_it_is_better(folder, tmp_path):
    journal = json.loads((folder / "search.json").read_text()) | {"score": "-valid/co_bps"}
    (tmp_path / "search.json").write_text(json.dumps(journal))
    read = read_story(tmp_path)
    assert (read.column, read.sign) == ("valid/co_bps", -1.0)


def test_a_search_none_of_whose_generations_is_over_has_nothing_to_draw(tmp_path):
    (tmp_path / "search.json").write_text('{"history": []}')
    with pytest.raises(RunError, match=re.escape(f"{tmp_path}: figures need a generation that is over, got none. Wait for the first one.")):
        draw_search(tmp_path, "png")


def test_without_matplotlib_the_figures_say_what_brings_it(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(LfadsError, match=re.escape('plots: matplotlib must be installed, got none. Run: pip install "lfads-core[plot]"')):
        draw_search(folder, "png")


def test_a_member_that_ended_early_keeps_its_last_score(small):
    ended = replace(small, generations=(*small.generations[:2], replace(small.generations[2], members=small.generations[2].members[:2])))
    assert ended.final[2] == 0.3
    draw_lineage(ended)

"""Algorithms that are asked and told: successive halving and TPE, the same under any order of events and after any interruption."""

from __future__ import annotations

import math
import random

import pytest

from lfads_core.config.spaces import SpaceConfig, log, uniform
from lfads_core.errors import ConfigError
from lfads_plugins_tune.search.ask_tell import AbstractAskTell, AskTell, Told, best_share, one_round, rounds, rungs, told_by
from lfads_plugins_tune.search.plan import Chances
from lfads_plugins_tune.search.settings_class import SearchConfig
from lfads_plugins_tune.search.table import lineage
from toy_search import SPACES, Toy

TPE = pytest.param("tpe", marks=pytest.mark.skipif(not __import__("importlib.util").util.find_spec("optuna"), reason="Optuna is not installed"))


def never():
    return False


def shape(driver):
    """For each generation: the epochs it ended at, and who took part."""
    return [(generation.epochs, [record.member for record in generation.members]) for generation in driver.state.history]


def test_rungs_grow_by_the_reduction_and_none_is_too_early_to_compare():
    assert rungs(81, 1, 3) == (1, 3, 9, 27, 81)
    assert rungs(100, 10, 3) == (12, 34, 100)
    assert rungs(100, 60, 3) == (100,)
    assert rungs(100, 10, 1) == (100,)
    assert one_round(27, 5, SearchConfig(members=9)) == (9, 27)
    assert rounds(27, 5, SearchConfig(members=9, batch=4)) == (9, 27, 9, 27, 9, 27)


@pytest.mark.parametrize(("total", "least", "reduction", "told"), [(80, 27, 3, True), (81, 27, 3, False), (80, 27, 1, False)])
@pytest.mark.parametrize("schedule", [one_round, rounds])
def test_a_search_in_which_no_rung_finds_room_says_so(total, least, reduction, told, schedule, caplog):
    ends = schedule(total, least, SearchConfig(members=4, reduction=reduction))
    assert (len(ends) == 1) is (told or reduction == 1)
    assert ("With 81 epochs or more there is one." in caplog.text) is told


@pytest.mark.parametrize("count", range(1, 12))
def test_the_best_part_goes_on_and_never_nobody(count):
    scores = {number: float((7 * number) % 5) for number in range(count)}
    kept = best_share(scores, 3)
    assert len(kept) == max(1, count // 3)
    assert max(scores[number] for number in kept) <= min([scores[n] for n in scores if n not in kept], default=math.inf)


def test_successive_halving_trains_the_best_part_on(toy_search):
    driver = toy_search("sha", Toy(), kind="sha", members=9, targets=(1, 3, 9), burn_in=0)
    driver.run(never)
    assert [len(members) for _, members in shape(driver)] == [9, 3, 1]
    for before, after in zip(driver.state.history, driver.state.history[1:], strict=False):
        ranked = sorted(before.members, key=lambda record: (record.score, record.member))
        assert {record.member for record in after.members} == {record.member for record in ranked[: len(after.members)]}
    (last,) = driver.state.history[-1].members
    assert lineage(driver.state.history, last.member) == {0: last.member, 1: last.member, 2: last.member}
    assert driver.state.stopped == "epochs"
    assert [m.status for m in driver.state.members].count("ended") == 8


def tpe(toy_search, name, toy, members=10, **more):
    return toy_search(name, toy, "search.batch=4", kind="tpe", members=members, targets=(2, 6) * 3, burn_in=0, **more)


def test_rounds_of_trials_are_asked_for_until_there_are_enough(toy_search):
    pytest.importorskip("optuna")
    driver = tpe(toy_search, "tpe", Toy())
    driver.run(never)
    assert [(epochs, len(members)) for epochs, members in shape(driver)] == [(2, 4), (6, 1), (2, 4), (6, 1), (2, 2), (6, 1)]
    assert [members for _, members in shape(driver)][::2] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [generation.first_epoch for generation in driver.state.history] == [0, 2, 0, 2, 0, 2]
    assert {record.parent for generation in driver.state.history[::2] for record in generation.members} == {None}
    rows = (driver.folder / "fitlog.csv").read_text().splitlines()[1:]
    assert len(rows) == 10 * 2 + 3 * 4  # each trial its epochs, once


@pytest.mark.parametrize("kind", ["sha", TPE])
@pytest.mark.parametrize("order", [1, 2])
def test_decisions_depend_on_no_order(toy_search, ending, kind, order):
    def made(name, toy):
        return tpe(toy_search, name, toy) if kind == "tpe" else toy_search(name, toy, kind="sha", members=9, targets=(1, 3, 9), burn_in=0)

    reference = made("reference", Toy())
    reference.run(never)
    other = made("other", Toy(order=order))
    other.run(never)
    assert ending(other)["state"] == ending(reference)["state"]
    assert ending(other)["weights"] == ending(reference)["weights"]


@pytest.mark.parametrize("kind", ["sha", TPE])
@pytest.mark.parametrize("after", [3, 9, 17, 23])
def test_an_interrupted_search_goes_on_to_the_same_end(toy_search, ending, kind, after):
    def made(name, toy):
        return tpe(toy_search, name, toy) if kind == "tpe" else toy_search(name, toy, kind="sha", members=9, targets=(1, 3, 9), burn_in=0)

    reference = made("reference", Toy())
    reference.run(never)
    count = iter(range(10_000))
    made("other", Toy()).run(lambda: next(count) > after)
    again = made("other", Toy())
    again.run(never)
    assert ending(again) == ending(reference)


def test_members_that_fail_or_diverge_are_told_as_failed_and_hold_up_no_round(toy_search):
    pytest.importorskip("optuna")
    driver = tpe(toy_search, "tpe", Toy(fate=lambda task, _: {1: "failed", 2: "nan"}.get(task.member, "done")))
    driver.run(never)
    assert [m.status for m in driver.state.members][1:3] == ["lost", "lost"]
    assert [len(members) for _, members in shape(driver)] == [4, 1, 4, 1, 2, 1]
    told = told_by(driver.state)
    assert [trial.number for trial in told if trial.failed] == [1, 2]
    assert sum(trial.finished for trial in told) == 3
    assert all(set(trial.scores) <= {2, 6} for trial in told)


def test_tpe_finds_the_valley_that_random_search_only_passes_by():
    """On (x - 0.3)^2 + (log10 y + 3)^2 after 40 trials, of which the first ten are random, the later half is closer than random draws are."""
    pytest.importorskip("optuna")
    from lfads_plugins_tune.search.tpe import ParzenEstimator

    spaces = {"x": uniform(0.0, 1.0), "y": log(1e-6, 1.0), "kind": SpaceConfig(kind="choice", values=("a", {"name": "b"}))}

    def cost(values):
        return (values["x"] - 0.3) ** 2 + 0.1 * (math.log10(values["y"]) + 3) ** 2 + (values["kind"] == "a")

    teller, told = ParzenEstimator(), []
    for number in range(40):
        values = teller.ask(spaces, told, random.Random(number))
        assert 0 <= values["x"] <= 1
        assert 1e-6 <= values["y"] <= 1
        told.append(Told(number=number, values=values, scores={5: cost(values)}, finished=True))
    costs = [trial.scores[5] for trial in told]
    assert sorted(costs[20:])[10] < 0.5 * sorted(costs[:10])[5]
    assert teller.ask(spaces, told, random.Random(7)) == ParzenEstimator().ask(spaces, told, random.Random(7))  # nothing is remembered
    assert teller.ask(spaces, told, random.Random(7)) != teller.ask(spaces, told[:20], random.Random(7))


def test_a_space_without_bounds_is_refused_by_tpe():
    pytest.importorskip("optuna")
    from lfads_plugins_tune.search.tpe import ParzenEstimator

    with pytest.raises(ConfigError, match=r"^search.spaces: optim.lr: tpe must know the bounds of a space, got the kind 'function'"):
        ParzenEstimator().ask({"optim.lr": SpaceConfig(kind="function", function="math:sqrt")}, [], random.Random(0))


def test_without_optuna_a_sentence_says_what_brings_it(monkeypatch):
    import sys

    from lfads_plugins_tune.search.tpe import build

    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError) as caught:
        build()
    assert str(caught.value) == 'lfads search tpe: needs Optuna, which is not installed. Run: pip install "lfads-plugins-tune[optuna]"'


class Counting(AbstractAskTell):
    """Answers the number of what was told, and first something that does not go together."""

    def ask(self, spaces, told, rng):
        return {"optim.lr": rng.uniform(1e-4, 1e-2), "model.dropout": len(told) / 100, "regularisation.kl_ic": 1e-5}


def test_an_algorithm_of_ones_own_is_asked_again_while_its_answers_do_not_go_together():
    chances = Chances(seed=0, faults=lambda values: "too high" if values["optim.lr"] > 2e-3 else "", settings=SearchConfig(batch=3, members=5))
    first = AskTell(Counting()).first(SPACES, 5, chances)
    assert [member.values["model.dropout"] for member in first] == [0.0, 0.01, 0.02]
    assert all(member.values["optim.lr"] <= 2e-3 for member in first)
    never_good = Chances(seed=0, faults=lambda _: "no", settings=SearchConfig(batch=3))
    with pytest.raises(ConfigError, match="100 answers in a row were hyperparameters that do not go together:\nno"):
        AskTell(Counting()).first(SPACES, 5, never_good)

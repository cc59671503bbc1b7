"""Spaces: what is drawn, how values move, and what is said of spaces that are none."""

from __future__ import annotations

import math
import random
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lfads_core.config.spaces import SpaceConfig, log, uniform
from lfads_core.errors import ConfigError
from lfads_plugins_tune.search.chance import chance
from lfads_plugins_tune.search.parse import parse_space, parse_spaces
from lfads_plugins_tune.search.spaces import explore, points, sample
from lfads_plugins_tune.search.spaces_of import text_of

LOG, UNIFORM = log(1e-5, 5e-3), uniform(0.1, 0.7)
INT = SpaceConfig(kind="int", low=2, high=5)
CHOICE = SpaceConfig(kind="choice", values=("a", "b", "c"))


@pytest.mark.parametrize(
    ("space", "to_unit"), [(LOG, lambda x: math.log(x / 1e-5) / math.log(500)), (UNIFORM, lambda x: (x - 0.1) / 0.6)], ids=["log", "uniform"]
)
def test_draws_are_spread_evenly_over_the_space(space, to_unit):
    rng = chance(3, "test")
    assert stats.kstest([to_unit(sample(space, rng)) for _ in range(2000)], "uniform").pvalue > 0.001


@pytest.mark.parametrize(("space", "all_of_it"), [(INT, [2, 3, 4, 5]), (CHOICE, ["a", "b", "c"])], ids=["int", "choice"])
def test_whole_numbers_and_choices_are_drawn_alike_both_ends_included(space, all_of_it):
    rng = chance(3, "test")
    counts = Counter(sample(space, rng) for _ in range(2000))
    assert sorted(counts) == all_of_it
    assert stats.chisquare(list(counts.values())).pvalue > 0.001


@given(low=st.floats(1e-8, 1.0), factor=st.floats(1.001, 1e6), seed=st.integers(0, 2**30))
def test_no_draw_leaves_its_bounds(low, factor, seed):
    for space in (log(low, low * factor), uniform(low, low * factor)):
        assert low <= sample(space, chance(seed)) <= low * factor


@given(
    low=st.floats(1e-6, 1.0),
    factor=st.floats(1.5, 1e4),
    share=st.floats(0.01, 0.9),
    at=st.floats(0, 1),
    seed=st.integers(0, 2**30),
    kind=st.sampled_from(["log", "uniform"]),
)
def test_enforced_bounds_are_never_left_and_every_move_has_its_size(low, factor, share, at, seed, kind):
    space = SpaceConfig(kind=kind, low=low, high=low * factor, explore=share)
    value, rng = low * factor**at, chance(seed)
    for _ in range(5):
        value = min(max(value, low), low * factor)
        moved = explore(space, value, rng)
        assert low <= moved <= low * factor
        if moved not in {low, low * factor}:
            assert 0.0019 * share <= abs(moved / value - 1) <= share * (1 + 1e-9)
        value = moved


def test_bounds_that_are_not_enforced_are_left_but_not_zero():
    space = SpaceConfig(kind="uniform", low=0.1, high=0.2, explore=0.8, enforce=False)
    rng, value = chance(0), 0.15
    seen = []
    for _ in range(300):
        value = explore(space, value, rng)
        seen.append(value)
    assert min(seen) < 0.1
    assert min(seen) > 0


def test_moves_go_up_and_down_alike():
    rng = chance(1)
    ups = sum(explore(uniform(0.0, 10.0), 1.0, rng) > 1 for _ in range(2000))
    assert stats.binomtest(ups, 2000).pvalue > 0.001


@given(value=st.integers(2, 60), seed=st.integers(0, 2**30))
def test_whole_numbers_move_to_other_whole_numbers(value, seed):
    space = SpaceConfig(kind="int", low=2, high=60, explore=0.1)
    moved = explore(space, value, chance(seed))
    assert isinstance(moved, int)
    assert moved != value
    assert 2 <= moved <= 60


@pytest.mark.parametrize("seed", range(5))
def test_a_move_is_a_share_drawn_up_or_down_with_equal_chance(seed):
    rng = chance(seed)
    up, down = rng.uniform(0.0004, 0.2), rng.uniform(-0.2, -0.0004)
    assert explore(uniform(0.0, 10.0, explore=0.2), 3.0, chance(seed)) == (1 + rng.choice((up, down))) * 3.0


def test_whole_numbers_move_by_one_where_their_share_is_less_and_no_further_than_their_bounds():
    def moved(value, **fields):
        return {explore(SpaceConfig(kind="int", **fields), value, chance(seed)) for seed in range(200)}

    assert moved(3, low=0, high=60, explore=0.1) == {2, 4}
    assert moved(8, low=0, high=60, explore=0.5) == {4, 5, 6, 7, 9, 10, 11, 12}
    assert moved(5, low=5, high=6, explore=0.1) == {6}
    assert moved(6, low=5, high=6, explore=0.1) == {5}


def test_what_lies_outside_its_bounds_whatever_is_drawn_is_cut_off_at_one_of_them_if_the_setting_takes_that():
    narrow, asked = uniform(0.9999, 1.0001, explore=0.8), []
    assert {explore(narrow, 1.0, chance(seed)) for seed in range(20)} == {0.9999, 1.0001}
    whole = [explore(SpaceConfig(kind="int", low=1000.0, high=1001.0, explore=0.8), 1000, chance(seed)) for seed in range(20)]
    assert sorted(set(whole)) == [1000, 1001]
    assert {type(value) for value in whole} == {int}
    assert explore(narrow, 1.0, chance(0), lambda value: asked.append(value) or False) == 1.0
    assert len(asked) == 1
    assert asked[0] in {0.9999, 1.0001}


def test_the_values_of_a_grid_do_not_bind_what_is_drawn():
    assert sample(SpaceConfig(kind="log", low=1, high=9, values=(1, 3, 9)), chance(0)) not in {1, 3, 9}


def test_choices_move_to_a_neighbour_in_the_list():
    rng = chance(0)
    assert {explore(CHOICE, "b", rng) for _ in range(50)} == {"a", "c"}
    assert {explore(CHOICE, "a", rng) for _ in range(50)} == {"b"}
    assert explore(SpaceConfig(kind="choice", values=("only",)), "only", rng) == "only"
    assert explore(CHOICE, "gone", rng) in CHOICE.values


def test_zero_stays_zero_and_what_the_setting_refuses_is_drawn_again():
    assert explore(uniform(0.0, 0.6), 0.0, chance(0)) == 0.0
    rng = chance(0)
    assert all(explore(uniform(0.0, 10.0), 1.0, rng, lambda x: x < 1) < 1 for _ in range(50))
    assert explore(uniform(0.0, 10.0), 1.0, chance(0), lambda x: x == 1.0) == 1.0  # nothing else will do, so it stays


def thrice(rng):
    return 3 * rng.uniform(1.0, 2.0)


def colour(rng):
    return rng.choice(["red", "green"])


def test_a_function_of_ones_own_draws_and_its_numbers_move_like_others():
    space = SpaceConfig(kind="function", function="toy_functions:thrice", explore=0.2)
    import sys
    from types import ModuleType

    module = ModuleType("toy_functions")
    module.thrice, module.colour, module.number = thrice, colour, 3
    sys.modules["toy_functions"] = module
    try:
        drawn = sample(space, chance(0))
        assert drawn == thrice(chance(0))
        assert 0 < abs(explore(space, drawn, chance(1)) / drawn - 1) <= 0.2
        words = SpaceConfig(kind="function", function="toy_functions:colour")
        assert {explore(words, "red", chance(i)) for i in range(20)} == {"red", "green"}
        for reference, why in (
            ("toy_functions:nix", "module 'toy_functions' has no attribute 'nix'"),
            ("no_such_module:f", "No module named 'no_such_module'"),
        ):
            message = f"the function of a space must be importable as 'module:name', got {reference!r} ({why})."
            with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
                sample(SpaceConfig(kind="function", function=reference), chance(0))
        with pytest.raises(ConfigError, match=r"^the function of a space must be callable, got 'toy_functions:number', which is int\.$"):
            sample(SpaceConfig(kind="function", function="toy_functions:number"), chance(0))
    finally:
        del sys.modules["toy_functions"]


def test_streams_of_chance_depend_on_every_part_of_their_name():
    names = [(0,), (1,), (0, "a"), (0, "a", 1), (0, "a", 2), (0, "a/1"), (0, "b", 1)]
    draws = [chance(*name).random() for name in names]
    assert len(set(draws)) == len(draws) - 1  # a name is its text: "a", 1 and "a/1" are one
    assert chance(0, "a").random() == chance(0, "a").random()
    state = random.getstate()
    chance(0).random()
    assert random.getstate() == state


def test_points_of_a_grid():
    assert points(INT, "x") == (2, 3, 4, 5)
    assert points(CHOICE, "x") == ("a", "b", "c")
    assert points(SpaceConfig(kind="log", low=1, high=9, values=(1, 3, 9)), "x") == (1, 3, 9)
    message = "search.spaces: x: a grid must know every value, got the kind 'log' without. Say x=choice:A,B,C."
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        points(LOG, "x")


@pytest.mark.parametrize(
    ("fields", "faults"),
    [
        ({"kind": "log", "low": 0.0, "high": 1.0}, ["low: must be > 0 for the kind log, got 0.0"]),
        ({"kind": "uniform", "low": 1.0, "high": 1.0}, ["low: must be below high, both given, for the kind uniform, got 1.0 and 1.0"]),
        ({"kind": "uniform", "high": 1.0}, ["low: must be below high, both given, for the kind uniform, got None and 1.0"]),
        ({"kind": "int", "low": 1.5, "high": 3.0}, ["low: must be a whole number, as high, for the kind int, got 1.5 and 3.0"]),
        ({"kind": "log", "low": 1.0, "high": math.inf}, ["high: must be a finite number, got inf"]),
        ({"kind": "choice"}, ["values: must hold at least one value for the kind choice, got None"]),
        ({"kind": "function", "function": "os.system"}, ["function: must be 'module:name' for the kind function, got 'os.system'"]),
        ({"kind": "function"}, ["function: must be 'module:name' for the kind function, got None"]),
        ({"kind": "function", "function": "a.b:c.d"}, []),
        ({"kind": "log", "low": 1.0, "high": 2.0}, []),
    ],
)
def test_a_space_says_what_is_wrong_with_it(fields, faults):
    assert SpaceConfig(**fields).rules() == faults


@pytest.mark.parametrize(
    ("text", "space"),
    [
        ("a.b=log:1e-5:5e-3", {"kind": "log", "low": 1e-5, "high": 5e-3}),
        ("a.b = uniform:0:0.6:init=0.3:explore=0.1", {"kind": "uniform", "low": 0, "high": 0.6, "init": 0.3, "explore": 0.1}),
        ("a.b=int:8:60:enforce=false", {"kind": "int", "low": 8, "high": 60, "enforce": False}),
        ("a.b=choice:8,16,1e-3", {"kind": "choice", "values": [8, 16, 1e-3]}),
        ("a.b=choice:normal,student-t", {"kind": "choice", "values": ["normal", "student-t"]}),
        ("a.b=choice:{name: normal, variance: 0.2},null", {"kind": "choice", "values": [{"name": "normal", "variance": 0.2}, None]}),
        ("a.b=function:my.module:draw:init=1", {"kind": "function", "function": "my.module:draw", "init": 1}),
        ("a.b=null", None),
    ],
)
def test_a_space_is_read_as_it_is_typed(text, space):
    assert parse_space(text) == ("a.b", space)


@pytest.mark.parametrize(
    "text", ["", "a.b", "=log:1:2", "a.b=", "a.b=log:1", "a.b=log", "a.b=gauss:0:1", "a.b=choice:", "a.b=function:f", "a.b=1e-3"]
)
def test_what_is_no_space_is_told_what_one_looks_like(text):
    message = (
        "--space: must be PATH=SPACE, with SPACE one of log:LOW:HIGH, uniform:LOW:HIGH, int:LOW:HIGH, choice:A,B,C, function:MODULE:NAME, or null; "
        f":init=VALUE, :explore=SHARE and :enforce=false may follow; got {text!r}."
    )
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        parse_space(text)


def test_later_spaces_win():
    assert parse_spaces(("a=int:1:2", "b=null", "a=int:1:3")) == {"a": {"kind": "int", "low": 1, "high": 3}, "b": None}


@pytest.mark.parametrize("text", ["log:1e-05:0.005:init=0.004", "uniform:0:0.6", "int:2:5:explore=0.1:enforce=false", "choice:a,b,2"])
def test_a_space_is_printed_as_it_may_be_typed(text):
    _, plain = parse_space(f"x={text}")
    values = plain.pop("values", None)
    assert text_of(SpaceConfig(**plain, values=None if values is None else tuple(values))) == text


def test_a_function_is_found_in_the_folder_one_is_in_and_inside_of_classes(tmp_path, monkeypatch):
    import sys

    (tmp_path / "drawn_here_only.py").write_text(
        "class Draws:\n    class Inner:\n        @staticmethod\n        def fixed(rng):\n            return 4.5\n"
    )
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/drawn_here_only.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    try:
        assert sample(SpaceConfig(kind="function", function="drawn_here_only:Draws.Inner.fixed"), chance(0)) == 4.5
    finally:
        sys.modules.pop("drawn_here_only", None)
    assert sys.path == before


def test_a_space_without_bounds_or_a_function_is_told_in_a_sentence():
    with pytest.raises(ConfigError, match=r"^a space of kind 'log' must have low and high, got None and 2\.0\.$"):
        sample(SpaceConfig(kind="log", high=2.0), chance(0))
    message = "the function of a space must be importable as 'module:name', got None (Empty module name)."
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        sample(SpaceConfig(kind="function"), chance(0))

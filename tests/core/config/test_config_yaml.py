"""YAML in, with lines; YAML out, reading back exactly."""

import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lfads_core.config.faults import Origin
from lfads_core.config.structure import structure, unstructure
from lfads_core.config.yaml_io import dump, dump_plain, parse_value, parse_yaml, read_yaml
from lfads_core.errors import ConfigError


def refused(text, source="lfads.yaml"):
    with pytest.raises(ConfigError) as err:
        parse_yaml(text, source)
    return str(err.value)


def test_every_value_knows_its_line(tmp_path):
    path = tmp_path / "lfads.yaml"
    path.write_text("# mine\noptim:\n  lr: 1e-3\n  betas:\n    - 0.9\n    - 0.99\nmodel: {dropout: 0.1,\n  controller: null}\n")
    layer = read_yaml(path)
    assert layer.data == {"optim": {"lr": "1e-3", "betas": [0.9, 0.99]}, "model": {"dropout": 0.1, "controller": None}}
    lines = {".".join(map(str, way)): origin.line for way, origin in layer.origins.items() if way}
    assert lines == {
        "optim": 2,
        "optim.lr": 3,
        "optim.betas": 4,
        "optim.betas.0": 5,
        "optim.betas.1": 6,
        "model": 7,
        "model.dropout": 7,
        "model.controller": 8,
    }
    assert layer.origins["optim",] == Origin(str(path), 2)


@pytest.mark.parametrize("text", ["", "# all commented out\n", "---\n"])
def test_an_empty_file_says_nothing(text):
    assert parse_yaml(text, "x").data == {}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", "010"),  # 8 to YAML 1.1
        ("12:30", "12:30"),  # 750
        ("2024-01-01", "2024-01-01"),  # a date
        ("0x10", "0x10"),
        ("1e-4", "1e-4"),  # becomes a number where a number is wanted
        ("1.0e-4", 1e-4),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("1_000", 1000),
        ("-7", -7),
        ("on", True),
        ("No", False),
        ("'on'", "on"),
        ("~", None),
        ("", None),
        ("[a, 1, {b: null}]", ["a", 1, {"b": None}]),
        ("!!str 5", "5"),
    ],
)
def test_plain_values_are_what_they_look_like(text, value):
    assert parse_value(text, "--set") == value
    assert type(parse_value(text, "--set")) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b\n", "lfads.yaml:1: must be groups of settings such as 'optim:', got a list."),
        ("\n5\n", "lfads.yaml:2: must be groups of settings such as 'optim:', got a single value."),
        (
            "optim:\n\tlr: 1\n",
            (
                "lfads.yaml:2: must be YAML, got: while scanning for the next token, found character '\\t' that cannot start any token. "
                "Indent with spaces instead of tabs."
            ),
        ),
        ("optim: [1, 2\n", "lfads.yaml:2: must be YAML, got: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'."),
        ("a: b: c\n", "lfads.yaml:1: must be YAML, got: mapping values are not allowed here."),
        ("a: 1\n---\nb: 1\n", "lfads.yaml:2: must be YAML, got: expected a single document in the stream, but found another document."),
        ("a: &x 1\nb: *x\n", "lfads.yaml:2: must be YAML, got: an alias (*name), which is not understood here; write the value out."),
        (
            "a: \x00",
            (
                "lfads.yaml: must be YAML text in UTF-8, got: unacceptable character #x0000: "
                'special characters are not allowed in "<unicode string>", position 3.'
            ),
        ),
        ("[" * 5000, "lfads.yaml: must not be nested so deeply."),
        (
            "a: !!python/name:os.system x\n",
            "lfads.yaml:1: a: must be a plain value, list or mapping, got the tag 'tag:yaml.org,2002:python/name:os.system'",
        ),
        ("a: !!set {x}\n", "lfads.yaml:1: a: must be a plain value, list or mapping, got the tag 'tag:yaml.org,2002:set'"),
        (
            "a: !!int abc\nb: !!bool x\n",
            (
                "lfads.yaml:1: a: must be a value that its tag or length allows, got 'abc'\n"
                "lfads.yaml:2: b: must be a value that its tag or length allows, got 'x'"
            ),
        ),
        ("a: " + "1" * 5000, "lfads.yaml:1: a: must be a value that its tag or length allows, got '" + "1" * 40 + "'"),
        ("optim: {[a, b]: 1}\n", "lfads.yaml:1: optim: a setting's name must be a word, got a list"),
        (
            "optim:\n  lr: 1\n  eps: 1\n  lr: 2\noptim:\n  eps: 2\n",
            (
                "lfads.yaml:4: optim.lr: must stand once, got it again after lfads.yaml:2. Keep one\n"
                "lfads.yaml:5: optim: must stand once, got it again after lfads.yaml:1. Keep one"
            ),
        ),
    ],
)
def test_what_is_no_settings_file_is_refused_with_file_and_line(text, message):
    assert refused(text) == message


def test_words_that_yaml_takes_for_switches_are_still_names():
    assert parse_yaml("on: 1\n5: 2\n", "x").data == {"on": 1, "5": 2}


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(
        ConfigError, match=rf"^{re.escape(str(tmp_path / 'no.yaml'))}: must be a readable file, got: No such file or directory. Check the path.$"
    ):
        read_yaml(tmp_path / "no.yaml")
    (tmp_path / "b.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(ConfigError, match=r"b\.yaml: must be YAML text in UTF-8, got: unacceptable character #x00ff: invalid start byte"):
        read_yaml(tmp_path / "b.yaml")


def test_a_wrong_value_on_the_command_line_has_no_line_number():
    with pytest.raises(
        ConfigError, match=r"^--set: a: must be YAML, got: while parsing a flow sequence, expected ',' or '\]', but got '<stream end>'.$"
    ):
        parse_value("[1", "--set: a")
    with pytest.raises(ConfigError, match=r"^--set: b: a: must stand once, got it again after --set: b. Keep one$"):
        parse_value("{a: 1, a: 2}", "--set: b")


def test_a_dump_is_readable_and_stable(registry):
    text = dump(structure({"components": {"train_augmentations": ["sbtt", "coordinated-dropout"]}}, registry))
    assert text == dump(structure(parse_yaml(text, "x").data, registry))
    assert text.startswith("data:\n  batch_size: auto\n  passes: auto\n  hold_out: null\n  memory_gb: null\n\nmodel:\n  encoder:\n    hidden: 100\n")
    assert "  train_augmentations:\n    - name: sbtt\n    - name: coordinated-dropout\n      rate: 0.3\n" in text
    assert "\n\noptim:\n  lr: 0.004\n  betas: [0.9, 0.999]\n  eps: 1.0e-08\n" in text


@pytest.mark.property
@settings(max_examples=50)
@given(
    lr=st.floats(0, exclude_min=True, allow_infinity=False),
    experiment=st.text()
    | st.sampled_from(
        ["1e-6", "010", "1:30", "on", "null", "~", "=", "<<", "2024-01-01", "- a", "a: b", "# c", "\x85", "\ufeff", ".5", "0o7", "1_0"]
    ),
    table=st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False)),
    words=st.lists(st.text()),
)
def test_a_dump_reads_back_exactly(registry, lr, experiment, table, words):
    every = {"name": "every", "table": table, "word": experiment, "anything": [*words, {"x": words}]}
    config = structure({"optim": {"lr": lr, "min_lr": 0}, "track": {"experiment": experiment}, "components": {"reconstruction": every}}, registry)
    text = dump(config)
    assert structure(parse_yaml(text, "x").data, registry) == config
    assert yaml.safe_load(text) == unstructure(config)  # other readers see the same


def test_the_smallest_numbers_are_written_so_that_they_stay_numbers():
    assert dump_plain({"a": 1e-6, "b": 1e16, "c": 5e-324}) == "a: 1.0e-06\n\nb: 1.0e+16\n\nc: 5.0e-324\n"
    assert parse_yaml("a: 1.0e-06\n", "x").data == {"a": 1e-6}

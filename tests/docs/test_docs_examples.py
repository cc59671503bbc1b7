"""The examples of the pages run, and what the pages say comes out of a run does come out."""

from __future__ import annotations

import contextlib
import csv
import json
import re
from pathlib import Path

import attrs
import h5py
import pytest
from click.testing import CliRunner

from lfads_core import components
from lfads_core.cli.main import cli
from lfads_core.config.explain import explain
from lfads_core.config.load import resolve
from lfads_core.infer.outputs import MEANINGS
from lfads_core.plugins.hookspecs import DECLARES
from lfads_core.plugins.registry import Registry
from lfads_core.runs import Run
from lfads_core.train.auto import SHARES_OF_ELBO

DOCS = Path(__file__).resolve().parents[2] / "docs"
REGISTRY = Registry.from_installed()
START, DATA, SETTINGS, TRAINING = ((DOCS / f"{name}.md").read_text(encoding="utf-8") for name in ("start", "data", "settings", "training"))
CONTRACTS = {page.stem: page.read_text(encoding="utf-8").split("\n## Contract\n")[1] for page in sorted((DOCS / "hooks").glob("*.md"))}
"""By hook; one page tells of all that return nothing."""


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL)


def section(page: str, heading: str) -> str:
    return page.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def first_cells(text: str) -> list[str]:
    """What stands in backticks in the first column of the tables."""
    rows = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| `")]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def columns(run: Path) -> set[str]:
    with (run / "fitlog.csv").open(encoding="utf-8") as file:
        return set(next(csv.reader(file)))


EXAMPLES = [
    (page.name, number, code)
    for page in sorted(DOCS.glob("*.md"))
    if page.name != "plugins.md"
    for number, code in enumerate(blocks(page.read_text(encoding="utf-8"), "python"))
]
"""The examples of plugins.md have tests of their own."""


@pytest.mark.long
@pytest.mark.parametrize(("page", "number", "code"), EXAMPLES, ids=[f"{page}-{number}" for page, number, _ in EXAMPLES])
def test_every_example_runs(page, number, code, journey):
    if "pynapple" in code:
        pytest.importorskip("pynapple", reason="pynapple is not installed")
    with contextlib.chdir(journey.folder):
        exec(compile(code, f"{page}, example {number}", "exec"), {})


def test_the_example_that_writes_a_file_is_short_and_the_file_has_no_fault(journey):
    code = blocks(START, "python")[0]
    lines = len([line for line in code.splitlines() if line.strip()])
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    assert [int(number) for number in re.findall(r"in (\d+) lines of Python", readme)] == [lines]
    done = CliRunner().invoke(cli, ["data", "check", str(journey.folder / "mine.h5"), "--plugin", "poisson", "--json"])
    assert done.exit_code == 0
    assert [problem for problem in json.loads(done.output)["problems"] if problem["severity"] != "info"] == []


def test_every_array_named_is_in_the_output_file_and_none_is_left_out(journey):
    named = {name.replace("<split>", "valid") for name in first_cells(section(START, "Look at the outputs"))}
    with h5py.File(journey.run / "lfads_output_mine.h5") as file:
        assert named <= set(file)
        units = {key.removeprefix("valid_"): file[key].attrs["unit"] for key in file if key.startswith("valid_") and "unit" in file[key].attrs}
        assert {f"valid_{key}" for key in MEANINGS} <= named
        assert set(units) == set(MEANINGS)
    assert units["output_params"] == "events/bin"
    assert units["rates_hz"] == "events/s"


def test_every_column_named_is_in_the_log_of_a_run(journey, everything):
    named = {name.replace("<session>", "a") for name in first_cells(section(TRAINING, "fitlog.csv"))}
    also = {"valid/fp_bps"}
    assert (named | also) - (columns(journey.run) | columns(everything)) == set()


def test_every_column_of_a_run_of_one_session_is_named(journey):
    page = section(TRAINING, "fitlog.csv")
    assert {name for name in columns(journey.run) if f"`{name}`" not in page} == set()


def test_the_lag_of_behaviour_is_among_the_final_scores(everything):
    scores = json.loads((everything / "run.json").read_text(encoding="utf-8"))["scores"]
    assert "`behaviour_lag_ms`" in TRAINING
    assert {"valid/behaviour_lag_ms", "valid/behaviour_r2_1", "valid/fp_bps", "valid/co_bps"} <= set(scores)


def test_every_file_named_is_in_the_run_and_every_file_of_the_run_is_named(journey):
    named = [name.replace("<session>", "mine") for name in first_cells(section(TRAINING, "What a run writes"))]
    named.remove(f"{Run(journey.run).plots.name}/")  # which is there with figures only
    found = {path for name in named for path in journey.run.glob(name.rstrip("/"))}
    asked_for = {"evaluation.json", "report.html"}  # there once an example has asked for them
    assert asked_for <= set(named)
    assert all(list(journey.run.glob(name.rstrip("/"))) for name in set(named) - asked_for)
    files = {path for path in journey.run.rglob("*") if path.is_file() and not path.name.startswith(".")}
    assert files <= found


def test_the_settings_file_shown_is_valid_and_does_what_the_page_says(tmp_path):
    (text,) = blocks(SETTINGS, "yaml")
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    config = resolve([path], (), (), REGISTRY)
    assert config.model.controller is None
    assert (config.model.generator.factors, config.optim.lr, config.components.ic_prior.settings.variance) == (12, 2e-3, 0.2)


def test_the_message_shown_for_wrong_settings_is_the_one_that_appears(tmp_path):
    (shown,) = [block for block in blocks(SETTINGS, "text") if block.startswith("error:")]
    text = "optim:\n  lr: fast\nmodel:\n  generator: {factor: 10}\ncomponents:\n  input_prior: student\n"
    (tmp_path / "bad.yaml").write_text(text, encoding="utf-8")
    with contextlib.chdir(tmp_path):
        done = CliRunner().invoke(cli, ["config", "check", "bad.yaml"])
    assert done.exit_code == 2
    assert done.stderr == shown


def test_the_settings_to_try_first_are_those_labelled_often_with_their_defaults():
    rows = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|", section(SETTINGS, "Which ones people tune"), flags=re.MULTILINE)
    assert dict(rows) == {entry.key: entry.default for entry in explain(None, REGISTRY) if entry.tuning == "often"}


def test_the_components_settings_labelled_often_are_named():
    page = section(SETTINGS, "Which ones people tune")
    for entry in REGISTRY.entries:
        if entry.kind in {"prior", "reconstruction", "augmentation", "readin", "readout"}:
            for field in attrs.fields(entry.spec.config):
                if field.metadata.get("tune") == "often":
                    assert f"`{field.name}` of `{entry.spec.name}`" in page


def test_what_the_page_says_auto_takes_of_the_plain_elbo_is_the_default():
    defaults = resolve([], (), (), REGISTRY).regularisation
    assert (defaults.kl_ic, defaults.kl_inputs) == ("auto", "auto")
    ic, inputs = (SHARES_OF_ELBO[f"regularisation.{key}"] for key in ("kl_ic", "kl_inputs"))
    assert f"For 50 bins and 40 neurons 1/(T·N) is {1 / (50 * 40):.0e}.".replace("e-04", "e-4") in SETTINGS
    assert f"`auto`, the [default](defaults.md), takes {ic} of it for initial conditions and {inputs} for inferred inputs" in SETTINGS


def test_every_member_of_a_contract_is_explained():
    missing, every = [], "\n".join(CONTRACTS.values())
    for name in components.__all__:
        contract = getattr(components, name)
        if not name.startswith("Abstract"):
            continue
        members = {key for key in {*vars(contract), *contract.__annotations__} if not key.startswith("_")}
        missing += [f"{name}.{key}" for key in members if not re.search(rf"`{key}\b", every)]
        assert f"`{name}`" in every
    assert missing == []


def test_every_hook_has_its_contract():
    hooks = {DECLARES, *(hook.name for hook in REGISTRY.hooks)}
    assert {"lfads_priors", "lfads_searches", "lfads_foreign_settings"} <= hooks
    assert {hook for hook in hooks if hook not in CONTRACTS and f"`{hook}(" not in CONTRACTS["being-told"]} == set()


def test_every_part_of_a_contract_is_there():
    for page, text in CONTRACTS.items():
        assert all(f"- **{part}** " in text for part in ("Must provide", "May provide", "Must not")), page

"""What notebooks are promised: ten lines from pynapple's objects to rates, a cell that is interrupted, a pipeline of scikit-learn's."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "check_notebook.py"


@pytest.fixture(scope="module")
def check():
    spec = importlib.util.spec_from_file_location("check_notebook", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shown(code, names):
    """What a notebook would show of a cell: its last line, if that is an expression."""
    *lines, last = ast.parse(code).body
    exec(compile(ast.Module(body=[*lines, *([] if isinstance(last, ast.Expr) else [last])], type_ignores=[]), "cell", "exec"), names)
    return eval(compile(ast.Expression(body=last.value), "cell", "eval"), names) if isinstance(last, ast.Expr) else None


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # pynapple's own
def test_ten_lines_go_from_pynapples_objects_to_rates_a_table_two_figures_and_a_page(check, tmp_path, monkeypatch):
    pytest.importorskip("pynapple", reason="pynapple is not installed")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(check.OBJECTS, names)
    names["settings"] |= {"train.epochs": 1}
    _, means, scores, *figures, page = (shown(cell, names) for cell in check.CELLS)
    rates, target = names["run"].rates, names["target"]
    assert rates.dims == ("trial", "time", "unit")
    assert rates["unit"].values.tolist() == [str(number) for number in range(12)]
    after = rates.values[:, rates["time"].values >= 0]
    wanted = np.stack([after[target == side].mean(axis=0) for side in ("left", "right")])
    np.testing.assert_allclose(means.transpose("condition", "time", "unit").values, wanted, rtol=1e-5)
    assert {"bps", "co_bps"} <= set(scores.columns)
    assert all(figure._repr_png_()[:4] == b"\x89PNG" for figure in figures)
    assert page.stat().st_size > 10000


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_ten_lines_show_it_all_in_a_kernel_and_an_interrupted_cell_gives_the_run_so_far(check, tmp_path):
    for module in ("pynapple", "ipykernel"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    check.check_ten_lines(tmp_path)


@pytest.mark.long
def test_it_stands_in_a_pipeline_with_a_decoder_and_is_cross_validated(check):
    check.check_pipeline()


def test_what_is_not_as_promised_ends_in_a_sentence(check, monkeypatch):
    monkeypatch.setattr(check, "PIPELINE", "import numpy as np\nscores = np.array([0.9, 0.1])")
    with pytest.raises(SystemExit, match=r"^check_notebook: R² of a Lorenz system's state must be > 0\.3, got \[0\.9 0\.1\]$"):
        check.check_pipeline()

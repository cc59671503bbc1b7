"""Have mutmut change the modules of formulas.toml: ``python -m mutants.mutate priors metrics``; at least 95 of 100 changes must be noticed.

mutmut wants one folder of sources, so all six packages are laid into one, with the tests beside it, and it works there. What no test notices
must have its reason in survivors.toml, by the function that was changed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from mutants.faults import ROOT

HERE = Path(__file__).parent
LEAST = 0.95
"""Share of changes that tests must notice."""
UNNOTICED = {"survived", "no tests"}


def main() -> int:
    """Change each group of modules; the exit code is 1 if tests miss too many changes, or one without a reason."""
    groups = tomllib.loads((HERE / "formulas.toml").read_text(encoding="utf-8"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"Only these: {', '.join(groups)}.")
    parser.add_argument("--folder", type=Path, help="Work here, and go on where an earlier session was interrupted.")
    parser.add_argument("--jobs", type=int, default=1, help="Changes tried at the same time.")
    parser.add_argument("--again", action="store_true", help="Of an earlier session in --folder, try what no test noticed with the tests of now.")
    options = parser.parse_args()
    if unknown := set(options.groups) - set(groups):
        parser.error(f"no such group: {', '.join(sorted(unknown))}")
    enough = True
    with tempfile.TemporaryDirectory(prefix="mutate-") as temporary:
        for name in options.groups or groups:
            folder = (options.folder or Path(temporary)).resolve() / name
            lay_out(folder, groups[name])
            mutmut(folder, "run", "--max-children", str(options.jobs))
            found = statuses(mutmut(folder, "results", "--all", "true"))
            if options.again and (unnoticed := [change for change, status in found.items() if status in UNNOTICED]):
                mutmut(folder, "run", "--max-children", str(options.jobs), *unnoticed)
                found = statuses(mutmut(folder, "results", "--all", "true"))
            reasons = tomllib.loads((HERE / "survivors.toml").read_text(encoding="utf-8"))
            enough &= told(name, found, reasons)
    return 0 if enough else 1


def lay_out(folder: Path, group: Mapping[str, Sequence[str]]) -> None:
    """Sources of all packages, tests, and mutmut's settings."""
    for source in ROOT.glob("lfads_*/src"):
        shutil.copytree(source, folder / "src", dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests", folder / "tests", dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "data"))
    tests = sorted(
        str(path.relative_to(ROOT)) for pattern in group["tests"] for path in (ROOT / "tests").glob(pattern) if path.name.startswith("test_")
    )
    settings = {
        "source_paths": ["src"],
        "only_mutate": [f"src/{pattern}" for pattern in group["mutate"]],
        "pytest_add_cli_args_test_selection": tests,
        "pytest_add_cli_args": ["-m", "not slow and not long", "-p", "no:cacheprovider", "-p", "no:xdist"],
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    lines += ["use_git_change_detection = false", "track_dependencies = false", "timeout_multiplier = 4"]  # not 15: some changes make loops endless
    (folder / "pyproject.toml").write_text(
        "\n".join([(ROOT / "pyproject.toml").read_text(encoding="utf-8"), "[tool.mutmut]", *lines, ""]), encoding="utf-8"
    )


def mutmut(folder: Path, *words: str) -> str:
    """Run it there, and return what it printed."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1", "LFADS_SHAPE_CHECKS": "0"}
    done = subprocess.run([sys.executable, "-m", "mutmut", *words], cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"mutmut {' '.join(words)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def statuses(results: str) -> dict[str, str]:
    """What became of each change, from lines such as ``    package.module.x_function__mutmut_3: survived``."""
    pairs = (line.strip().rpartition(": ") for line in results.splitlines() if "__mutmut_" in line)
    return {name: status for name, _, status in pairs}


def function_of(change: str) -> str:
    """``package.module.Class.method`` or ``package.module.function``, of ``...xǁClassǁmethod__mutmut_3`` or ``...x_function__mutmut_3``."""
    module, _, mangled = change.partition("__mutmut_")[0].rpartition(".")
    return f"{module}.{'.'.join(mangled.split('ǁ')[1:]) if 'ǁ' in mangled else mangled.removeprefix('x_')}"


def told(name: str, found: Mapping[str, str], reasons: Mapping[str, str]) -> bool:
    """Say what a group came to; whether that is enough."""
    count = Counter(found.values())
    tried = sum(count.values()) - count["not checked"] - count["skipped"]
    unnoticed = sorted(change for change, status in found.items() if status in UNNOTICED)
    share = 1 - len(unnoticed) / tried if tried else 0.0
    print(f"{name}: {share:.1%} of {tried} changes noticed ({', '.join(f'{number} {status}' for status, number in sorted(count.items()))})")
    unknown = [change for change in unnoticed if function_of(change) not in reasons]
    for change in unknown:
        print(f"  {found[change]} without a reason in survivors.toml: {change}")
    return share >= LEAST and not unknown


if __name__ == "__main__":
    sys.exit(main())

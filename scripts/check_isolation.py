"""Checks an environment that holds core and one package of plugins, with what that package needs; run by ``nox -s isolation``.

``python check_isolation.py lfads-plugins-emg`` (or ``lfads-core`` for core alone) exits with a sentence and status 1 at the first
thing that is not as a user would need it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import h5py
import numpy as np
from check_wheels import LFADS, lfads, need
from packaging.requirements import Requirement

SIGNS = {
    "lfads-plugins-std": ("recipe", "spikes"),
    "lfads-plugins-calcium": ("recipe", "zig"),
    "lfads-plugins-emg": ("recipe", "emg"),
    "lfads-plugins-tune": ("search", "pbt"),
    "lfads-plugins-lab": ("exporter", "page"),
}
"""One thing of each package that it offers: it is there with the package, and pointed to without it."""
VERBS = {"lfads-plugins-std": "demo", "lfads-plugins-tune": "search", "lfads-plugins-lab": "report"}
"""A command of each package that has some."""
OURS = ("lfads-core", *SIGNS)


def needed(dist: str) -> set[str]:
    """The package and those of ours that it brings."""
    found = {dist}
    for line in metadata.requires(dist) or ():
        requirement = Requirement(line)
        if requirement.name in OURS and not (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            found |= needed(requirement.name)
    return found


def refused(*arguments: str, folder: Path, path: Path | None = None) -> str:
    """Run a command that must fail with exit code 2 and one message, which is returned; ``path`` is put on the import path."""
    environment = {**os.environ, "PYTHONPATH": str(path or "")}
    done = subprocess.run([LFADS, *arguments], cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=environment)
    need(done.returncode == 2, f"`lfads {' '.join(arguments)}` must be refused with exit code 2, got {done.returncode}:\n{done.stdout}{done.stderr}")
    need("Traceback" not in done.stderr, f"`lfads {' '.join(arguments)}` must be refused in words, got:\n{done.stderr}")
    return done.stderr


def check_list(folder: Path, here: set[str]) -> None:
    """What is listed comes from what is installed; what is not says how to get it."""
    listed = json.loads(lfads("plugins", "list", "--json", folder=folder))
    need(not listed["faults"], f"plugins are broken: {listed['faults']}")
    need({c["distribution"] for c in listed["components"]} == here, f"what is listed must come from {sorted(here)}")
    for dist, (kind, name) in SIGNS.items():
        offered = any(c["kind"] == kind and c["name"] == name for c in listed["components"])
        need(offered == (dist in here), f"{kind} {name!r} must be listed just when {dist} is installed")
        if dist not in here:
            said = refused("plugins", "show", name, folder=folder)
            need(f"{dist} offers it: pip install {dist}" in said, f"`lfads plugins show {name}` must name {dist}, got: {said}")
    for dist, verb in VERBS.items():
        if dist in here:
            lfads(verb, "--help", folder=folder)
        else:
            said = refused(verb, folder=folder)
            need(f"pip install {dist}" in said, f"`lfads {verb}` must name {dist}, got: {said}")


def check_run(folder: Path, dist: str) -> None:
    """A tiny recording is trained with the package's own recipe; core alone says what to install."""
    rng = np.random.default_rng(0)
    shape = (40, 20, 6)
    values = {"lfads-plugins-calcium": rng.gamma(2.0, 0.5, shape) * rng.binomial(1, 0.3, shape), "lfads-plugins-emg": rng.gamma(2.0, 0.5, shape)}
    data = values.get(dist, rng.poisson(0.7, shape)).astype(np.float32)
    with h5py.File(folder / "tiny.h5", "w") as file:
        for split, rows in (("train", data[:24]), ("valid", data[24:])):
            file[f"{split}_encod_data"] = file[f"{split}_recon_data"] = rows
    command = ["run", "tiny.h5", "--set", "train.epochs=2", "--set", "infer.samples=2", "--set", "data.batch_size=12"]
    if dist == "lfads-core":
        said = refused(*command, folder=folder)
        need("pip install lfads-plugins-std" in said, f"`lfads run` without plugins must name lfads-plugins-std, got: {said}")
        return
    recipe = SIGNS[dist][1] if SIGNS[dist][0] == "recipe" else "spikes"
    lfads(*command, "--plugin", recipe, folder=folder)
    need(list(folder.glob("runs/*/lfads_output_*.h5")), f"`lfads run --plugin {recipe}` wrote no output file")
    if dist == "lfads-plugins-lab":
        lfads("report", "runs/tiny", folder=folder)
    if dist == "lfads-plugins-tune":
        lfads("search", "random", *command[1:], "--members", "2", "--set", "search.interval=2", folder=folder)
    need("@" in lfads("cite", "runs/tiny", folder=folder), "`lfads cite` printed no BibTeX")


def check_foreign(folder: Path) -> None:
    """A plugin made for another core is refused with a sentence, and nobody else suffers."""
    site = folder / "foreign"
    info = site / "old_tents-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: old-tents\nVersion: 1.0\nRequires-Dist: lfads-core<0.1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[lfads]\ntents = old_tents\n", encoding="utf-8")
    sentence = f"old-tents 1.0 (entry point 'tents'): needs lfads-core<0.1, got {metadata.version('lfads-core')}."
    said = refused("plugins", "check", "old-tents", folder=folder, path=site)
    need(sentence in said, f"a plugin for another core must be refused with {sentence!r}, got: {said}")


def check_templates(folder: Path) -> None:
    """The wheel of core carries the templates and the conformance kit."""
    lfads("plugins", "new", "tent", "--kind", "prior", folder=folder)
    need((folder / "lfads-tent" / "src" / "lfads_tent" / "prior.py").is_file(), "`lfads plugins new` must write the prior's module")


if __name__ == "__main__":
    (chosen,) = sys.argv[1:]
    wanted = needed(chosen)
    there = {name for name in OURS if any(d.metadata["Name"] == name for d in metadata.distributions())}
    need(there == wanted, f"{chosen} must bring {sorted(wanted)} and nothing else, got {sorted(there)}")
    with tempfile.TemporaryDirectory() as place:
        check_list(Path(place), there)
        check_run(Path(place), chosen)
        check_foreign(Path(place))
        check_templates(Path(place))
        if chosen in SIGNS:
            lfads("plugins", "check", SIGNS[chosen][1], folder=Path(place))
    print(f"check_isolation: {chosen} works with {', '.join(sorted(there - {chosen})) or 'nothing else'} of ours")

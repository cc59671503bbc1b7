"""The scripts in docs/sessions: the page lists them all, and each of their commands is one that the command line takes."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
from pathlib import Path

import attrs
import pytest

from command_lines import parsed
from lfads_core.config.load import resolve
from lfads_core.plugins.registry import Registry

ROOT = Path(__file__).resolve().parents[2]
SESSIONS = ROOT / "docs" / "sessions"
SCRIPTS = sorted(path.name for path in SESSIONS.glob("*.sh"))
PAGE = (ROOT / "docs" / "sessions.md").read_text(encoding="utf-8")
REGISTRY = Registry.from_installed()


def commands(script: str, folder: Path, **more: str) -> list[list[str]]:
    """What a script would call, without carrying it out: ``lfads`` and ``python`` are stand-ins that write their arguments down."""
    stand_ins, noted = folder / "bin", folder / "noted"
    stand_ins.mkdir(parents=True)
    for name in ("lfads", "python"):
        path = stand_ins / name
        path.write_text(f"#!/bin/sh\nprintf '%s\\0' {name} \"$@\" >> '{noted}'\nprintf '\\n' >> '{noted}'\n", encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    subprocess.run(
        ["bash", str(SESSIONS / script)],
        cwd=folder,
        check=True,
        env={**os.environ, "PATH": f"{stand_ins}{os.pathsep}{os.environ['PATH']}", **more},
        timeout=60,
    )
    return [line.rstrip("\0").split("\0") for line in noted.read_text(encoding="utf-8").splitlines()]


def test_every_script_is_listed_on_the_page_and_every_one_listed_is_there():
    listed = set(re.findall(r"\(sessions/([a-z0-9_]+\.sh)\)", PAGE))
    assert listed == set(SCRIPTS)
    assert len(SCRIPTS) == 10


def test_every_file_beside_the_scripts_is_used_by_one():
    texts = "".join((SESSIONS / script).read_text(encoding="utf-8") for script in SCRIPTS)
    helpers = [path.name for path in SESSIONS.iterdir() if path.is_file() and path.suffix in {".py", ".yaml"}]
    assert [name for name in helpers if f"$here/{name}" not in texts] == []


@pytest.mark.long
@pytest.mark.parametrize("reduced", ["", "1"], ids=["full", "reduced"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_command_of_a_script_is_accepted(script, reduced, tmp_path):
    called = commands(script, tmp_path / "here", REDUCED=reduced)
    assert len([words for words in called if words[0] == "lfads"]) >= 2
    for words in called:
        if words[0] == "python":
            assert words[1:3] == ["-m", "zipfile"] or Path(words[1]).is_file(), words
            continue
        command, params = parsed(shlex.join(words))
        assert command is not None
        if {"plugins", "overrides"} <= params.keys():
            files = [Path(word) for word in words if word.endswith(".yaml") and word != "config.yaml"]
            resolve(files, params["plugins"], params["overrides"], REGISTRY)
        if words[1] == "synth":
            generators = [entry.spec for entry in REGISTRY.entries if entry.kind == "synthetic" and entry.spec.name == words[2]]
            keys = {text.split("=")[0] for text in params["overrides"]}
            assert [sorted(keys - {field.name for field in attrs.fields(spec.config)}) for spec in generators] == [[]], words

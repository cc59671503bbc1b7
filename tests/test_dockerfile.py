"""The image's recipe: nothing in it that a build would stumble over, and steps that can be carried out without an engine."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def check():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("check_dockerfile", ROOT / "scripts" / "check_dockerfile.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["check_dockerfile"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["check_dockerfile"]


TEXT = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")


def test_the_recipe_is_without_fault(check):
    assert list(check.faults(check.read_steps(TEXT), ROOT, check.read_ignored(check.DOCKERFILE))) == []


def test_the_ignore_file_lets_through_what_is_copied_and_nothing_else(check):
    patterns = check.read_ignored(check.DOCKERFILE)
    assert not check.is_ignored(Path("lfads_core/src/lfads_core/cli/main.py"), patterns)
    assert not check.is_ignored(Path("constraints.txt"), patterns)
    for path in (
        ".git/config",
        ".venv/bin/python",
        "runs/x/run.json",
        "tests/conftest.py",
        "lfads_core/src/lfads_core/__pycache__/x.pyc",
        "README.md",
    ):
        assert check.is_ignored(Path(path), patterns), path


BROKEN = [
    (
        "ARG PYTHON=3.11.9",
        "ARG PYTHON=3.11",
        "FROM: must name an exact version, such as python:3.11.9-slim-bookworm, got 'python:3.11-slim-bookworm'",
    ),
    (
        "FROM python:${PYTHON}-bookworm${DIGEST}\n",
        "FROM somewhere.example/python:3.11.9\n",
        "FROM: must name an image without a host, got 'somewhere.example/python:3.11.9'",
    ),
    ("COPY lfads_core lfads_core", "COPY lfads_cor lfads_core", "COPY: 'lfads_cor' must be there, found nothing"),
    ("COPY lfads_plugins_emg lfads_plugins_emg\n", "", "every package must be copied, but lfads_plugins_emg is not"),
    ("--from=wheels", "--from=whels", "COPY: --from must name an earlier stage (wheels), got 'whels'"),
    ("hatchling==1.33.0", "hatchling", "RUN: pip must be told versions, by --constraint or ==, got hatchling"),
    ("COPY constraints.txt /wheels/\n", "", "RUN: --constraint must be a file that was copied, got '/wheels/constraints.txt'"),
    ("USER lfads\n", "", "the last stage must end as a user of its own, got 'root'"),
    ("USER lfads\n", "USER root\n", "the last stage must end as a user of its own, got 'root'"),
    ("RUN useradd --create-home --uid 1000 lfads\n", "", "USER: must be made by useradd before, in the same stage, got 'lfads'"),
    ('ENTRYPOINT ["lfads"]\n', "", "the last stage must have an ENTRYPOINT, got none"),
    (
        'ENTRYPOINT ["lfads"]',
        "ENTRYPOINT lfads",
        "ENTRYPOINT: must be a JSON list, so that signals reach the command, got 'lfads'. Write [\"lfads\"]",
    ),
    ('ENTRYPOINT ["lfads"]', 'ENTRYPOINT ["lfad"]', "ENTRYPOINT: must be a command of the packages (lfads), got 'lfad'"),
    ("WORKDIR /data", "WORKDIR data", "WORKDIR: must be an absolute path, got 'data'"),
    ("RUN lfads plugins list", "RUN apt-get install -y wget", "RUN: must fetch nothing but through pip, got 'apt-get install -y wget'"),
    ("ARG TORCH_INDEX=", "ARG TORCH_INDEX=https://somewhere.example", "ARG: must name no host, got 'TORCH_INDEX=https://somewhere.example'"),
    ("USER lfads\n", "USER lfads\nEXPOSE 80\n", "EXPOSE: must be one of ARG, CMD, COPY, ENTRYPOINT, ENV, FROM, RUN, USER, WORKDIR"),
]


@pytest.mark.long
@pytest.mark.parametrize(("old", "new", "fault"), BROKEN, ids=[fault[:50] for _, _, fault in BROKEN])
def test_a_fault_of_the_recipe_is_told(old, new, fault, check):
    assert old in TEXT
    found = list(check.faults(check.read_steps(TEXT.replace(old, new)), ROOT, check.read_ignored(check.DOCKERFILE)))
    assert fault in [text.split(": ", 1)[1] if text.startswith("line ") else text for text in found]


def test_a_source_that_the_ignore_file_leaves_out_is_told(check):
    ignored = [*check.read_ignored(check.DOCKERFILE), "**/main.py"]
    (found,) = check.faults(check.read_steps(TEXT), ROOT, ignored)
    assert found.endswith("COPY: 'lfads_core' must come whole, but the ignore file leaves out lfads_core/src/lfads_core/cli/main.py")


def test_continued_lines_comments_and_the_json_form_are_read(check):
    steps = check.read_steps('# first\nFROM a:1.2.3 AS b\n\nRUN one \\\n    two \\\n# between\n    three\nCOPY --from=b /x /y/\nCMD ["-a", "b c"]\n')
    assert [(step.line, step.name, step.words) for step in steps] == [
        (2, "FROM", ["a:1.2.3", "AS", "b"]),
        (4, "RUN", ["one", "two", "three"]),
        (8, "COPY", ["--from=b", "/x", "/y/"]),
        (9, "CMD", ["-a", "b c"]),
    ]
    assert check.stage_names(steps) == ["b"]
    assert (steps[2].flags, steps[2].operands, check.targets(steps[2])) == ({"from": "b"}, ["/x", "/y/"], ["/y/x"])


def test_steps_are_carried_out_below_a_folder(check, tmp_path, monkeypatch, capfd):
    context = tmp_path / "context"
    (context / "pack").mkdir(parents=True)
    (context / "pack" / "a.txt").write_text("first")
    (context / "pack" / "b.tmp").write_text("left out")
    text = """
ARG WORD=hello
FROM x:1.2.3 AS made
WORKDIR /src
COPY pack pack
RUN mkdir /out && cat pack/* > /out/all.txt
FROM x:1.2.3
ARG WORD
COPY --from=made /out /kept/
RUN useradd somebody
WORKDIR /data
RUN echo "$WORD and $OTHER" > "/kept/${WORD}.txt"
ENTRYPOINT ["show"]
CMD ["/dev/null"]
"""
    monkeypatch.setattr(check.venv, "create", lambda path, **_: (path / "bin").mkdir(parents=True))
    folder = tmp_path / "folder"
    folder.mkdir()
    build = check.Build(check.read_steps(text), context, folder, ["**/*.tmp"], {"OTHER": "more", "WORD": "bye"})
    monkeypatch.setattr(check.Build, "_entry", lambda _, command: ["echo", *command])
    build.run()
    assert (folder / "stage0" / "out" / "all.txt").read_text() == "first"
    assert (folder / "stage1" / "kept" / "all.txt").read_text() == "first"
    assert (folder / "stage1" / "kept" / "bye.txt").read_text() == "bye and more\n"
    assert capfd.readouterr().out.splitlines()[-1] == "show /dev/null"


def test_a_step_that_fails_ends_the_build_with_a_sentence(check, tmp_path, monkeypatch):
    monkeypatch.setattr(check.venv, "create", lambda path, **_: (path / "bin").mkdir(parents=True))
    build = check.Build(check.read_steps("FROM x:1.2.3\nRUN exit 3\n"), tmp_path, tmp_path, [], {})
    with pytest.raises(SystemExit, match=r"^check_dockerfile: sh -ec 'exit 3' must end with status 0, got 3$"):
        build.run()


def test_the_image_has_a_c_compiler_which_tritons_kernels_need_to_start():
    """Slim images have none."""
    last = [line for line in TEXT.splitlines() if line.startswith("FROM")][-1]
    assert last == "FROM python:${PYTHON}-bookworm${DIGEST}"

"""Holds docker/Dockerfile to what it says, without a Docker engine: `check_dockerfile.py` reads it, `--build FOLDER` carries it out.

Reading finds what a build would stumble over, or would do otherwise next year: sources that are missing or ignored, versions that
are not pinned, hosts, a root user, an entry point that no package has. Carrying out copies what COPY copies into a folder for each
stage, runs what RUN runs there with a fresh virtual environment in place of the image's Python, and ends with the entry point.
Exits with status 1 and one line for each fault.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = ROOT / "docker" / "Dockerfile"
KNOWN = {"FROM", "ARG", "ENV", "WORKDIR", "COPY", "RUN", "USER", "ENTRYPOINT", "CMD"}
DISTS = ("lfads_core", *(f"lfads_plugins_{name}" for name in ("std", "calcium", "emg", "tune", "lab")))


@dataclass(frozen=True)
class Step:
    """One instruction."""

    line: int
    name: str
    text: str
    stage: int  # -1 before the first FROM

    @property
    def words(self) -> list[str]:
        """The arguments as separate words; those of the JSON form too."""
        if self.is_json:
            return [str(word) for word in json.loads(self.text)]
        return shlex.split(self.text)

    @property
    def is_json(self) -> bool:
        """Whether the arguments are a JSON list, which no shell sees."""
        try:
            return isinstance(json.loads(self.text), list)
        except ValueError:
            return False

    @property
    def flags(self) -> dict[str, str]:
        """``--name=value`` before the arguments."""
        return {found[1]: found[2] for word in self.words if (found := re.fullmatch(r"--([a-z]+)=(.*)", word))}

    @property
    def operands(self) -> list[str]:
        """The arguments without flags."""
        return [word for word in self.words if not re.match(r"--[a-z]+=", word)]


def read_steps(text: str) -> list[Step]:
    """The instructions of a Dockerfile; comments, empty lines and continuations are taken care of."""
    steps: list[Step] = []
    stage, begun, first = -1, "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip().startswith("#") or (not line.strip() and not begun):
            continue
        first = first if begun else number
        begun += line.strip().removesuffix("\\")
        if line.rstrip().endswith("\\"):
            continue
        name, _, rest = begun.partition(" ")
        stage += name.upper() == "FROM"
        steps.append(Step(first, name.upper(), rest.strip(), stage))
        begun = ""
    return steps


def faults(steps: Sequence[Step], context: Path, ignored: Sequence[str]) -> Iterator[str]:
    """What is wrong, each with its line."""
    for step in steps:
        where = f"line {step.line}: {step.name}"
        if step.name not in KNOWN:
            yield f"{where}: must be one of {', '.join(sorted(KNOWN))}"
            continue
        if "://" in step.text or re.search(r"\b(localhost|\w[\w-]*(\.[\w-]+)*\.(org|io|com|net|dev))\b", step.text):
            yield f"{where}: must name no host, got {step.text!r}"
        yield from (f"{where}: {fault}" for fault in _CHECKS.get(step.name, lambda *_: ())(step, steps, context, ignored))
    yield from _whole(steps)


def _check_from(step: Step, steps: Sequence[Step], context: Path, ignored: Sequence[str]) -> Iterator[str]:
    image = substitute(step.words[0], arguments(steps, -1))
    name, _, tag = image.partition(":")
    if "." in name.split("/")[0] and "/" in name:
        yield f"must name an image without a host, got {image!r}"
    if not re.match(r"\d+\.\d+\.\d+(-|$)", tag):
        yield f"must name an exact version, such as python:3.11.9-slim-bookworm, got {image!r}"
    if len(step.words) not in {1, 3} or (len(step.words) == 3 and step.words[1].upper() != "AS"):
        yield f"must be IMAGE or IMAGE AS NAME, got {step.text!r}"


def _check_copy(step: Step, steps: Sequence[Step], context: Path, ignored: Sequence[str]) -> Iterator[str]:
    if "from" in step.flags:
        earlier = stage_names(steps)[: step.stage]
        if step.flags["from"] not in earlier:
            yield f"--from must name an earlier stage ({', '.join(filter(None, earlier)) or 'none'}), got {step.flags['from']!r}"
        return
    for source in step.operands[:-1]:
        path = context / source
        if not path.exists():
            yield f"{source!r} must be there, found nothing"
            continue
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        lost = [str(file.relative_to(context)) for file in files if is_ignored(file.relative_to(context), ignored) and not _is_litter(file)]
        if lost:
            yield f"{source!r} must come whole, but the ignore file leaves out {lost[0]}{f' and {len(lost) - 1} more' if len(lost) > 1 else ''}"


def _check_run(step: Step, steps: Sequence[Step], context: Path, ignored: Sequence[str]) -> Iterator[str]:
    if re.search(r"\b(curl|wget|apt|apt-get|git)\b", step.text):
        yield f"must fetch nothing but through pip, got {step.text!r}"
    for command in re.split(r"&&|;|\|\|", step.text):
        found = re.search(r"\bpip install (.*)", command)
        if found is None:
            continue
        if "--constraint" not in found[1]:
            loose = [word for word in shlex.split(found[1]) if not word.startswith("-") and "==" not in word and not word.endswith(".whl")]
            if loose:
                yield f"pip must be told versions, by --constraint or ==, got {' '.join(loose)}"
        elif constraint := re.search(r"--constraint[ =](\S+)", found[1]):
            brought = {target for copy in steps if copy.name == "COPY" and copy.stage == step.stage for target in targets(copy)}
            if constraint[1] not in brought:
                yield f"--constraint must be a file that was copied, got {constraint[1]!r}"


def _check_user(step: Step, steps: Sequence[Step], context: Path, ignored: Sequence[str]) -> Iterator[str]:
    made = [s.words[-1] for s in steps if s.name == "RUN" and s.words[:1] == ["useradd"] and s.stage == step.stage and s.line < step.line]
    if step.text not in made:
        yield f"must be made by useradd before, in the same stage, got {step.text!r}"


def _check_entrypoint(step: Step, steps: Sequence[Step], context: Path, ignored: Sequence[str]) -> Iterator[str]:
    if not step.is_json:
        yield f'must be a JSON list, so that signals reach the command, got {step.text!r}. Write ["lfads"]'
    elif step.words[0] not in scripts(context):
        yield f"must be a command of the packages ({', '.join(scripts(context))}), got {step.words[0]!r}"


def _check_workdir(step: Step, steps: Sequence[Step], context: Path, ignored: Sequence[str]) -> Iterator[str]:
    if not step.text.startswith("/"):
        yield f"must be an absolute path, got {step.text!r}"


_CHECKS = {
    "FROM": _check_from,
    "COPY": _check_copy,
    "RUN": _check_run,
    "USER": _check_user,
    "ENTRYPOINT": _check_entrypoint,
    "WORKDIR": _check_workdir,
}


def _whole(steps: Sequence[Step]) -> Iterator[str]:
    """What must be there somewhere."""
    last = max((step.stage for step in steps), default=-1)
    final = [step for step in steps if step.stage == last]
    users = [step.text for step in final if step.name == "USER"]
    if not users or users[-1] in {"root", "0"}:
        yield f"the last stage must end as a user of its own, got {users[-1] if users else 'root'!r}"
    if not any(step.name == "ENTRYPOINT" for step in final):
        yield "the last stage must have an ENTRYPOINT, got none"
    copied = {source for step in steps if step.name == "COPY" and "from" not in step.flags for source in step.operands[:-1]}
    if missing := [dist for dist in DISTS if dist not in copied]:
        yield f"every package must be copied, but {', '.join(missing)} is not"


def arguments(steps: Sequence[Step], stage: int) -> dict[str, str]:
    """Defaults of the ARGs of a stage."""
    pairs = (step.text.partition("=") for step in steps if step.name == "ARG" and step.stage == stage)
    return {name: value.strip('"') for name, _, value in pairs}


def substitute(text: str, values: Mapping[str, str]) -> str:
    """``${NAME}`` and ``$NAME`` by their values."""
    return re.sub(r"\$\{(\w+)\}|\$(\w+)", lambda found: values.get(found[1] or found[2], ""), text)


def stage_names(steps: Sequence[Step]) -> list[str]:
    """Names of the stages; empty for one without."""
    return [step.words[2] if len(step.words) == 3 else "" for step in steps if step.name == "FROM"]


def targets(copy: Step) -> list[str]:
    """Where a COPY puts each of its sources, if they are files."""
    *sources, target = copy.operands
    folder = target.endswith("/") or len(sources) > 1
    return [f"{target.rstrip('/')}/{Path(source).name}" if folder else target for source in sources]


def scripts(context: Path) -> list[str]:
    """Commands that the packages install."""
    projects = (tomllib.loads((context / dist / "pyproject.toml").read_text(encoding="utf-8"))["project"] for dist in DISTS)
    return [name for project in projects for name in project.get("scripts", {})]


def is_ignored(path: Path, patterns: Sequence[str]) -> bool:
    """Whether an ignore file leaves a path out: the last pattern that fits it, or a folder it is in, decides."""
    out = False
    for pattern in patterns:
        negated, plain = pattern.startswith("!"), pattern.removeprefix("!").strip("/")
        ways = [path, *path.parents][:-1]
        if any(_fits(str(way), plain) for way in ways):
            out = not negated
    return out


def _fits(path: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return fnmatch.fnmatchcase(Path(path).name, pattern[3:])
    return path.count("/") == pattern.count("/") and fnmatch.fnmatchcase(path, pattern)


def _is_litter(path: Path) -> bool:
    return "__pycache__" in path.parts or any(part.endswith(".egg-info") for part in path.parts)


def read_ignored(dockerfile: Path) -> list[str]:
    """Patterns of the ignore file beside a Dockerfile."""
    path = dockerfile.with_name(f"{dockerfile.name}.dockerignore")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


class Build:
    """Carries the steps out below a folder: one subfolder stands for each stage's root, and all share a virtual environment."""

    def __init__(self, steps: Sequence[Step], context: Path, folder: Path, ignored: Sequence[str], given: Mapping[str, str]) -> None:
        self.steps, self.context, self.folder, self.ignored, self.given = steps, context, folder, ignored, given
        self.bin = folder / "venv" / "bin"
        self.places = {target.split("/")[1] for step in steps for target in self._absolute(step)}

    def run(self) -> None:
        """Everything from the first FROM to the entry point."""
        venv.create(self.folder / "venv", with_pip=True, clear=True)
        for stage in range(len(stage_names(self.steps))):
            self._stage(stage)

    def _absolute(self, step: Step) -> list[str]:
        return re.findall(r"(?<![\w.}])/[a-z]+(?=[/\s\"]|$)", step.text) if step.name in {"COPY", "WORKDIR", "RUN"} else []

    def _stage(self, stage: int) -> None:
        root = self.folder / f"stage{stage}"
        root.mkdir()
        at, environment = root, {**arguments(self.steps, -1), **arguments(self.steps, stage), **self.given}
        command: list[str] = []
        for step in (step for step in self.steps if step.stage == stage):
            print(f"{step.name} {step.text}", flush=True)
            if step.name == "WORKDIR":
                at = root / step.text.lstrip("/")
                at.mkdir(parents=True, exist_ok=True)
            elif step.name == "ENV":
                environment |= dict(word.split("=", 1) for word in step.words)
            elif step.name == "COPY":
                self._copy(step, at, root)
            elif step.name == "RUN":
                self._shell(step, at, root, environment)
            elif step.name in {"ENTRYPOINT", "CMD"}:
                command += step.words
        if command:
            self._call(self._entry(command), at, environment)

    def _entry(self, command: Sequence[str]) -> list[str]:
        return [str(self.bin / command[0]), *command[1:]]

    def _copy(self, step: Step, at: Path, root: Path) -> None:
        names = stage_names(self.steps)
        base = self.folder / f"stage{names.index(step.flags['from'])}" if "from" in step.flags else self.context
        for source, inside in zip(step.operands[:-1], targets(step), strict=True):
            start = base / source.lstrip("/")
            target = step.operands[-1] if start.is_dir() else inside  # of a folder the contents are copied, whatever it is called
            end = root / target.lstrip("/") if target.startswith("/") else at / target
            end.parent.mkdir(parents=True, exist_ok=True)
            if start.is_dir():
                shutil.copytree(start, end, dirs_exist_ok=True, ignore=self._left_out if base == self.context else None)
            else:
                shutil.copy2(start, end)

    def _left_out(self, folder: str, names: list[str]) -> list[str]:
        return [name for name in names if is_ignored((Path(folder) / name).relative_to(self.context), self.ignored)]

    def _shell(self, step: Step, at: Path, root: Path, environment: Mapping[str, str]) -> None:
        if step.words[0] in {"useradd", "install"}:
            print("  (users and their folders are the image's own)", flush=True)
            return
        text = re.sub(rf"(?<![\w.}}])/({'|'.join(sorted(self.places))})(?=[/\s\"]|$)", rf"{root}/\1", step.text)
        self._call(["sh", "-ec", text], at, environment)

    def _call(self, command: Sequence[str], at: Path, environment: Mapping[str, str]) -> None:
        import os

        paths = {"PATH": f"{self.bin}:{os.environ['PATH']}", "VIRTUAL_ENV": str(self.bin.parent)}
        kept = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "PYTHONHOME"}}
        done = subprocess.run(command, cwd=at, env={**kept, **environment, **paths}, check=False, stdin=subprocess.DEVNULL)
        if done.returncode:
            sys.exit(f"check_dockerfile: {shlex.join(command)} must end with status 0, got {done.returncode}")


def main() -> None:
    """Read the Dockerfile, and carry it out if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--build", type=Path, metavar="FOLDER", help="carry the steps out below this new folder")
    parser.add_argument("--arg", action="append", default=[], metavar="NAME=VALUE", help="as docker build --build-arg")
    options = parser.parse_args()
    steps, ignored = read_steps(DOCKERFILE.read_text(encoding="utf-8")), read_ignored(DOCKERFILE)
    if found := list(faults(steps, ROOT, ignored)):
        sys.exit("\n".join(f"docker/Dockerfile: {fault}" for fault in found))
    if options.build:
        options.build.mkdir(parents=True)
        Build(steps, ROOT, options.build.resolve(), ignored, dict(text.split("=", 1) for text in options.arg)).run()
    print("docker/Dockerfile: nothing wrong")


if __name__ == "__main__":
    main()

"""One session per question. ``nox -l`` lists them; ``scripts/setup`` brings nox itself.

Sessions share the environment that ``scripts/setup`` makes, because torch takes minutes to install again. Only those
that ask about an environment (``tests_min``, ``wheels``, ``isolation``) make their own.
"""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import nox
from nox.command import CommandFailed
from packaging.requirements import Requirement

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "venv"  # installs through pip as it is configured, local wheels included
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["lint", "types", "tests"]

ROOT = Path(__file__).resolve().parent
DISTS = ("lfads_core", *(f"lfads_plugins_{name}" for name in ("std", "calcium", "emg", "tune", "lab")))
TEST_TOOLS = ("beartype", "hypothesis", "packaging", "pytest", "pytest-timeout", "scikit-learn", "scipy")
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


def in_shared(session: nox.Session, *command: str) -> None:
    """Run ``python -m command`` in ``.venv``, which is brought up to date first (quick when it is)."""
    session.run("bash", "scripts/setup", external=True)
    session.run(".venv/bin/python", "-m", *command, external=True, env=ONE_THREAD)


def floors() -> list[str]:
    """The lowest version of each dependency that the six packages and their extras allow, as exact pins."""
    pins = []
    for dist in DISTS:
        project = tomllib.loads((ROOT / dist / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        extras = project.get("optional-dependencies", {})
        for requirement in map(Requirement, [*project["dependencies"], *(line for lines in extras.values() for line in lines)]):
            # Ours come from source. torch has one build for all environments here, so its floor is not tried; nor is Ray's, which is large.
            if requirement.name in {"torch", "ray"} or requirement.name.startswith("lfads-"):
                continue
            pins += [f"{requirement.name}=={s.version}" for s in requirement.specifier if s.operator == ">="]
    return pins


def foreign_requirements() -> list[str]:
    """What the six packages need of what is not ours, with the extras of ours that they ask for and no others."""
    projects = [tomllib.loads((ROOT / dist / "pyproject.toml").read_text(encoding="utf-8"))["project"] for dist in DISTS]
    lines = {line for project in projects for line in project["dependencies"]}
    extras = {project["name"]: project.get("optional-dependencies", {}) for project in projects}
    for requirement in [Requirement(line) for line in lines if line.startswith("lfads-")]:
        lines |= {line for extra in requirement.extras for line in extras[requirement.name][extra]}
    return sorted(line for line in lines if not line.startswith("lfads-"))


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """Does the code follow the rules and the format of pyproject.toml?"""
    in_shared(session, "ruff", "check", ".")
    in_shared(session, "ruff", "format", "--check", ".")


@nox.session(venv_backend="none")
def types(session: nox.Session) -> None:
    """Are the six packages typed without gaps?"""
    in_shared(session, "mypy", *session.posargs)


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """Do all six packages work together from source?"""
    session.run("bash", "scripts/test", *session.posargs, external=True, env=ONE_THREAD)


@nox.session(venv_backend="none")
def shapes(session: nox.Session) -> None:
    """Has everything the shapes and types that its annotations say? Whole trainings are left out: there the checks take most of the time."""
    checked = ONE_THREAD | {"LFADS_SHAPE_CHECKS": "1"}
    session.run("bash", "scripts/test", "-m", "not slow and not training", *session.posargs, external=True, env=checked)


@nox.session(venv_backend="none")
def ignored(session: nox.Session) -> None:
    """Does a test fail once an option or a setting is ignored? One after the other, those of tests/end_to_end/acting.toml; -- tests/core -k fault."""
    in_shared(session, "pytest", "-n", "0", "-p", "proving", "-o", "timeout=0", *session.posargs)


@nox.session(venv_backend="none")
def slow(session: nox.Session) -> None:
    """Do the tests that take long pass?"""
    session.env["LFADS_SHAPE_CHECKS"] = "0"  # as for those of seconds: some hand over wrong types on purpose
    in_shared(session, "pytest", "-m", "slow", *session.posargs)


@nox.session(venv_backend="none")
def docs(session: nox.Session) -> None:
    """Do the pages become a site without a warning, tutorials run? It lies in ``docs/_build/html``; start at ``index.html``."""
    session.env["LFADS_DOCS_EXECUTE"] = "cache"
    in_shared(session, "sphinx", "-b", "html", "-W", "--keep-going", "-q", "docs", "docs/_build/html", *session.posargs)
    session.run(".venv/bin/python", "scripts/check_site.py", "docs", "docs/_build/html", external=True)


@nox.session(venv_backend="none")
def tutorials(session: nox.Session) -> None:
    """Do the tutorials run, line by line, and end with the numbers they say?"""
    in_shared(session, "pytest", "tests/docs/test_docs_tutorials.py", *session.posargs)


@nox.session(venv_backend="none")
def coverage(session: nox.Session) -> None:
    """Which lines and branches does no quick test reach?"""
    in_shared(session, "coverage", "erase")
    in_shared(session, "coverage", "run", "-m", "pytest", "-m", "not slow", *session.posargs)
    in_shared(session, "coverage", "combine", "--quiet")
    in_shared(session, "coverage", "report")


@nox.session
def tests_min(session: nox.Session) -> None:
    """Do the tests pass with the lowest versions our packages say they take (torch excepted)?"""
    pins = floors()
    # Of the tools only those with no dependency of ours keep the version of constraints.txt; the others follow what the floors allow.
    kept = {"torch", "beartype", "hypothesis"}
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    constraints = Path(session.create_tmp()) / "constraints.txt"
    constraints.write_text("\n".join([*(line for line in lines if line.split("==")[0] in kept), *pins]), encoding="utf-8")
    session.install("-c", str(constraints), *pins, "torch", *TEST_TOOLS, *(arg for dist in DISTS for arg in ("-e", f"./{dist}")))
    # Without the shape checks: they evaluate annotations that older attrs and jaxtyping cannot, and that no user ever evaluates.
    # Old matplotlib calls names of pyparsing that the newest deprecates, and old scikit-learn gives the newest pytest a generator.
    quiet = ("-W", "ignore::pyparsing.warnings.PyparsingDeprecationWarning", "-W", "ignore::pytest.PytestRemovedIn10Warning")
    session.run("python", "-m", "pytest", "-m", "not slow", *quiet, *session.posargs, env=ONE_THREAD | {"LFADS_SHAPE_CHECKS": "0"})


def build_wheels(session: nox.Session) -> list[Path]:
    """Build the wheel of each of our packages anew."""
    folder = Path(session.create_tmp()).resolve() / "wheels"
    for old in folder.glob("*.whl"):
        old.unlink()
    session.run("python", "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), *(f"./{dist}" for dist in DISTS))
    return sorted(folder.glob("*.whl"))


@nox.session(venv_backend="none")
def release(session: nox.Session) -> None:
    """Make sdist and wheel of every package in ``dist``: valid metadata, equal to the byte when made again, each wheel made of its sdist."""
    out, again = ROOT / "dist", Path(session.create_tmp()).resolve() / "again"
    for folder in (out, again):
        shutil.rmtree(folder, ignore_errors=True)
        for dist in DISTS:
            in_shared(session, "build", "--no-isolation", "--outdir", str(folder), dist)
    made = sorted(path.name for path in out.iterdir())
    differing = [name for name in made if (out / name).read_bytes() != (again / name).read_bytes()]
    if differing or len(made) != 2 * len(DISTS):
        session.error(f"dist/ must hold 2 files of each package, the same each time they are made; got {made}, of which differ: {differing}")
    in_shared(session, "twine", "check", "--strict", *(str(out / name) for name in made))


@nox.session
def wheels(session: nox.Session) -> None:
    """Do the wheels work on their own, without what only extras bring?"""
    built = [str(wheel) for wheel in build_wheels(session)]
    session.install("-c", "constraints.txt", "torch", *built)
    session.install("--force-reinstall", "--no-deps", *built)  # a reused environment holds the last build of the same version
    check = ROOT / "scripts" / "check_wheels.py"
    session.chdir(session.create_tmp())
    session.run("python", "-I", str(check), env=ONE_THREAD)


@nox.session
def notebook(session: nox.Session) -> None:
    """Do notebooks do on wheels alone what is promised: ten lines from pynapple's objects to rates, an interrupt, scikit-learn?"""
    built = [str(wheel) for wheel in build_wheels(session)]
    session.install("-c", "constraints.txt", "torch", "ipykernel", "pynapple", *built)
    session.install("--force-reinstall", "--no-deps", *built)
    check = ROOT / "scripts" / "check_notebook.py"
    session.chdir(session.create_tmp())
    session.run("python", "-I", str(check), env=ONE_THREAD | {"PYTHONPATH": ""})


@nox.session
def isolation(session: nox.Session) -> None:
    """Does each package of plugins work with core and without the others, and is what is absent told in a sentence?"""
    built = build_wheels(session)
    names = [dist.replace("_", "-") for dist in DISTS]
    # What others made is installed once for all packages; then ours come and go, each time from their wheels alone.
    session.install("-c", "constraints.txt", *foreign_requirements())
    check = ROOT / "scripts" / "check_isolation.py"
    session.chdir(session.create_tmp())
    for name in session.posargs or names:
        session.run("python", "-m", "pip", "uninstall", "--quiet", "--yes", *names)
        session.install("--no-index", "--find-links", str(built[0].parent), name)
        session.run("python", str(check), name, env=ONE_THREAD | {"PYTHONPATH": ""})


@nox.session(venv_backend="none")
def fuzz(session: nox.Session) -> None:
    """Does any file, however built or damaged, end a verb in a traceback, a crash, a hang or too much memory? ``-- --count 100 --seed 7``."""
    session.run("bash", "scripts/setup", external=True)
    env = ONE_THREAD | {"PYTHONPATH": str(ROOT / "tests"), "LFADS_SHAPE_CHECKS": "0"}
    session.run(".venv/bin/python", "-m", "fuzzing", *session.posargs, external=True, env=env)


@nox.session(venv_backend="none")
def mutants(session: nox.Session) -> None:
    """Do the tests that docs/features.toml names find the small faults of tests/mutants? ``-- --only M1 --jobs 2``, ``-- --since HEAD~5``."""
    session.run("bash", "scripts/setup", external=True)
    env = ONE_THREAD | {"PYTHONPATH": str(ROOT / "tests")}
    session.run(".venv/bin/python", "-m", "mutants", *session.posargs, external=True, env=env)


@nox.session(venv_backend="none")
def mutate(session: nox.Session) -> None:
    """Does a test notice each sign, bound and operator of the formulas that mutmut changes? ``-- priors metrics``; hours for all."""
    session.run("bash", "scripts/setup", external=True)
    env = ONE_THREAD | {"PYTHONPATH": str(ROOT / "tests")}
    session.run(".venv/bin/python", "-m", "mutants.mutate", *session.posargs, external=True, env=env)


@nox.session
def audit(session: nox.Session) -> None:
    """Does a list of advisories know anything of the lowest or the pinned versions of what we depend on?"""
    try:
        session.install("pip-audit")
    except CommandFailed:
        session.skip("pip-audit cannot be installed here")
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    for name, pins in (("pinned", [line for line in pinned if "==" in line]), ("lowest", floors())):
        path = Path(session.create_tmp()) / f"{name}.txt"
        path.write_text("\n".join(pins) + "\n", encoding="utf-8")
        said = str(session.run("pip-audit", "--disable-pip", "--no-deps", "-r", str(path), silent=True, success_codes=[0, 1]))
        if "known vulnerabilit" in said and "No known" not in said:
            session.error(f"{name} versions:\n{said}")
        elif "No known" not in said:
            session.skip(f"no list of advisories answers: {said.strip().splitlines()[-1] if said.strip() else 'no answer'}")


@nox.session(venv_backend="none")
def docker(session: nox.Session) -> None:
    """Does the image's recipe work? Carries its steps out without an engine, in a fresh environment."""
    folder = Path(session.create_tmp()).resolve() / "docker"
    shutil.rmtree(folder, ignore_errors=True)
    session.run("bash", "scripts/setup", external=True)
    session.run(".venv/bin/python", "scripts/check_dockerfile.py", "--build", str(folder), *session.posargs, external=True)


@nox.session(venv_backend="none")
def parity(session: nox.Session) -> None:
    """Do we compute the published mathematics? Replays every fixture of ``../shared/parity``."""
    fixtures = sorted((ROOT.parent / "shared" / "parity").glob("**/*.h5"))
    if not fixtures:
        session.skip("no fixtures in ../shared/parity")
    session.run("bash", "scripts/setup", external=True)
    session.run(".venv/bin/python", "tests/parity/replay.py", *session.posargs, *map(str, fixtures), external=True, env=ONE_THREAD)


@nox.session(venv_backend="none")
def bench(session: nox.Session) -> None:
    """How fast, and how good, is it on this machine? Runs a script of ``bench/``: ``-- bench/growth.py --threads 2``."""
    if not session.posargs:
        scripts = sorted(path for path in (ROOT / "bench").glob("*.py") if "__main__" in path.read_text(encoding="utf-8"))
        told = [f"bench/{path.name}: {path.read_text(encoding='utf-8').split(chr(10), 1)[0].removeprefix(chr(34) * 3)}" for path in scripts]
        session.skip("say which script: " + "\n".join(["", *told]))
    session.run("bash", "scripts/setup", external=True)
    session.run(".venv/bin/python", *session.posargs, external=True)


@nox.session(venv_backend="none")
def gpu(session: nox.Session) -> None:
    """Is it right on a CUDA device, and how fast? Installs nothing, asks no network. ``-- --dry`` goes every way on a CPU."""
    if not session.posargs and not Path("/dev/nvidiactl").exists():
        session.skip("there is no CUDA device")
    session.run("bash", "bench/gpu_session.sh", *session.posargs, external=True)

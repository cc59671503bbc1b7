"""The listings of the page on launching, and of the page on bundles, are what they look like: YAML, shell, commands that exist."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest
import yaml

from lfads_core.cli.main import cli
from lfads_plugins_tune.bundle.readme import FILES

ROOT = Path(__file__).resolve().parents[2]
LAUNCH, BUNDLE = ((ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("launch", "bundle"))


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL)


DOCUMENTS = [document for block in blocks(LAUNCH, "yaml") for document in yaml.safe_load_all(block)]


@pytest.mark.parametrize("script", [*blocks(LAUNCH, "sh"), *blocks(BUNDLE, "sh")])
def test_every_script_is_one_that_the_shell_reads(script):
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def commands() -> list[str]:
    """Every `lfads ...` on the page, wherever it stands, with numbers and words in place of variables."""
    texts = [*blocks(LAUNCH, "sh"), *(str(document.get("spec", {}).get("entrypoint", "")) for document in DOCUMENTS)]
    found = [line for text in texts for line in re.findall(r"\blfads (?:search|collection|bundle) [^;\n)]+", text)]
    return sorted({re.sub(r"\$\{?\w+\}?", "1", line.rstrip("' &")) for line in found})


@pytest.mark.parametrize("line", commands())
def test_every_command_is_accepted_wherever_it_stands(line):
    words, command, context = shlex.split(line)[1:], cli, click.Context(cli, info_name="lfads")
    while isinstance(command, click.Group):
        name, words = words[0], words[1:]
        command = command.get_command(context, name)
        assert command is not None, name
    command.make_context(command.name, words, parent=context)


def test_there_are_commands_to_check():
    assert len(commands()) >= 8


def test_sbatch_scripts_begin_as_slurm_wants_them():
    scripts = [script for script in blocks(LAUNCH, "sh") if "#SBATCH" in script]
    assert len(scripts) == 2
    for script in scripts:
        first, *rest = script.splitlines()
        assert first == "#!/bin/bash"
        directives = [line for line in rest if line.startswith("#SBATCH")]
        assert rest[: len(directives)] == directives  # those after the first command are not heeded
        assert all(re.fullmatch(r"#SBATCH --[a-z-]+(=\S+)?", line) for line in directives)


def test_the_kubernetes_listing_hangs_together():
    claim, job = (next(document for document in DOCUMENTS if document.get("kind") == kind) for kind in ("PersistentVolumeClaim", "RayJob"))
    cluster, recipe = job["spec"]["rayClusterSpec"], (ROOT / "docker/Dockerfile").read_text(encoding="utf-8")
    assert f"ray=={cluster['rayVersion']}" in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    templates = [cluster["headGroupSpec"]["template"], *(group["template"] for group in cluster["workerGroupSpecs"])]
    for template in templates:
        (volume,) = template["spec"]["volumes"]
        (container,) = template["spec"]["containers"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        assert [mount["name"] for mount in container["volumeMounts"]] == [volume["name"]]
        assert container["volumeMounts"][0]["mountPath"] == re.search(r"^WORKDIR (/data)$", recipe, re.MULTILINE)[1]
        probe = container["livenessProbe"]["exec"]["command"]
        assert probe[:2] == ["python", "-c"]
        compile(probe[2], "probe", "exec")
    assert f"--uid {templates[0]['spec']['securityContext']['runAsUser']} " in recipe
    assert subprocess.run(["bash", "-n"], input=job["spec"]["entrypoint"], text=True, check=False).returncode == 0


def test_the_cluster_launcher_listing_names_its_machines_and_the_head_of_its_workers():
    (cluster,) = [document for document in DOCUMENTS if "cluster_name" in document]
    assert cluster["provider"]["type"] == "local"
    assert cluster["min_workers"] == cluster["max_workers"] == len(cluster["provider"]["worker_ips"])
    port = re.search(r"--port=(\d+)", " ".join(cluster["head_start_ray_commands"]))[1]
    assert f"$RAY_HEAD_IP:{port}" in " ".join(cluster["worker_start_ray_commands"])


def test_every_file_of_a_bundle_is_in_the_table():
    rows = re.findall(r"^\| (`.+`) \|", BUNDLE.split("\n## What comes out\n", 1)[1].split("\n## ", 1)[0], flags=re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    shown = {pattern.replace("(.+)", "<session>").replace(".+", "*").replace("\\", "") for pattern in FILES}
    assert named == shown

"""`lfads cite`, and the BibTeX behind it."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from lfads_core.cli.main import cli
from lfads_core.config.load import resolve
from lfads_core.config.yaml_io import dump
from lfads_core.plugins import NoSettings, PriorSpec, Registry, load_registry
from lfads_core.plugins.citations import Cited, bibliography, bibtex, citation_key, parse_bibtex

ENTRY = "@article{doe2025,\n  author = {Doe, Jane},\n  title = {Tents {and} boxes},\n  journal = {Camping},\n  year = {2025}\n}"


def cite(*arguments: str):
    result = CliRunner().invoke(cli, ["cite", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def keys(text: str) -> list[str]:
    return re.findall(r"^@\w+\{(\w+),", text, flags=re.MULTILINE)


def test_every_citation_of_our_components_has_its_entry():
    cited = {cite for entry in load_registry().entries for cite in getattr(entry.spec, "cites", ())}
    assert cited
    assert {citation_key(cite) for cite in cited} <= set(load_registry().bibliography)


def test_every_entry_has_what_a_reference_needs():
    for key, entry in load_registry().bibliography.items():
        fields = dict(re.findall(r"^\s*(\w+)\s*=\s*\{(.*)\},?$", entry, flags=re.MULTILINE))
        assert {"author", "title", "year"} <= set(fields), key
        assert fields["year"] == key[-4:]
        assert fields["author"].split(",")[0].lower() == key[:-4]
        assert {"doi", "eprint", "journal"} & set(fields), key
        assert not re.search(r"[^ -~\n]", entry), key  # BibTeX of any age reads it


def test_by_default_it_is_lfads_and_the_default_components():
    assert keys(cite()) == ["sussillo2016", "pandarinath2018", "keshtkaran2019"]
    assert "% LFADS, reconstruction poisson, prior normal, prior autoregressive, encoder gru, generator gru\n@article{pandarinath2018," in cite()


def test_a_recipe_brings_its_components_along():
    assert {"sussillo2016", "wei2020", "zhu2022", "keshtkaran2019"} <= set(keys(cite("--plugin", "zig")))
    assert "wimalasena2022" in keys(cite("--plugin", "emg"))


def test_a_component_of_any_kind_brings_its_own_alone():
    assert keys(cite("--plugin", "bits-per-spike")) == ["sussillo2016", "pandarinath2018", "pei2021"]
    assert keys(cite("--plugin", "temporal-shift", "--plugin", "lorenz")) == ["sussillo2016", "pandarinath2018", "wimalasena2022", "lorenz1963"]


def test_a_run_is_cited_by_its_settings(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "config.yaml").write_text(dump(resolve([], ["emg"], [], load_registry())))
    assert "wimalasena2022" in keys(cite(str(tmp_path)))


def test_what_is_not_installed_or_no_run_is_told_in_one_line(tmp_path):
    result = CliRunner().invoke(cli, ["cite", "--plugin", "zigg"])
    assert result.exit_code == 2
    assert "no plugin named 'zigg'. Did you mean 'zig'" in result.stderr
    result = CliRunner().invoke(cli, ["cite", str(tmp_path)])
    assert result.exit_code == 2
    assert "must be a run's folder" in result.stderr


def test_a_plugin_may_bring_whole_entries_and_keys_mixed(install):
    install(
        "camping",
        f"""
        from lfads_core.plugins import NoSettings, PriorSpec, hookimpl

        @hookimpl
        def lfads_priors():
            yield PriorSpec(name="tent", summary="A tent", config=NoSettings, build=print, cites=("sussillo2016", {ENTRY!r}, "nobody1999"))
        """,
    )
    registry = Registry.from_installed()
    text = bibtex((Cited(cite, "prior tent") for cite in registry.get(PriorSpec, "tent").cites), registry.bibliography)
    assert keys(text) == ["sussillo2016", "doe2025"]
    assert f"% prior tent\n{ENTRY}" in text
    assert "% nobody1999: there is no BibTeX entry of this key" in text
    shown = CliRunner().invoke(cli, ["plugins", "show", "tent"]).stdout
    assert "cites sussillo2016, doe2025, nobody1999" in shown


@pytest.mark.parametrize(
    "cite", ["@article{doe2025, title = {x}", "@article{, title = {x}}", "@nonsense", ENTRY + ENTRY, ENTRY + ENTRY.replace("2025", "2026")]
)
def test_a_broken_entry_is_refused_where_it_is_written(cite):
    with pytest.raises(ValueError, match="'cites': "):
        PriorSpec(name="tent", summary="A tent", config=NoSettings, build=print, cites=(cite,))


def test_entries_are_split_as_they_are_written():
    assert parse_bibtex(f"% a comment\n{ENTRY}\n\n@misc{{other, title = {{b}}}}") == {"doe2025": ENTRY, "other": "@misc{other, title = {b}}"}


def test_a_package_may_keep_entries_in_a_file_and_a_broken_one_costs_only_its_own(tmp_path, monkeypatch, caplog):
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in {"camp_good": ENTRY, "camp_broken": "@article{x2020, title = {a}"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
        (tmp_path / name / "citations.bib").write_text(text)
    assert bibliography(("camp_broken", "camp_good")) == {"doe2025": ENTRY}
    assert caplog.messages == ["citations.bib of camp_broken: left out (every '{' must have its '}', got an open end in the entry 'x2020')"]

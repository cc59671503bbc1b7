"""The site shows every page, and a tag is only published with the versions it names."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import browser

ROOT = Path(__file__).resolve().parents[2]
OF_THE_SITE_ITSELF = {"search", "genindex", "py-modindex", "modindex"}


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CHECK = load("check_site")
TAG = load("check_tag")


def test_no_page_has_the_name_of_one_that_the_site_makes_itself():
    assert {page.stem for page in (ROOT / "docs").glob("*.md")} & OF_THE_SITE_ITSELF == set()


def test_a_page_that_the_site_overwrites_or_leaves_out_is_named(tmp_path):
    for name in ("docs", "site"):
        (tmp_path / name).mkdir()
    for name in ("fine", "search", "gone"):
        (tmp_path / "docs" / f"{name}.md").write_text(f"# The `{name}` & page\n\ntext\n", encoding="utf-8")
    shown = '<h1>{}<a class="headerlink" href="#">#</a></h1>'
    (tmp_path / "site" / "fine.html").write_text(shown.format('The <code><span class="pre">fine</span></code> &amp; page'), encoding="utf-8")
    (tmp_path / "site" / "search.html").write_text(shown.format("Search"), encoding="utf-8")
    assert CHECK.lost(tmp_path / "docs", tmp_path / "site") == [
        "gone.md: its page must begin with 'The gone & page', got 'nothing'",
        "search.md: its page must begin with 'The search & page', got 'Search'",
    ]


def test_a_page_with_a_docstring_that_was_cut_at_its_colon_is_named(tmp_path):
    (tmp_path / "api.html").write_text('<dt class="field-odd">Type<span class="colon">:</span></dt><dd>Figures</dd>', encoding="utf-8")
    (tmp_path / "fine.html").write_text('<dt class="field-odd">Raises<span class="colon">:</span></dt> Type', encoding="utf-8")
    text = "api.html: an attribute's docstring must have no colon in its first line, got one that was cut there"
    assert CHECK.misread(tmp_path) == [text]


@pytest.mark.browser
@pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing()))
def test_a_page_that_is_too_wide_for_a_phone_is_named(tmp_path):
    head = '<!doctype html><meta name="viewport" content="width=device-width">'
    (tmp_path / "fine.html").write_text(f'{head}<div style="overflow-x: auto"><div style="width: 700px">x</div></div>', encoding="utf-8")
    (tmp_path / "wide.html").write_text(f'{head}<body style="margin: 0"><div style="width: 700px">x</div>', encoding="utf-8")
    assert CHECK.sideways(tmp_path) == ["wide.html: must fit 390 px, needs 700. Let what is wide scroll inside itself."]


def test_a_tag_must_be_the_version_of_every_package():
    (version,) = set(TAG.versions().values())
    assert len(TAG.versions()) == 6
    TAG.main(f"v{version}")
    with pytest.raises(SystemExit, match=r"check_tag: the tag must be 'v' and the version of every package, got 'v0\.0\.9' where "):
        TAG.main("v0.0.9")


def test_names_on_the_site_may_break_and_numbers_may_not():
    spec = importlib.util.spec_from_file_location("conf", ROOT / "docs" / "conf.py")
    conf = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conf)
    shown = {"body": '<span class="pre">log:1e-06:0.001:explore=0.8</span><span class="pre">model.controller.inputs</span>'}
    conf.let_names_break(None, "", "", shown, None)
    ranges, name = "log:<wbr>1e-06:<wbr>0.001:<wbr>explore=<wbr>0.8", "model.<wbr>controller.<wbr>inputs"
    assert shown["body"] == f'<span class="pre">{ranges}</span><span class="pre">{name}</span>'

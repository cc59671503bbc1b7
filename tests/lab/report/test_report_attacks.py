"""Whatever names and values a file holds, the page keeps all its sections and shows them as text."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest

from lfads_core.components.page import Path3D, SpaceBlock
from lfads_plugins_lab.report.blocks import markup

EVIL = ("<!--<script>", "</script><script>alert(1)</script>", "<!-- -->", "]]>", "&lt;", '"\\u003c', "\x1b[2J")


class Tags(HTMLParser):
    """Elements of a page as they open, and what scripts hold."""

    def __init__(self):
        super().__init__()
        self.opened, self.scripts = [], []

    def handle_starttag(self, tag, attrs):
        self.opened.append(tag)

    def handle_data(self, data):
        if self.opened and self.opened[-1] == "script":
            self.scripts.append(data)


def space(labels, points=1.0):
    path = Path3D(points=np.full((4, 3), points), group=0)
    return SpaceBlock(groups=labels, paths=[path], times=np.arange(4.0), unit="ms", label=labels[0])


@pytest.mark.parametrize("name", EVIL)
def test_no_name_leaves_its_json_block(name):
    import json

    plain, evil = Tags(), Tags()
    plain.feed(markup([space(["plain"])]))
    text = markup([space([name])])
    evil.feed(text)
    assert evil.opened == plain.opened
    inside = text.split('<script type="application/json">')[1].split("</script>")[0]
    assert "<" not in inside
    assert json.loads(inside)["groups"][0]["label"] == name


def test_values_that_are_no_numbers_leave_json_a_browser_reads():
    import json

    inside = markup([space(["a"], points=np.nan)]).split('<script type="application/json">')[1].split("</script>")[0]
    assert json.loads(inside, parse_constant=lambda _: pytest.fail("no JSON"))["paths"] == []


@pytest.mark.parametrize("name", [*EVIL, "a$b$\\frac", "$"])
def test_a_chart_of_any_names_is_drawn(name):
    from lfads_core.components.page import ChartBlock, Curve

    line = np.arange(3.0)
    text = markup([ChartBlock(title=name, x=name, y=name, curves=[Curve(x=line, y=line, label=name), Curve(x=line, y=-line, label="b")])])
    assert "could not be drawn" not in text
    tags = Tags()
    tags.feed(text)
    assert "script" not in tags.opened

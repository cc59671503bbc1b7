"""The page of questions answers what it lists, shortly, and leads further."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "faq.md").read_text(encoding="utf-8")
PARTS = re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)[1:]
QUESTIONS = {heading: answer.strip() for heading, answer in zip(PARTS[::2], PARTS[1::2], strict=True)}
ASKED = (
    "How do I split trials?",
    "How wide should bins be?",
    "How many trials and channels do I need?",
    "Which model wins?",
    "Is the fit good?",
    "Does my model copy its input?",
    "What should I tune first?",
)
"""What users of LFADS ask first."""


def test_every_question_has_a_short_answer_that_leads_further():
    assert set(ASKED) <= set(QUESTIONS)
    for heading, answer in QUESTIONS.items():
        assert 100 < len(answer) < 900, heading
        assert "](" in answer or "`" in answer, heading


def test_every_question_is_listed_at_the_top():
    listed = set(re.findall(r"\(#([\w-]+)\)", PAGE.split("\n## ", 1)[0]))
    assert listed == {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in QUESTIONS}

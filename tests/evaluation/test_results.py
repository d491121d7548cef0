"""Spreads, rounds, and the pages that hold tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.results import Results, Section, Spread, alternate, collect, marks, put_on_page
from pipelines.errors import UserError
from tests.benchmarks.test_speed import cells

NAME = "evaluation"
BEGIN, END = marks(NAME)


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "RESULTS.md"
    path.write_text("# Measured\n")
    return path


def test_a_ratio_is_one_of_medians():
    ours, plain = Spread((6.0, 5.0, 9.0)), Spread((4.0, 5.0, 6.0))
    assert ours.text() == "6.00 (5.00 to 9.00)"
    assert ours.ratio_text(plain) == "1.200 (1.000 to 1.500)"


def test_rounds_alternate_and_go_backwards_every_other_time():
    order = []

    def measure(name: str) -> float:
        order.append(name)
        return float(len(order))

    rounds = list(alternate({n: lambda n=n: measure(n) for n in "ab"}, 3))
    assert "".join(order) == "abbaab"
    assert rounds[0] == {"a": Spread((1.0,)), "b": Spread((2.0,))}
    assert rounds[2] == {"a": Spread((1.0, 4.0, 5.0)), "b": Spread((2.0, 3.0, 6.0))}


def test_sections_take_their_place_on_the_page(page):
    put_on_page(page, "one", "first")
    put_on_page(page, "two", "second")
    put_on_page(page, "one", "third")
    text = page.read_text()
    assert text.startswith("# Measured\n\n<!-- one: begin -->\n\nthird\n<!-- one: end -->\n")
    assert text.endswith("<!-- two: begin -->\n\nsecond\n<!-- two: end -->\n")
    page.write_text("<!-- one: begin -->")
    with pytest.raises(UserError, match="no place for tables.*<!-- one: end -->"):
        put_on_page(page, "one", "x")


def test_a_folder_keeps_rounds_until_all_are_there(tmp_path, page):
    keeper = Results(tmp_path / "out", page)
    part = Section("speed", "Title", ("1 of 2 rounds",), ("a", "b"), (("1", "2"),))
    keeper.put(part, finished=False)
    assert not keeper.has("speed")
    assert collect(tmp_path / "out", page) == ["speed"]
    assert "1 of 2 rounds" in page.read_text()
    keeper.put(Section("speed", "Title", ("2 of 2 rounds",), ("a", "b"), (("3", "4"),)))
    assert keeper.has("speed")
    assert collect(tmp_path / "out", page) == ["speed"]
    assert "1 of 2 rounds" not in page.read_text()
    assert cells(page.read_text()) == [["a", "b"], ["3", "4"]]


def test_a_page_keeps_what_is_around_the_tables(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nAfter.\n", encoding="utf-8")
    put_on_page(page, NAME, "new\n", append=False)
    assert page.read_text("utf-8") == f"# Title\n\n{BEGIN}\n\nnew\n\n{END}\n\nAfter.\n"
    put_on_page(page, NAME, "newer\n", append=False)
    assert page.read_text("utf-8") == f"# Title\n\n{BEGIN}\n\nnewer\n\n{END}\n\nAfter.\n"


@pytest.mark.parametrize("text", ["# Title\n", f"{BEGIN}\n", f"{END}\n{BEGIN}\n"])
def test_a_page_without_marks_is_left_alone(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="no place for tables.*evaluation: begin"):
        put_on_page(page, NAME, "new", append=False)
    assert page.read_text("utf-8") == text
    with pytest.raises(UserError, match="nowhere.md cannot be used"):
        put_on_page(tmp_path / "nowhere.md", NAME, "new", append=False)

"""Two pages with one board: saves that meet, and what each hears of the other."""

from __future__ import annotations

from tests.storyboard.api.backend import (
    Backend,
    ended,
    rendered,
    revision,
    saved,
    stored_story,
    story,
)


def test_a_save_from_an_older_state_changes_nothing_and_gets_the_newer_one(
    backend: Backend,
) -> None:
    document = story(backend)
    first = saved(backend, document)["revision"]
    project = document["project"]
    theirs = document | {"title": "Theirs"}
    second = backend.actions.save(project, theirs, first)["revision"]
    answer = backend.actions.save(project, document | {"title": "Mine"}, first)
    assert answer["stale"] is True
    assert (answer["board"], answer["revision"]) == (theirs, second)
    assert backend.store.open(project).load().title == "Theirs"
    # Made from the newer one, it is saved.
    assert "stale" not in backend.actions.save(project, document | {"title": "Both"}, second)
    assert backend.store.open(project).load().title == "Both"


def test_a_save_that_was_done_already_is_not_behind(backend: Backend) -> None:
    """Its answer was lost, so the page sends it again, from where it was."""
    document = story(backend)
    first = saved(backend, document)["revision"]
    edited = document | {"title": "A day"}
    second = backend.actions.save(document["project"], edited, first)
    again = backend.actions.save(document["project"], edited, first)
    assert "stale" not in again and again["revision"] == second["revision"]


def test_two_first_changes_of_a_board_meet(backend: Backend) -> None:
    document = story(backend)
    saved(backend, document)
    other = document | {"title": "From another tab"}
    answer = backend.actions.save(document["project"], other, "")
    assert answer["stale"] is True and answer["board"] == document


def test_a_choice_of_a_take_does_not_make_a_save_stale(backend: Backend) -> None:
    document = stored_story(backend, frames=1)
    base = revision(backend, document)
    rendered(backend, document)
    answer = backend.actions.save(document["project"], document | {"title": "New"}, base)
    assert "stale" not in answer
    assert backend.store.open(document["project"]).load().frames[0].take


def test_a_board_whose_files_are_gone_is_stored_again_as_the_page_has_it(backend: Backend) -> None:
    """Not replaced by a blank one: the page would take that for somebody's change."""
    document = story(backend)
    base = saved(backend, document)["revision"]
    (backend.store.root / document["project"] / "storyboard.json").unlink()
    (backend.store.root / document["project"]).rmdir()
    answer = backend.actions.save(document["project"], document | {"title": "Again"}, base)
    assert "stale" not in answer
    stored = backend.store.open(document["project"]).load()
    assert (stored.title, len(stored.frames)) == ("Again", 2)


def test_a_page_hears_what_another_one_changes(backend: Backend) -> None:
    document = stored_story(backend)
    project = document["project"]
    tag = backend.actions.open(project)["tag"]
    assert "board" not in backend.actions.news(project, tag)
    saved(backend, document | {"title": "Theirs"})
    news = backend.actions.news(project, tag)
    assert news["board"]["title"] == "Theirs"
    assert news["revision"] == revision(backend, document)
    assert "board" not in backend.actions.news(project, news["tag"])


def test_a_page_hears_of_takes_that_another_one_asked_for(backend: Backend) -> None:
    document = stored_story(backend)
    project = document["project"]
    mine = theirs = backend.actions.open(project)["tag"]
    backend.actions.generate(project)
    ended(backend, project)
    for tag in (mine, theirs):
        news = backend.actions.news(project, tag)
        assert len(news["results"]) == 2
        assert [outcome["rendered"] for outcome in news["outcomes"]] == [2]


def test_a_stale_save_and_one_without_changes_are_no_news(backend: Backend) -> None:
    document = story(backend)
    first = saved(backend, document)["revision"]
    project = document["project"]
    saved(backend, document | {"title": "Theirs"})
    tag = backend.actions.news(project)["tag"]
    assert backend.actions.save(project, document | {"title": "Mine"}, first)["stale"]
    saved(backend, document | {"title": "Theirs"})
    assert "board" not in backend.actions.news(project, tag)

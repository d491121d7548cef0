"""Actions and their answers, with a real store and runner."""

from __future__ import annotations

import random
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import UserError
from pipelines.reference.from_upload import prepare_reference
from storyboard.api.actions import Actions
from storyboard.errors import ProjectError
from storyboard.jobs.local import LocalRunner
from storyboard.settings import Settings
from storyboard.storage.projects import Store
from tests.storyboard.api.backend import Backend, backend_in, publish, rendered, story
from tests.storyboard.fakes import FakeEngine


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    backend = backend_in(tmp_path / "projects", FakeEngine())
    yield backend
    if backend.engine.permits is not None:
        backend.engine.permits.release(1000)
    backend.runner.close()


def takes_of(answer: dict[str, Any], frame: dict[str, Any]) -> list[str]:
    return [take["id"] for take in answer["results"]["frames"][frame["id"]]["takes"]]


# ---- opening and saving


def test_a_new_storyboard_is_on_disk_once_it_is_changed(backend: Backend) -> None:
    document = backend.actions.new()["value"]
    assert backend.store.projects() == []
    document |= {"title": "A day", "revision": 3}
    answer = backend.actions.save(document)
    assert answer["saved"] == {"project": document["project"], "revision": 3}
    assert backend.store.open(document["project"]).load().title == "A day"


def test_what_was_saved_is_opened_again(backend: Backend) -> None:
    document = story(backend)
    backend.actions.save(document)
    opened = backend.actions.open(document["project"])
    assert opened["value"] == document | {"revision": 0}
    assert "notice" not in opened


def test_first_changes_from_many_threads_make_one_project(backend: Backend) -> None:
    document = story(backend)
    threads = [threading.Thread(target=backend.actions.save, args=(document,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [info.id for info in backend.store.projects()] == [document["project"]]


def test_a_page_that_never_changed_anything_opens_blank_again(backend: Backend) -> None:
    before = backend.actions.new()["value"]
    opened = backend.actions.open(before["project"])
    assert [frame["action"] for frame in opened["value"]["frames"]] == [""] * 4
    assert "notice" not in opened


@pytest.mark.parametrize("name", ["../outside", "a/b", "", ".", "x" * 33])
def test_names_that_are_no_projects_open_nothing_and_make_nothing(
    backend: Backend, tmp_path: Path, name: str
) -> None:
    assert backend.actions.open(name)["value"]["project"] != name
    if name:
        with pytest.raises(ProjectError):
            backend.actions.save(backend.actions.new()["value"] | {"project": name})
    assert list(tmp_path.rglob("*.json")) == []


def test_a_damaged_project_is_reported_and_left_alone(backend: Backend) -> None:
    document = story(backend)
    backend.actions.save(document)
    file = backend.store.root / document["project"] / "storyboard.json"
    file.write_text("{ half")
    opened = backend.actions.open(document["project"])
    assert "damaged" in opened["notice"]["problem"]
    assert opened["value"]["project"] != document["project"]
    with pytest.raises(ProjectError):
        backend.actions.save(document)
    assert file.read_text() == "{ half"


def test_a_refused_change_leaves_what_is_stored(backend: Backend) -> None:
    document = story(backend)
    backend.actions.save(document)
    bad = backend.actions.open(document["project"])["value"]
    bad["frames"][0]["seed"] = -5
    with pytest.raises(UserError, match="Frame 1 seed"):
        backend.actions.save(bad)
    assert backend.store.open(document["project"]).load().frames[0].seed == 0


def test_the_example_is_a_project_of_its_own_each_time(backend: Backend) -> None:
    first, second = backend.actions.example(), backend.actions.example()
    assert first["value"]["project"] != second["value"]["project"]
    assert len(first["value"]["frames"]) == 6
    assert first["value"]["settings"]["model"] == "miniature"


# ---- rendering


def test_generating_reports_every_step_and_shows_each_finished_frame(backend: Backend) -> None:
    document = story(backend)
    first = backend.actions.generate(document, None)
    assert first["progress"]["state"] in ("queued", "running")
    answers = list(backend.actions.follow(document["project"]))
    one, two = (frame["id"] for frame in document["frames"])
    shown = [set(answer["results"]["frames"]) for answer in answers if "results" in answer]
    assert shown[0] == {one} and shown[1] == {one, two}
    last = answers[-1]["progress"]
    assert (last["state"], last["rendered"], last["total"]) == ("finished", 2, 2)
    assert all(answer["progress"]["project"] == document["project"] for answer in answers)


def test_a_page_that_comes_back_sees_the_whole_job(backend: Backend) -> None:
    backend.engine.permits = threading.Semaphore(0)
    document = story(backend)
    backend.actions.generate(document, None)
    opened = backend.actions.open(document["project"])
    assert opened["progress"]["state"] in ("queued", "running")
    backend.engine.permits.release(1000)
    assert list(backend.actions.follow(document["project"]))[-1]["progress"]["state"] == "finished"
    assert backend.actions.open(document["project"])["progress"]["state"] == "idle"


def test_previews_reach_a_page_also_one_that_comes_back(backend: Backend) -> None:
    # A model is loaded and a frame begun; then a step, and a preview.
    backend.engine.previews, backend.engine.permits = True, threading.Semaphore(4)
    document = story(backend)
    one = document["frames"][0]["id"]
    backend.actions.generate(document, None)
    following, later = (backend.actions.follow(document["project"]) for _ in range(2))
    for page in (following, later):
        previews = next(answer["previews"] for answer in page if "previews" in answer)
        assert previews["project"] == document["project"]
        assert set(previews["frames"]) == {one}
    backend.engine.permits.release(1000)
    rest = [answer["previews"]["frames"] for answer in following if "previews" in answer]
    assert rest[-1] == {}


def test_following_without_a_job_gives_the_results(backend: Backend) -> None:
    document = story(backend)
    rendered(backend, document)
    (answer,) = backend.actions.follow(document["project"])
    assert answer["progress"]["state"] == "idle"
    assert len(answer["results"]["frames"]) == 2


def test_redoing_one_frame_adds_a_take_to_it_alone(backend: Backend) -> None:
    document = story(backend)
    before = rendered(backend, document)[-1]
    one, two = document["frames"]
    backend.actions.generate(document, [two["id"]])
    after = list(backend.actions.follow(document["project"]))[-1]
    assert takes_of(after, one) == takes_of(before, one)
    assert takes_of(after, two)[:1] == takes_of(before, two)
    assert after["results"]["frames"][two["id"]]["chosen"] == takes_of(after, two)[1]


def test_the_frames_of_a_second_job_are_waiting(backend: Backend) -> None:
    backend.engine.permits = threading.Semaphore(3)
    document = story(backend)
    one, two = (frame["id"] for frame in document["frames"])
    backend.actions.generate(document, [one])
    assert "progress" not in backend.actions.generate(document, [two])
    following = backend.actions.follow(document["project"])
    states = next(following)["progress"]["frames"]
    assert states[two] == {"state": "waiting"}
    backend.engine.permits.release(1000)
    assert len(list(following)[-1]["results"]["frames"]) == 2


def test_cancel_keeps_finished_takes_and_drops_waiting_jobs(backend: Backend) -> None:
    # A model is loaded, then each frame gives five events: begun, two steps, mask, done.
    backend.engine.permits = threading.Semaphore(8)
    document = story(backend, frames=3)
    backend.actions.generate(document, None)
    backend.actions.generate(document, [document["frames"][0]["id"]])
    following = backend.actions.follow(document["project"])
    for answer in following:
        if answer["progress"].get("rendered") == 1:
            break
    backend.actions.cancel(document)
    backend.engine.permits.release(1)
    last = list(following)[-1]
    assert last["progress"]["state"] == "cancelled"
    assert list(last["results"]["frames"]) == [document["frames"][0]["id"]]
    assert backend.engine.yielded <= 9
    assert len(backend.engine.requests) == 1


def test_a_failure_is_reported_in_words_and_keeps_finished_takes(backend: Backend) -> None:
    backend.engine.fault = ValueError("tensor on fire")
    backend.engine.fault_at = 1
    document = story(backend)
    last = rendered(backend, document)[-1]
    assert last["progress"]["state"] == "failed"
    assert "ValueError" in last["progress"]["message"]
    assert "Traceback" not in last["progress"]["message"]
    assert list(last["results"]["frames"]) == [document["frames"][0]["id"]]


def test_a_missing_character_is_a_clear_message(backend: Backend) -> None:
    document = story(backend)
    document["character"]["description"] = " "
    with pytest.raises(UserError, match="no description"):
        backend.actions.generate(document, None)
    assert backend.store.open(document["project"]).load().frames[0].action == "waving"


def test_no_frames_is_a_clear_message(backend: Backend) -> None:
    with pytest.raises(UserError, match="no frames"):
        backend.actions.generate(story(backend, frames=0), None)


def test_a_frame_that_is_gone_cannot_be_redone(backend: Backend) -> None:
    with pytest.raises(UserError, match="no longer"):
        backend.actions.generate(story(backend), ["gone"])


def test_the_last_words_are_rendered(backend: Backend) -> None:
    document = story(backend)
    backend.actions.save(document)
    document["frames"][0]["action"] = "singing"
    rendered(backend, document)
    assert backend.engine.requests[0].frames[0].prompt.action == "singing"


def test_guidance_reaches_the_render_of_a_model_that_has_learnt_it(backend: Backend) -> None:
    document = story(backend)
    document["settings"] |= {"model": "flux1-dev", "guidance": 6.5}
    rendered(backend, document)
    assert backend.engine.requests[0].guidance_scale == 6.5
    document["settings"] |= {"guidance": None}
    rendered(backend, document)
    assert backend.engine.requests[1].guidance_scale == 3.5
    takes = backend.store.open(document["project"]).takes()
    project = backend.store.open(document["project"])
    assert {project.request(take.id).guidance_scale for take in takes} == {6.5, 3.5}


def test_a_page_knows_the_guidance_of_every_model_and_its_limits(backend: Backend) -> None:
    setup = backend.actions.setup()
    assert setup["limits"]["guidance"] == [1, 10]
    own = {model["name"]: model["guidance"] for model in setup["models"]}
    assert (own["flux1-dev"], own["flux1-krea-dev"], own["flux1-schnell"]) == (3.5, 4.5, None)


# ---- takes


def test_an_earlier_take_can_be_chosen_again(backend: Backend) -> None:
    document = story(backend, frames=1)
    rendered(backend, document)
    document["frames"][0]["seed"] = 9
    last = rendered(backend, document)[-1]
    (frame,) = document["frames"]
    earlier = takes_of(last, frame)[0]
    answer = backend.actions.choose_take(document, frame["id"], earlier)
    assert answer["results"]["frames"][frame["id"]]["chosen"] == earlier
    assert answer["edited"] == [frame["id"]]  # its seed differs from the frame's
    backend.actions.save(document)
    assert backend.store.open(document["project"]).load().frames[0].take == earlier


def test_a_take_of_another_frame_or_project_cannot_be_chosen(backend: Backend) -> None:
    document, other = story(backend), story(backend)
    last, foreign = rendered(backend, document)[-1], rendered(backend, other)[-1]
    one, two = document["frames"]
    chosen = last["results"]["frames"][one["id"]]["chosen"]
    for take in [takes_of(last, two)[0], takes_of(foreign, other["frames"][0])[0], "../x", ""]:
        with pytest.raises(UserError):
            backend.actions.choose_take(document, one["id"], take)
    assert backend.store.open(document["project"]).load().frames[0].take == chosen


def test_a_frame_that_was_removed_and_is_back_has_its_takes(backend: Backend) -> None:
    document = story(backend)
    last = rendered(backend, document)[-1]
    gone = document["frames"].pop(0)
    backend.actions.save(document)
    document["frames"].insert(0, gone)
    answer = backend.actions.save(document)
    assert answer["results"] == last["results"]


def test_frames_edited_since_they_were_rendered_are_named(backend: Backend) -> None:
    document = story(backend)
    assert rendered(backend, document)[-1]["edited"] == []
    one, two = document["frames"]
    two["action"] = "singing"
    assert backend.actions.save(document)["edited"] == [two["id"]]
    one["share_background"] = two["share_background"] = True
    two["action"] = "waving"
    assert backend.actions.save(document)["edited"] == [two["id"]]
    assert rendered(backend, document)[-1]["edited"] == []
    document["settings"]["width"] = 128
    assert backend.actions.save(document)["edited"] == [one["id"], two["id"]]


def test_the_archive_holds_frames_and_masks_in_order(tmp_path: Path) -> None:
    kept = tmp_path / "published.zip"

    def keep(path: Path) -> dict[str, str]:
        if path.suffix == ".zip":
            kept.write_bytes(path.read_bytes())
        return publish(path)

    runner = LocalRunner(FakeEngine(), random.Random(1))
    store = Store(tmp_path / "projects")
    actions = Actions(runner, store, Settings(), prepare_reference, None, keep)
    backend = Backend(actions, store, runner, FakeEngine())
    document = story(backend) | {"title": "A Day: out!"}
    with pytest.raises(UserError, match="generated yet"):
        backend.actions.archive(document)
    rendered(backend, document)
    assert backend.actions.archive(document)["file"]["name"] == "a-day-out.zip"
    with zipfile.ZipFile(kept) as archive:
        names = archive.namelist()
    assert [name for name in names if name.endswith(".png")] == [
        "01-waving-beach.png",
        "masks/01-waving-beach.png",
        "02-waving-beach.png",
        "masks/02-waving-beach.png",
    ]
    runner.close()


# ---- where strangers share it


def test_projects_are_listed_at_home_and_not_on_a_space(tmp_path: Path) -> None:
    home = backend_in(tmp_path, FakeEngine())
    document = story(home) | {"title": "A day"}
    home.actions.save(document)
    (item,) = home.actions.projects()["projects"]["items"]
    assert (item["id"], item["title"], item["frames"]) == (document["project"], "A day", 2)
    space = backend_in(tmp_path, FakeEngine(), space=True)
    assert space.actions.projects()["projects"]["items"] == []
    assert space.actions.setup()["listed"] is False


def test_a_space_renders_with_its_own_model_alone(tmp_path: Path) -> None:
    space = backend_in(tmp_path, FakeEngine(), space=True)
    document = story(space)
    document["settings"]["model"] = "flux1-dev"
    with pytest.raises(UserError, match="cannot be chosen"):
        space.actions.save(document)
    assert [model["name"] for model in space.actions.setup()["models"]] == ["miniature"]


def test_two_projects_are_reported_separately(backend: Backend) -> None:
    mine, theirs = story(backend), story(backend)
    rendered(backend, theirs)
    answers = rendered(backend, mine)
    ids = {frame["id"] for frame in mine["frames"]}
    assert all(set(answer["progress"]["frames"]) <= ids for answer in answers)
    assert set(answers[-1]["results"]["frames"]) == ids


def test_words_that_the_model_does_not_read_are_reported(tmp_path: Path) -> None:
    backend = backend_in(tmp_path / "projects", FakeEngine(reads=3))
    document = story(backend)
    notices = [answer["notice"] for answer in rendered(backend, document) if "notice" in answer]
    assert len(notices) == 2
    assert "frame 1" in notices[0]["problem"]
    assert "\u201cwaving\u201d" in notices[0]["problem"]
    backend.runner.close()

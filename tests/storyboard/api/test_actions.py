"""The desk: what a page asks for and what it is answered, with a real store and runner."""

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
from tests.storyboard.api.office import Office, office_in, painted, story
from tests.storyboard.fakes import FakeEngine


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = office_in(tmp_path / "projects", FakeEngine())
    yield office
    if office.engine.permits is not None:
        office.engine.permits.release(1000)
    office.runner.close()


def takes_of(answer: dict[str, Any], frame: dict[str, Any]) -> list[str]:
    return [take["id"] for take in answer["results"]["frames"][frame["id"]]["takes"]]


# ---- opening and saving


def test_a_new_storyboard_is_on_disk_once_it_is_changed(office: Office) -> None:
    document = office.desk.new()["value"]
    assert office.store.projects() == []
    document |= {"title": "A day", "revision": 3}
    answer = office.desk.save(document)
    assert answer["saved"] == {"project": document["project"], "revision": 3}
    assert office.store.open(document["project"]).load().title == "A day"


def test_what_was_saved_is_opened_again(office: Office) -> None:
    document = story(office)
    office.desk.save(document)
    opened = office.desk.open(document["project"])
    assert opened["value"] == document | {"revision": 0}
    assert "notice" not in opened


def test_first_changes_from_many_threads_make_one_project(office: Office) -> None:
    document = story(office)
    threads = [threading.Thread(target=office.desk.save, args=(document,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [info.id for info in office.store.projects()] == [document["project"]]


def test_a_page_that_never_changed_anything_opens_blank_again(office: Office) -> None:
    before = office.desk.new()["value"]
    opened = office.desk.open(before["project"])
    assert [frame["action"] for frame in opened["value"]["frames"]] == [""] * 4
    assert "notice" not in opened


@pytest.mark.parametrize("name", ["../outside", "a/b", "", ".", "x" * 33])
def test_names_that_are_no_projects_open_nothing_and_make_nothing(
    office: Office, tmp_path: Path, name: str
) -> None:
    assert office.desk.open(name)["value"]["project"] != name
    if name:
        with pytest.raises(ProjectError):
            office.desk.save(office.desk.new()["value"] | {"project": name})
    assert list(tmp_path.rglob("*.json")) == []


def test_a_damaged_project_is_told_and_left_alone(office: Office) -> None:
    document = story(office)
    office.desk.save(document)
    file = office.store.root / document["project"] / "storyboard.json"
    file.write_text("{ half")
    opened = office.desk.open(document["project"])
    assert "damaged" in opened["notice"]["problem"]
    assert opened["value"]["project"] != document["project"]
    with pytest.raises(ProjectError):
        office.desk.save(document)
    assert file.read_text() == "{ half"


def test_a_refused_change_leaves_what_is_stored(office: Office) -> None:
    document = story(office)
    office.desk.save(document)
    bad = office.desk.open(document["project"])["value"]
    bad["frames"][0]["seed"] = -5
    with pytest.raises(UserError, match="Frame 1 seed"):
        office.desk.save(bad)
    assert office.store.open(document["project"]).load().frames[0].seed == 0


def test_the_example_is_a_project_of_its_own_each_time(office: Office) -> None:
    first, second = office.desk.example(), office.desk.example()
    assert first["value"]["project"] != second["value"]["project"]
    assert len(first["value"]["frames"]) == 6
    assert first["value"]["settings"]["model"] == "miniature"


# ---- painting


def test_generating_tells_every_step_and_shows_each_frame_as_it_is_done(office: Office) -> None:
    document = story(office)
    first = office.desk.generate(document, None)
    assert first["progress"]["state"] in ("queued", "running")
    told = list(office.desk.follow(document["project"]))
    one, two = (frame["id"] for frame in document["frames"])
    shown = [set(answer["results"]["frames"]) for answer in told if "results" in answer]
    assert shown[0] == {one} and shown[1] == {one, two}
    last = told[-1]["progress"]
    assert (last["state"], last["painted"], last["wanted"]) == ("finished", 2, 2)
    assert all(answer["progress"]["project"] == document["project"] for answer in told)


def test_a_page_that_comes_back_is_told_the_whole_job(office: Office) -> None:
    office.engine.permits = threading.Semaphore(0)
    document = story(office)
    office.desk.generate(document, None)
    opened = office.desk.open(document["project"])
    assert opened["progress"]["state"] in ("queued", "running")
    office.engine.permits.release(1000)
    assert list(office.desk.follow(document["project"]))[-1]["progress"]["state"] == "finished"
    assert office.desk.open(document["project"])["progress"]["state"] == "idle"


def test_a_page_is_shown_what_frames_become_also_one_that_comes_back(office: Office) -> None:
    # A model is loaded and a frame begun; then a step, and a preview.
    office.engine.previews, office.engine.permits = True, threading.Semaphore(4)
    document = story(office)
    one = document["frames"][0]["id"]
    office.desk.generate(document, None)
    following, later = (office.desk.follow(document["project"]) for _ in range(2))
    for page in (following, later):
        told = next(answer["previews"] for answer in page if "previews" in answer)
        assert told["project"] == document["project"]
        assert set(told["frames"]) == {one}
    office.engine.permits.release(1000)
    rest = [answer["previews"]["frames"] for answer in following if "previews" in answer]
    assert rest[-1] == {}


def test_following_without_a_job_tells_how_things_stand(office: Office) -> None:
    document = story(office)
    painted(office, document)
    (answer,) = office.desk.follow(document["project"])
    assert answer["progress"]["state"] == "idle"
    assert len(answer["results"]["frames"]) == 2


def test_redoing_one_frame_adds_a_take_to_it_alone(office: Office) -> None:
    document = story(office)
    before = painted(office, document)[-1]
    one, two = document["frames"]
    office.desk.generate(document, [two["id"]])
    after = list(office.desk.follow(document["project"]))[-1]
    assert takes_of(after, one) == takes_of(before, one)
    assert takes_of(after, two)[:1] == takes_of(before, two)
    assert after["results"]["frames"][two["id"]]["chosen"] == takes_of(after, two)[1]


def test_a_second_request_waits_and_is_told_as_waiting(office: Office) -> None:
    office.engine.permits = threading.Semaphore(3)
    document = story(office)
    one, two = (frame["id"] for frame in document["frames"])
    office.desk.generate(document, [one])
    assert "progress" not in office.desk.generate(document, [two])
    following = office.desk.follow(document["project"])
    states = next(following)["progress"]["frames"]
    assert states[two] == {"state": "waiting"}
    office.engine.permits.release(1000)
    assert len(list(following)[-1]["results"]["frames"]) == 2


def test_cancel_keeps_what_was_painted_and_drops_what_waits(office: Office) -> None:
    # A model is loaded, then each frame gives five events: begun, two steps, mask, done.
    office.engine.permits = threading.Semaphore(8)
    document = story(office, frames=3)
    office.desk.generate(document, None)
    office.desk.generate(document, [document["frames"][0]["id"]])
    following = office.desk.follow(document["project"])
    for answer in following:
        if answer["progress"].get("painted") == 1:
            break
    office.desk.cancel(document)
    office.engine.permits.release(1)
    last = list(following)[-1]
    assert last["progress"]["state"] == "cancelled"
    assert list(last["results"]["frames"]) == [document["frames"][0]["id"]]
    assert office.engine.yielded <= 9
    assert len(office.engine.requests) == 1


def test_a_failure_is_told_in_words_and_keeps_what_was_painted(office: Office) -> None:
    office.engine.fault = ValueError("tensor on fire")
    office.engine.fault_at = 1
    document = story(office)
    last = painted(office, document)[-1]
    assert last["progress"]["state"] == "failed"
    assert "ValueError" in last["progress"]["message"]
    assert "Traceback" not in last["progress"]["message"]
    assert list(last["results"]["frames"]) == [document["frames"][0]["id"]]


def test_nobody_to_paint_is_a_clear_message(office: Office) -> None:
    document = story(office)
    document["character"]["description"] = " "
    with pytest.raises(UserError, match="no description"):
        office.desk.generate(document, None)
    assert office.store.open(document["project"]).load().frames[0].action == "waving"


def test_no_frames_is_a_clear_message(office: Office) -> None:
    with pytest.raises(UserError, match="no frames"):
        office.desk.generate(story(office, frames=0), None)


def test_a_frame_that_is_gone_cannot_be_redone(office: Office) -> None:
    with pytest.raises(UserError, match="no longer"):
        office.desk.generate(story(office), ["gone"])


def test_the_last_words_are_what_is_painted(office: Office) -> None:
    document = story(office)
    office.desk.save(document)
    document["frames"][0]["action"] = "singing"
    painted(office, document)
    assert office.engine.requests[0].frames[0].prompt.action == "singing"


def test_guidance_reaches_the_painting_of_a_model_that_has_learnt_it(office: Office) -> None:
    document = story(office)
    document["settings"] |= {"model": "flux1-dev", "guidance": 6.5}
    painted(office, document)
    assert office.engine.requests[0].guidance_scale == 6.5
    document["settings"] |= {"guidance": None}
    painted(office, document)
    assert office.engine.requests[1].guidance_scale == 3.5
    takes = office.store.open(document["project"]).takes()
    project = office.store.open(document["project"])
    assert {project.request(take.id).guidance_scale for take in takes} == {6.5, 3.5}


def test_a_page_knows_the_guidance_of_every_model_and_its_limits(office: Office) -> None:
    setup = office.desk.setup()
    assert setup["limits"]["guidance"] == [1, 10]
    own = {model["name"]: model["guidance"] for model in setup["models"]}
    assert (own["flux1-dev"], own["flux1-krea-dev"], own["flux1-schnell"]) == (3.5, 4.5, None)


# ---- takes


def test_an_earlier_take_can_be_chosen_again(office: Office) -> None:
    document = story(office, frames=1)
    painted(office, document)
    document["frames"][0]["seed"] = 9
    last = painted(office, document)[-1]
    (frame,) = document["frames"]
    earlier = takes_of(last, frame)[0]
    answer = office.desk.choose(document, frame["id"], earlier)
    assert answer["results"]["frames"][frame["id"]]["chosen"] == earlier
    assert answer["edited"] == [frame["id"]]  # its seed is not the one that is asked for now
    office.desk.save(document)
    assert office.store.open(document["project"]).load().frames[0].take == earlier


def test_a_take_of_another_frame_or_project_cannot_be_chosen(office: Office) -> None:
    document, other = story(office), story(office)
    last, foreign = painted(office, document)[-1], painted(office, other)[-1]
    one, two = document["frames"]
    chosen = last["results"]["frames"][one["id"]]["chosen"]
    for take in [takes_of(last, two)[0], takes_of(foreign, other["frames"][0])[0], "../x", ""]:
        with pytest.raises(UserError):
            office.desk.choose(document, one["id"], take)
    assert office.store.open(document["project"]).load().frames[0].take == chosen


def test_a_frame_that_was_removed_and_is_back_has_its_takes(office: Office) -> None:
    document = story(office)
    last = painted(office, document)[-1]
    gone = document["frames"].pop(0)
    office.desk.save(document)
    document["frames"].insert(0, gone)
    answer = office.desk.save(document)
    assert answer["results"] == last["results"]


def test_frames_that_changed_since_they_were_painted_are_named(office: Office) -> None:
    document = story(office)
    assert painted(office, document)[-1]["edited"] == []
    one, two = document["frames"]
    two["action"] = "singing"
    assert office.desk.save(document)["edited"] == [two["id"]]
    one["share_background"] = two["share_background"] = True
    two["action"] = "waving"
    assert office.desk.save(document)["edited"] == [two["id"]]
    assert painted(office, document)[-1]["edited"] == []
    document["settings"]["width"] = 128
    assert office.desk.save(document)["edited"] == [one["id"], two["id"]]


def test_the_archive_holds_frames_and_masks_in_order(tmp_path: Path) -> None:
    kept = tmp_path / "published.zip"

    def publish(path: Path) -> str:
        if path.suffix == ".zip":
            kept.write_bytes(path.read_bytes())
        return str(path)

    runner = LocalRunner(FakeEngine(), random.Random(1))
    store = Store(tmp_path / "projects")
    desk = Actions(runner, store, Settings(), prepare_reference, None, publish)
    office = Office(desk, store, runner, FakeEngine())
    document = story(office) | {"title": "A Day: out!"}
    with pytest.raises(UserError, match="painted"):
        office.desk.archive(document)
    painted(office, document)
    assert office.desk.archive(document)["file"]["name"] == "a-day-out.zip"
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
    home = office_in(tmp_path, FakeEngine())
    document = story(home) | {"title": "A day"}
    home.desk.save(document)
    (item,) = home.desk.projects()["projects"]["items"]
    assert (item["id"], item["title"], item["frames"]) == (document["project"], "A day", 2)
    space = office_in(tmp_path, FakeEngine(), space=True)
    assert space.desk.projects()["projects"]["items"] == []
    assert space.desk.setup()["listed"] is False


def test_a_space_paints_with_its_own_model_alone(tmp_path: Path) -> None:
    space = office_in(tmp_path, FakeEngine(), space=True)
    document = story(space)
    document["settings"]["model"] = "flux1-dev"
    with pytest.raises(UserError, match="cannot be chosen"):
        space.desk.save(document)
    assert [model["name"] for model in space.desk.setup()["models"]] == ["miniature"]


def test_two_projects_are_told_of_separately(office: Office) -> None:
    mine, theirs = story(office), story(office)
    painted(office, theirs)
    told = painted(office, mine)
    ids = {frame["id"] for frame in mine["frames"]}
    assert all(set(answer["progress"]["frames"]) <= ids for answer in told)
    assert set(told[-1]["results"]["frames"]) == ids


def test_words_that_the_model_does_not_read_are_told(tmp_path: Path) -> None:
    office = office_in(tmp_path / "projects", FakeEngine(reads=3))
    document = story(office)
    notices = [answer["notice"] for answer in painted(office, document) if "notice" in answer]
    assert len(notices) == 2
    assert "frame 1" in notices[0]["problem"]
    assert "\u201cwaving\u201d" in notices[0]["problem"]
    office.runner.close()

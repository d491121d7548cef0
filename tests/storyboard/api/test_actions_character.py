"""The desk and the character's picture, its file, styles, and what has to be agreed to first."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from pipelines.errors import UserError
from pipelines.models.catalog import BIREFNET, FLUX1_DEV, INSTANT_CHARACTER
from pipelines.pictures import png_bytes
from pipelines.reference.from_upload import prepare_reference
from storyboard.api.actions import Actions
from storyboard.errors import ConsentNeeded
from storyboard.jobs.local import LocalRunner
from storyboard.settings import Settings
from storyboard.storage.consents import Consents
from storyboard.storage.projects import Store
from tests.storyboard.api.office import Office, office_in, painted, story
from tests.storyboard.fakes import FakeEngine
from tests.storyboard.pictures import drawing


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = office_in(tmp_path / "projects", FakeEngine())
    yield office
    office.runner.close()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "drawn.png"
    drawing().save(path)
    return path


def follower(office: Office) -> dict[str, Any]:
    """A story whose model can follow pictures."""
    document = story(office)
    document["settings"]["model"] = FLUX1_DEV.name
    return document


def used(office: Office, document: dict[str, Any], picture: Path) -> dict[str, Any]:
    """Upload a picture and use it; what the page is told of it."""
    draft = office.desk.picture(document, picture)["reference"]["draft"]
    told: dict[str, Any] = office.desk.use(document, draft["id"], None)["reference"]
    return told


def address(box: tuple[int, int, int, int], colour: tuple[int, int, int, int]) -> str:
    sheet = Image.new("RGBA", (120, 128))
    ImageDraw.Draw(sheet).rectangle(box, fill=colour)
    return "data:image/png;base64," + base64.b64encode(png_bytes(sheet)).decode()


# ---- the picture


def test_an_upload_is_shown_before_it_is_used(office: Office, picture: Path) -> None:
    document = story(office)
    told = office.desk.picture(document, picture)["reference"]
    assert told["used"] is None and told["draft"]["fault"] == ""
    assert Path(told["draft"]["prepared"]["path"]).is_file()
    assert office.store.open(document["project"]).load().character.reference == ""
    again = office.desk.open(document["project"])["reference"]
    assert again["draft"] == told["draft"] and again["serial"] > told["serial"]


def test_frames_follow_the_picture_that_is_used(office: Office, picture: Path) -> None:
    document = follower(office)
    told = used(office, document, picture)
    assert told["draft"] is None
    name = told["used"]["name"]
    document["character"] |= {"description": "", "strength": 0.5}
    document["frames"][1]["reference_strength"] = 1.5
    painted(office, document)
    frames = office.engine.requests[0].frames
    assert [frame.reference for frame in frames] == [name, name]
    assert [frame.reference_strength for frame in frames] == [0.5, 1.5]
    folder = office.store.open(document["project"]).references.folder
    assert office.engine.pictures == [folder] and (folder / name).is_file()
    assert office.desk.open(document["project"])["reference"]["used"]["name"] == name


def test_the_last_stroke_is_in_what_is_used(office: Office, picture: Path) -> None:
    document = story(office)
    draft = office.desk.picture(document, picture)["reference"]["draft"]
    marks = address((5, 5, 20, 20), (0, 255, 0, 255))
    answer = office.desk.mend(document, draft["id"], marks, 3)["reference"]
    assert answer["revision"] == 3
    # The name is that of the content.
    assert answer["draft"]["prepared"]["path"] != draft["prepared"]["path"]
    more = address((5, 5, 20, 40), (0, 255, 0, 255))
    name = office.desk.use(document, draft["id"], more)["reference"]["used"]["name"]
    mask = office.store.open(document["project"]).references.load(name).mask
    assert mask.getpixel((12, 35)) == 255


def test_strokes_that_come_too_late_change_nothing(office: Office, picture: Path) -> None:
    document = story(office)
    draft = office.desk.picture(document, picture)["reference"]["draft"]
    before = office.desk.use(document, draft["id"], None)["reference"]
    late = office.desk.mend(document, draft["id"], address((0, 0, 9, 9), (0, 255, 0, 255)), 1)
    assert late["reference"]["used"] == before["used"]
    assert late["reference"]["draft"] is None


def test_an_answer_that_was_overtaken_tells_how_things_stand(tmp_path: Path, picture: Path) -> None:
    """The network still looks when the picture is used, and its answer comes last."""
    begun, go_on = threading.Event(), threading.Event()

    def find(opened: Image.Image) -> Image.Image:
        begun.set()
        assert go_on.wait(20)
        return Image.new("L", opened.size, 255)

    office = office_in(tmp_path / "projects", FakeEngine(), find=find)
    document = story(office)
    draft = office.desk.picture(document, picture)["reference"]["draft"]
    late: list[dict[str, Any]] = []
    searching = threading.Thread(
        target=lambda: late.append(office.desk.search(document, draft["id"])["reference"])
    )
    searching.start()
    assert begun.wait(20)
    told = office.desk.use(document, draft["id"], None)["reference"]
    go_on.set()
    searching.join()
    assert late[0]["serial"] > told["serial"]
    assert (late[0]["used"], late[0]["draft"]) == (told["used"], None)
    office.runner.close()


@pytest.mark.parametrize("sent", ["", "x", "data:image/png;base64,?", "data:image/png;base64,eA=="])
def test_what_is_no_mask_is_refused(office: Office, picture: Path, sent: str) -> None:
    document = story(office)
    draft = office.desk.picture(document, picture)["reference"]["draft"]
    with pytest.raises(UserError, match="not a mask"):
        office.desk.mend(document, draft["id"], sent, 1)
    assert office.desk.open(document["project"])["reference"]["draft"] == draft


def test_a_picture_that_cannot_be_used_is_told_and_loses_nothing(
    office: Office, picture: Path
) -> None:
    document = story(office)
    before = used(office, document, picture)["used"]
    picture.write_bytes(b"%PDF-1.7")
    told = office.desk.picture(document, picture)["reference"]
    assert "PDF" in told["fault"] and told["used"] == before
    assert office.desk.open(document["project"])["value"]["frames"][0]["action"] == "waving"


def test_a_removed_picture_can_be_brought_back(office: Office, picture: Path) -> None:
    document = follower(office)
    name = used(office, document, picture)["used"]["name"]
    assert office.desk.refer(document, "")["reference"]["used"] is None
    assert office.desk.refer(document, name)["reference"]["used"]["name"] == name
    for foreign in ("0" * 64 + ".png", "../../storyboard.json"):
        with pytest.raises(UserError):
            office.desk.refer(document, foreign)
    assert office.store.open(document["project"]).load().character.reference == name


def test_a_document_cannot_name_a_picture(office: Office, picture: Path) -> None:
    document = story(office)
    name = used(office, document, picture)["used"]["name"]
    document["character"]["reference"] = "0" * 64 + ".png"
    office.desk.save(document)
    assert office.store.open(document["project"]).load().character.reference == name


def test_the_picture_in_use_can_be_mended_further(office: Office, picture: Path) -> None:
    document = story(office)
    before = used(office, document, picture)["used"]
    told = office.desk.retouch(document)["reference"]
    assert told["open"] is True and told["used"] == before
    assert office.desk.discard(document, told["draft"]["id"])["reference"]["draft"] is None
    office.desk.refer(document, "")
    with pytest.raises(UserError, match="no picture"):
        office.desk.retouch(document)


def test_a_missing_picture_is_told_and_the_project_opens(office: Office, picture: Path) -> None:
    document = story(office)
    name = used(office, document, picture)["used"]["name"]
    project = office.store.open(document["project"])
    project.references.path(name).unlink()
    told = office.desk.open(document["project"])["reference"]
    assert "missing" in told["fault"] and told["used"] == {"name": name, "picture": None}


def test_a_damaged_draft_is_told_and_the_project_opens(office: Office, picture: Path) -> None:
    document = story(office)
    office.desk.picture(document, picture)
    (office.store.root / document["project"] / "draft" / "draft.json").write_text("{ half")
    told = office.desk.open(document["project"])["reference"]
    assert "lost" in told["fault"] and told["draft"] is None
    assert office.desk.picture(document, picture)["reference"]["draft"]["fault"] == ""


def test_frames_painted_from_another_picture_are_marked(office: Office, picture: Path) -> None:
    document = follower(office)
    used(office, document, picture)
    assert painted(office, document)[-1]["edited"] == []
    one, two = document["frames"]
    two["reference_strength"] = 0.3
    assert office.desk.save(document)["edited"] == [two["id"]]
    two["reference_strength"] = None
    drawing((20, 90, 200)).save(picture)
    draft = office.desk.picture(document, picture)["reference"]["draft"]
    assert office.desk.use(document, draft["id"], None)["edited"] == [one["id"], two["id"]]


def test_a_picture_that_the_model_may_not_follow_is_a_notice(tmp_path: Path, picture: Path) -> None:
    office = office_in(tmp_path / "projects", FakeEngine(doubt="Probably somebody else."))
    document = follower(office)
    used(office, document, picture)
    told = painted(office, document)
    assert [a["notice"]["problem"] for a in told if "notice" in a] == ["Probably somebody else."]
    assert told[-1]["progress"]["state"] == "finished"
    office.runner.close()


def test_a_network_looks_for_the_figure_after_its_terms_are_agreed_to(
    tmp_path: Path, picture: Path
) -> None:
    folder = tmp_path / "projects"
    consents = Consents(Settings(projects=folder).consents)

    def find(opened: Image.Image) -> Image.Image:
        if not consents.given(BIREFNET.source):
            raise ConsentNeeded(
                BIREFNET.source, "BiRefNet", "MIT", BIREFNET.licence_url, 1, "Code."
            )
        mask = Image.new("L", opened.size)
        mask.paste(255, (0, 0, 60, 60))
        return mask

    office = office_in(folder, FakeEngine(), find=find)
    assert office.desk.setup()["matting"] == "BiRefNet"
    document = story(office)
    draft = office.desk.picture(document, picture)["reference"]["draft"]
    office.desk.mend(document, draft["id"], address((5, 5, 20, 20), (0, 255, 0, 255)), 1)
    asked = office.desk.search(document, draft["id"])["consent"]
    assert asked["wanted"] == {"draft": draft["id"]}
    told = office.desk.consent(document, asked["key"], None, asked["wanted"]["draft"])["reference"]
    assert told["draft"]["id"] != draft["id"] and told["draft"]["strokes"] is None
    name = office.desk.use(document, told["draft"]["id"], None)["reference"]["used"]["name"]
    kept = office.store.open(document["project"]).references.load(name)
    assert kept.mask.getbbox() == (0, 0, 60, 60)
    office.runner.close()


def test_without_a_network_none_is_offered(office: Office, picture: Path) -> None:
    document = story(office)
    draft = office.desk.picture(document, picture)["reference"]["draft"]
    assert office.desk.setup()["matting"] is None
    with pytest.raises(UserError, match="no other way"):
        office.desk.search(document, draft["id"])
    with pytest.raises(UserError, match="agree"):
        office.desk.consent(document, BIREFNET.source, None, draft["id"])


# ---- models and consent


def test_a_page_knows_which_models_follow_pictures(office: Office) -> None:
    models = {model["name"]: model["subject"] for model in office.desk.setup()["models"]}
    assert models["flux1-schnell"] is None
    assert models["flux1-dev"]["strength"] == INSTANT_CHARACTER.strength
    assert models["flux1-dev"]["research_only"] is True


def test_a_model_that_cannot_follow_the_picture_says_which_can(
    office: Office, picture: Path
) -> None:
    document = story(office)
    document["settings"]["model"] = "flux1-schnell"
    used(office, document, picture)
    with pytest.raises(UserError, match="cannot use") as refused:
        office.desk.generate(document, None)
    assert FLUX1_DEV.title in refused.value.remedy
    assert office.engine.requests == []


def test_terms_are_asked_once_before_anything_is_painted(tmp_path: Path, picture: Path) -> None:
    class Careful(FakeEngine):
        """Asks for consent as the real engine does."""

        def check(self, request: Any) -> None:
            if not consents.given(INSTANT_CHARACTER.consent):
                raise ConsentNeeded(
                    INSTANT_CHARACTER.consent,
                    INSTANT_CHARACTER.title,
                    INSTANT_CHARACTER.licence,
                    INSTANT_CHARACTER.licence_url,
                    INSTANT_CHARACTER.download_bytes,
                    "For research only.",
                )

    folder = tmp_path / "projects"
    consents = Consents(Settings(projects=folder).consents)
    office = office_in(folder, Careful())
    document = follower(office)
    used(office, document, picture)
    wanted = [document["frames"][0]["id"]]
    asked = office.desk.generate(document, wanted)["consent"]
    assert (asked["terms"], asked["wanted"]) == ("For research only.", {"frames": wanted})
    assert asked["download_bytes"] > 1e9 and asked["licence_url"].startswith("https://")
    assert office.runner.active(document["project"]) is None
    for key in ("", "anything/else"):
        with pytest.raises(UserError):
            office.desk.consent(document, key, None)
    assert "consent" not in office.desk.consent(document, asked["key"], **asked["wanted"])
    list(office.desk.follow(document["project"]))
    assert office.engine.requests[0].targets == tuple(wanted)
    assert "consent" not in office.desk.generate(document, None)
    office.runner.close()


# ---- character files


def test_a_character_goes_from_one_storyboard_to_another(tmp_path: Path, picture: Path) -> None:
    kept = tmp_path / "kept.character"

    def publish(path: Path) -> str:
        if path.suffix == ".character":
            kept.write_bytes(path.read_bytes())
        return str(path)

    store, runner = Store(tmp_path / "projects"), LocalRunner(FakeEngine())
    desk = Actions(runner, store, Settings(projects=store.root), prepare_reference, None, publish)
    office = Office(desk, store, runner, FakeEngine())
    document, other = story(office), story(office)
    document["character"] |= {"name": "Zo\u00eb  Q.", "strength": 0.7}
    reference = used(office, document, picture)["used"]["name"]
    assert desk.save_character(document)["file"]["name"] == "zo\u00eb-q.character"
    answer = desk.load_character(other, kept)
    assert answer["value"]["character"] == document["character"]
    assert answer["value"]["frames"] == other["frames"]
    assert answer["reference"]["used"]["name"] == reference
    runner.close()


def test_a_file_that_is_no_character_is_refused_and_loses_nothing(
    office: Office, picture: Path
) -> None:
    document = story(office)
    with pytest.raises(UserError) as refused:
        office.desk.load_character(document, picture)
    assert str(picture) not in str(refused.value) and picture.name in str(refused.value)
    assert office.desk.open(document["project"])["value"]["character"]["description"] == "a girl"


# ---- styles


def test_styles_reach_the_painting_and_mark_what_was_painted_before(office: Office) -> None:
    document = story(office)
    painted(office, document)
    style = {"source": "owner/watercolor", "weight": 0.8, "trigger": "in watercolor"}
    document["settings"]["styles"] = [style, {"source": " ", "weight": 1, "trigger": "not yet"}]
    assert len(office.desk.save(document)["edited"]) == 2
    last = painted(office, document)[-1]
    assert last["edited"] == []
    (painted_in,) = office.engine.requests[1].styles
    assert (painted_in.source, painted_in.weight, painted_in.trigger) == tuple(style.values())
    assert office.desk.open(document["project"])["value"]["settings"]["styles"] == [style]


@pytest.mark.parametrize(
    "styles", [[{"source": "a/b", "weight": 9}], [{"source": "a/b"}] * 5, "a/b", [7]]
)
def test_styles_out_of_bounds_are_refused(office: Office, styles: Any) -> None:
    document = story(office)
    office.desk.save(document)
    document["settings"]["styles"] = styles
    with pytest.raises(UserError):
        office.desk.save(document)


def test_strangers_name_no_files_of_this_machine(tmp_path: Path) -> None:
    space = office_in(tmp_path / "projects", FakeEngine(), space=True)
    document = story(space)
    for source in ("/etc/passwd", "../x.safetensors", "x.safetensors", "~/a/b", "a/../b"):
        document["settings"]["styles"] = [{"source": source}]
        with pytest.raises(UserError, match="Hugging Face hub"):
            space.desk.save(document)
    for source in ("owner/name", "owner/name/file.safetensors"):
        document["settings"]["styles"] = [{"source": source}]
        space.desk.save(document)
    space.runner.close()

"""Actions on the character's picture and file, styles, and consent to downloads."""

from __future__ import annotations

import base64
import threading
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image, ImageDraw

from pipelines.errors import UserError
from pipelines.models.catalog import BIREFNET, FLUX1_DEV, INSTANT_CHARACTER
from pipelines.pictures import png_bytes
from storyboard.errors import ConsentNeeded
from storyboard.settings import Settings
from storyboard.storage.character_file import save_character
from storyboard.storage.consents import Consents
from tests.pipelines.pictures import drawing
from tests.storyboard.api.backend import (
    Backend,
    backend_in,
    ended,
    outdated,
    rendered,
    saved,
    stored_story,
    story,
)
from tests.storyboard.fakes import FakeEngine


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "drawn.png"
    drawing().save(path)
    return path


def reference_story(backend: Backend) -> dict[str, Any]:
    """Return a story whose model can use a reference picture."""
    document = story(backend)
    document["settings"]["model"] = FLUX1_DEV.name
    saved(backend, document)
    return document


def used(backend: Backend, document: dict[str, Any], picture: Path) -> dict[str, Any]:
    """Upload a picture and use it; return the page's reference."""
    draft = backend.character.upload_picture(document["project"], picture)["reference"]["draft"]
    answer = backend.character.use_picture(document["project"], draft["id"], "")
    return cast(dict[str, Any], answer["reference"])


def address(box: tuple[int, int, int, int], colour: tuple[int, int, int, int]) -> str:
    sheet = Image.new("RGBA", (120, 128))
    ImageDraw.Draw(sheet).rectangle(box, fill=colour)
    return "data:image/png;base64," + base64.b64encode(png_bytes(sheet)).decode()


# ---- the picture


def test_an_upload_is_shown_before_it_is_used(backend: Backend, picture: Path) -> None:
    document = stored_story(backend)
    reference = backend.character.upload_picture(document["project"], picture)["reference"]
    assert reference["used"] is None and reference["draft"]["fault"] == ""
    project = backend.store.open(document["project"])
    prepared = reference["draft"]["prepared"]["at"].removeprefix(f"boards/{project.id}/")
    assert (project.path / prepared).is_file()
    assert backend.store.open(document["project"]).load().character.reference == ""
    again = backend.actions.open(document["project"])["reference"]
    assert again == reference


def test_frames_are_rendered_with_the_reference_in_use(backend: Backend, picture: Path) -> None:
    document = reference_story(backend)
    reference = used(backend, document, picture)
    assert reference["draft"] is None
    name = reference["used"]["name"]
    document["character"] |= {"description": "", "strength": 0.5}
    document["frames"][1]["reference_strength"] = 1.5
    rendered(backend, document)
    frames = backend.engine.requests[0].frames
    assert [frame.reference for frame in frames] == [name, name]
    assert [frame.reference_strength for frame in frames] == [0.5, 1.5]
    folder = backend.store.open(document["project"]).references.folder
    assert backend.engine.pictures == [folder] and (folder / name).is_file()
    assert backend.actions.open(document["project"])["reference"]["used"]["name"] == name


def test_the_last_stroke_is_in_what_is_used(backend: Backend, picture: Path) -> None:
    document = stored_story(backend)
    draft = backend.character.upload_picture(document["project"], picture)["reference"]["draft"]
    marks = address((5, 5, 20, 20), (0, 255, 0, 255))
    answer = backend.character.edit_mask(document["project"], draft["id"], marks)["reference"]
    # The name is that of the content.
    assert answer["draft"]["prepared"]["at"] != draft["prepared"]["at"]
    more = address((5, 5, 20, 40), (0, 255, 0, 255))
    name = backend.character.use_picture(document["project"], draft["id"], more)["reference"][
        "used"
    ]["name"]
    mask = backend.store.open(document["project"]).references.load(name).mask
    assert mask.getpixel((12, 35)) == 255


def test_strokes_that_come_too_late_change_nothing(backend: Backend, picture: Path) -> None:
    document = stored_story(backend)
    draft = backend.character.upload_picture(document["project"], picture)["reference"]["draft"]
    before = backend.character.use_picture(document["project"], draft["id"], "")["reference"]
    late = backend.character.edit_mask(
        document["project"], draft["id"], address((0, 0, 9, 9), (0, 255, 0, 255))
    )
    assert late["reference"]["used"] == before["used"]
    assert late["reference"]["draft"] is None


def test_a_late_answer_gives_the_current_state(tmp_path: Path, picture: Path) -> None:
    """The picture is used while the network still runs, whose answer comes last."""
    begun, go_on = threading.Event(), threading.Event()

    def find(opened: Image.Image) -> Image.Image:
        begun.set()
        assert go_on.wait(20)
        return Image.new("L", opened.size, 255)

    backend = backend_in(tmp_path / "projects", FakeEngine(), find=find)
    document = stored_story(backend)
    draft = backend.character.upload_picture(document["project"], picture)["reference"]["draft"]
    late: list[dict[str, Any]] = []
    searching = threading.Thread(
        target=lambda: late.append(
            backend.character.find_figure(document["project"], draft["id"])["reference"]
        )
    )
    searching.start()
    assert begun.wait(20)
    reference = backend.character.use_picture(document["project"], draft["id"], "")["reference"]
    go_on.set()
    searching.join()
    assert (late[0]["used"], late[0]["draft"]) == (reference["used"], None)
    backend.runner.close()


@pytest.mark.parametrize("sent", ["", "x", "data:image/png;base64,?", "data:image/png;base64,eA=="])
def test_what_is_no_mask_is_refused(backend: Backend, picture: Path, sent: str) -> None:
    document = stored_story(backend)
    draft = backend.character.upload_picture(document["project"], picture)["reference"]["draft"]
    with pytest.raises(UserError, match="not a mask"):
        backend.character.edit_mask(document["project"], draft["id"], sent)
    assert backend.actions.open(document["project"])["reference"]["draft"] == draft


def test_a_picture_that_cannot_be_used_is_reported_and_nothing_is_lost(
    backend: Backend, picture: Path
) -> None:
    document = stored_story(backend)
    before = used(backend, document, picture)["used"]
    picture.write_bytes(b"%PDF-1.7")
    reference = backend.character.upload_picture(document["project"], picture)["reference"]
    assert "PDF" in reference["fault"] and reference["used"] == before
    assert backend.actions.open(document["project"])["board"]["frames"][0]["action"] == "waving"


def test_a_removed_picture_can_be_brought_back(backend: Backend, picture: Path) -> None:
    document = reference_story(backend)
    name = used(backend, document, picture)["used"]["name"]
    assert backend.character.set_reference(document["project"], "")["reference"]["used"] is None
    assert (
        backend.character.set_reference(document["project"], name)["reference"]["used"]["name"]
        == name
    )
    for foreign in ("0" * 64 + ".png", "../../storyboard.json"):
        with pytest.raises(UserError):
            backend.character.set_reference(document["project"], foreign)
    assert backend.store.open(document["project"]).load().character.reference == name


def test_a_document_cannot_name_a_picture(backend: Backend, picture: Path) -> None:
    document = stored_story(backend)
    name = used(backend, document, picture)["used"]["name"]
    document["character"]["reference"] = "0" * 64 + ".png"
    saved(backend, document)
    assert backend.store.open(document["project"]).load().character.reference == name


def test_the_mask_of_the_picture_in_use_can_be_edited(backend: Backend, picture: Path) -> None:
    document = stored_story(backend)
    before = used(backend, document, picture)["used"]
    reference = backend.character.reopen_picture(document["project"])["reference"]
    assert reference["used"] == before and reference["draft"]["strokes"] is None
    assert (
        backend.character.discard_picture(document["project"], reference["draft"]["id"])[
            "reference"
        ]["draft"]
        is None
    )
    backend.character.set_reference(document["project"], "")
    with pytest.raises(UserError, match="no picture"):
        backend.character.reopen_picture(document["project"])


def test_a_missing_picture_is_reported_and_the_project_opens(
    backend: Backend, picture: Path
) -> None:
    document = stored_story(backend)
    name = used(backend, document, picture)["used"]["name"]
    project = backend.store.open(document["project"])
    project.references.path(name).unlink()
    reference = backend.actions.open(document["project"])["reference"]
    assert "missing" in reference["fault"] and reference["used"] == {"name": name, "picture": None}


def test_a_damaged_draft_is_reported_and_the_project_opens(backend: Backend, picture: Path) -> None:
    document = stored_story(backend)
    backend.character.upload_picture(document["project"], picture)
    (backend.store.root / document["project"] / "draft" / "draft.json").write_text("{ half")
    reference = backend.actions.open(document["project"])["reference"]
    assert "lost" in reference["fault"] and reference["draft"] is None
    assert (
        backend.character.upload_picture(document["project"], picture)["reference"]["draft"][
            "fault"
        ]
        == ""
    )


def test_frames_rendered_with_another_picture_are_marked(backend: Backend, picture: Path) -> None:
    document = reference_story(backend)
    used(backend, document, picture)
    assert outdated(rendered(backend, document)) == []
    one, two = document["frames"]
    two["reference_strength"] = 0.3
    assert outdated(saved(backend, document)) == [two["id"]]
    two["reference_strength"] = None
    drawing((20, 90, 200)).save(picture)
    draft = backend.character.upload_picture(document["project"], picture)["reference"]["draft"]
    answer = backend.character.use_picture(document["project"], draft["id"], "")
    assert outdated(answer) == [one["id"], two["id"]]


def test_a_doubtful_reference_is_a_notice(tmp_path: Path, picture: Path) -> None:
    backend = backend_in(tmp_path / "projects", FakeEngine(doubt="Probably somebody else."))
    document = reference_story(backend)
    used(backend, document, picture)
    progress = rendered(backend, document)["progress"]
    assert [(n["frame"], n["problem"]) for n in progress["notices"]] == [
        (None, "Probably somebody else.")
    ]
    assert progress["state"] == "finished"
    backend.runner.close()


def test_a_network_finds_the_figure_after_its_terms_are_agreed_to(
    tmp_path: Path, picture: Path
) -> None:
    folder = tmp_path / "projects"
    consents = Consents(Settings(projects=folder).consents)

    def find(opened: Image.Image) -> Image.Image:
        if not consents.given(BIREFNET.consent):
            raise ConsentNeeded(BIREFNET.consent, BIREFNET, "Code.")
        mask = Image.new("L", opened.size)
        mask.paste(255, (0, 0, 60, 60))
        return mask

    backend = backend_in(folder, FakeEngine(), find=find)
    assert backend.actions.setup()["matting"] == "BiRefNet"
    document = stored_story(backend)
    draft = backend.character.upload_picture(document["project"], picture)["reference"]["draft"]
    project = document["project"]
    backend.character.edit_mask(project, draft["id"], address((5, 5, 20, 20), (0, 255, 0, 255)))
    with pytest.raises(ConsentNeeded) as asked:
        backend.character.find_figure(project, draft["id"])
    backend.actions.give_consent(asked.value.key)
    reference = backend.character.find_figure(project, draft["id"])["reference"]
    assert reference["draft"]["id"] != draft["id"] and reference["draft"]["strokes"] is None
    used = backend.character.use_picture(project, reference["draft"]["id"], "")["reference"]["used"]
    name = used["name"]
    kept = backend.store.open(document["project"]).references.load(name)
    assert kept.mask.getbbox() == (0, 0, 60, 60)
    backend.runner.close()


def test_without_a_network_none_is_offered(backend: Backend, picture: Path) -> None:
    document = stored_story(backend)
    draft = backend.character.upload_picture(document["project"], picture)["reference"]["draft"]
    assert backend.actions.setup()["matting"] is None
    with pytest.raises(UserError, match="no other way"):
        backend.character.find_figure(document["project"], draft["id"])
    with pytest.raises(UserError, match="agree"):
        backend.actions.give_consent(BIREFNET.consent)


# ---- models and consent


def test_a_page_knows_which_models_use_references(backend: Backend) -> None:
    models = {model["name"]: model["subject"] for model in backend.actions.setup()["models"]}
    assert models["flux1-schnell"] is None
    assert models["flux1-dev"]["strength"] == INSTANT_CHARACTER.strength
    assert models["flux1-dev"]["research_only"] is True


def test_a_model_that_cannot_use_references_names_those_that_can(
    backend: Backend, picture: Path
) -> None:
    document = stored_story(backend)
    document["settings"]["model"] = "flux1-schnell"
    saved(backend, document)
    used(backend, document, picture)
    with pytest.raises(UserError, match="cannot use") as refused:
        backend.actions.generate(document["project"])
    assert FLUX1_DEV.title in refused.value.remedy
    assert backend.engine.requests == []


def test_terms_are_asked_once_before_anything_is_rendered(tmp_path: Path, picture: Path) -> None:
    class Careful(FakeEngine):
        """Engine that asks for consent as the real one does."""

        def check(self, request: Any) -> None:
            if not consents.given(INSTANT_CHARACTER.consent):
                raise ConsentNeeded(
                    INSTANT_CHARACTER.consent, INSTANT_CHARACTER, "For research only."
                )

    folder = tmp_path / "projects"
    consents = Consents(Settings(projects=folder).consents)
    backend = backend_in(folder, Careful())
    document = reference_story(backend)
    used(backend, document, picture)
    wanted = [document["frames"][0]["id"]]
    with pytest.raises(ConsentNeeded, match="For research only") as asked:
        backend.actions.generate(document["project"], wanted)
    assert asked.value.download_bytes > 1e9 and asked.value.licence_url.startswith("https://")
    assert backend.runner.active(document["project"]) is None
    for key in ("", "anything/else"):
        with pytest.raises(UserError):
            backend.actions.give_consent(key)
    backend.actions.give_consent(asked.value.key)
    backend.actions.generate(document["project"], wanted)
    ended(backend, document["project"])
    assert backend.engine.requests[0].targets == tuple(wanted)
    assert "job" in backend.actions.generate(document["project"])
    backend.runner.close()


# ---- character files


def test_a_character_goes_from_one_storyboard_to_another(tmp_path: Path, picture: Path) -> None:
    backend = backend_in(tmp_path / "projects", FakeEngine())
    actions = backend.actions
    document, other = stored_story(backend), stored_story(backend)
    document["character"] |= {"name": "Zo\u00eb  Q.", "strength": 0.7}
    saved(backend, document)
    reference = used(backend, document, picture)["used"]["name"]
    answer = actions.character.save_character(document["project"])
    assert answer["name"] == "zo\u00eb-q.character"
    assert document["project"] in answer["file"]["at"]  # what it gives: see test_routes.py
    kept = tmp_path / "kept.character"
    save_character(backend.store.open(document["project"]), kept)
    answer = actions.character.load_character(other["project"], kept)
    assert answer["board"]["character"] == document["character"]
    assert answer["board"]["frames"] == other["frames"]
    assert answer["reference"]["used"]["name"] == reference
    backend.runner.close()


def test_a_character_of_which_nothing_is_known_cannot_be_saved(backend: Backend) -> None:
    document = story(backend)
    document["character"]["description"] = " "
    saved(backend, document)
    with pytest.raises(UserError, match="no character to save"):
        backend.character.save_character(document["project"])


def test_a_file_that_is_no_character_is_refused_and_loses_nothing(
    backend: Backend, picture: Path
) -> None:
    document = stored_story(backend)
    with pytest.raises(UserError, match=picture.name):
        backend.character.load_character(document["project"], picture)
    assert (
        backend.actions.open(document["project"])["board"]["character"]["description"] == "a girl"
    )


# ---- styles


def test_styles_reach_the_render_and_mark_older_takes(backend: Backend) -> None:
    document = stored_story(backend)
    rendered(backend, document)
    style = {"source": "owner/watercolor", "weight": 0.8, "trigger": "in watercolor"}
    document["settings"]["styles"] = [style, {"source": " ", "weight": 1, "trigger": "not yet"}]
    assert len(outdated(saved(backend, document))) == 2
    assert outdated(rendered(backend, document)) == []
    (style_in,) = backend.engine.requests[1].styles
    assert (style_in.source, style_in.weight, style_in.trigger) == tuple(style.values())
    assert backend.actions.open(document["project"])["board"]["settings"]["styles"] == [style]


@pytest.mark.parametrize(
    "styles", [[{"source": "a/b", "weight": 9}], [{"source": "a/b"}] * 5, "a/b", [7]]
)
def test_styles_out_of_bounds_are_refused(backend: Backend, styles: Any) -> None:
    document = stored_story(backend)
    saved(backend, document)
    document["settings"]["styles"] = styles
    with pytest.raises(UserError):
        saved(backend, document)


def test_strangers_name_no_files_of_this_machine(tmp_path: Path) -> None:
    listed = ("owner/name", "ann/ink/one.safetensors")
    space = backend_in(tmp_path / "projects", FakeEngine(), space=True, loras=listed)
    document = stored_story(space)
    for source in (
        *("/etc/passwd", "../x.safetensors", "x.safetensors", "~/a/b", "a/../b", "other/private"),
        *("owner/names", "owner", "ann/ink", "ann/ink/two.safetensors", "x/owner/name"),
    ):
        document["settings"]["styles"] = [{"source": source}]
        with pytest.raises(UserError, match="cannot be chosen here.*ann/ink/one.safetensors, own"):
            saved(space, document)
    for source in ("owner/name", "owner/name/file.safetensors", "ann/ink/one.safetensors"):
        document["settings"]["styles"] = [{"source": source}]
        saved(space, document)
    space.runner.close()

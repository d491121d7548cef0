"""Drafts of reference pictures: begun, mended and used, with the real preparation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pipelines.errors import PictureError, UserError
from pipelines.pictures import png_bytes
from pipelines.reference.from_upload import prepare_reference
from storyboard.errors import ProjectError
from storyboard.storage.drafts import VIEW_SIDE, Drafts
from tests.pipelines.pictures import BOX, drawing, reference

GREEN, RED = (0, 255, 0, 255), (255, 0, 0, 255)


@pytest.fixture
def drafts(tmp_path: Path) -> Drafts:
    return Drafts(tmp_path / "draft", prepare_reference)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "drawn.png"
    drawing().save(path)
    return path


def strokes(*boxes: tuple[tuple[int, int, int, int], tuple[int, int, int, int]]) -> bytes:
    sheet = Image.new("RGBA", (120, 128))
    for box, colour in boxes:
        ImageDraw.Draw(sheet).rectangle(box, fill=colour)
    return png_bytes(sheet)


def mended(drafts: Drafts) -> np.ndarray:
    draft = drafts.current()
    assert draft is not None
    return np.asarray(Image.open(draft.mended)) > 128


def test_the_figure_is_found_and_shown_on_white(drafts: Drafts, picture: Path) -> None:
    assert drafts.current() is None
    drafts.begin(picture)
    draft = drafts.current()
    assert draft is not None and draft.prepared is not None
    assert (draft.size, draft.strokes, draft.fault) == ((120, 128), None, "")
    left, top, right, bottom = BOX
    assert mended(drafts)[top + 4 : bottom - 4, left + 4 : right - 4].all()
    assert not mended(drafts)[:, : left - 4].any()
    prepared = Image.open(draft.prepared)
    assert prepared.width == prepared.height == pytest.approx(bottom - top, abs=4)
    assert prepared.getpixel((0, 0)) == (255, 255, 255)


def test_strokes_add_and_remove_and_are_kept(drafts: Drafts, picture: Path) -> None:
    drafts.begin(picture)
    first = drafts.current()
    assert first is not None
    drafts.mend(first.id, strokes(((5, 5, 20, 20), GREEN), ((50, 40, 60, 50), RED)))
    mask = mended(drafts)
    assert mask[10, 10] and not mask[45, 55] and mask[60, 60]
    draft = drafts.current()
    assert draft is not None and draft.strokes is not None
    assert draft.prepared != first.prepared and draft.view == first.view
    # The next strokes replace all of them: what is not among them is undone.
    drafts.mend(first.id, strokes(((5, 5, 20, 20), GREEN)))
    assert mended(drafts)[10, 10] and mended(drafts)[45, 55]


def test_a_used_draft_is_what_was_shown(drafts: Drafts, picture: Path) -> None:
    drafts.begin(picture)
    draft = drafts.current()
    assert draft is not None
    drafts.mend(draft.id, strokes(((5, 5, 20, 20), GREEN)))
    shown = drafts.current()
    assert shown is not None and shown.prepared is not None
    assert drafts.finish(draft.id).name == shown.prepared.name
    drafts.discard(draft.id)
    assert drafts.current() is None


def test_a_new_picture_replaces_the_old_and_leaves_nothing_behind(
    drafts: Drafts, picture: Path
) -> None:
    drafts.begin(picture)
    old = drafts.current()
    drawing((20, 90, 200)).save(picture)
    drafts.begin(picture)
    new = drafts.current()
    assert old is not None and new is not None and new.prepared is not None
    kept = {path.name for path in picture.parent.joinpath("draft").iterdir()}
    parts = {f"{new.id}.{part}.png" for part in ("source", "mask", "view", "mended")}
    assert kept == parts | {"draft.json", new.prepared.name}
    drafts.mend(old.id, strokes(((0, 0, 119, 127), RED)))
    drafts.discard(old.id)
    assert drafts.current() == new
    with pytest.raises(UserError, match="replaced"):
        drafts.finish(old.id)


def test_a_picture_without_a_figure_can_be_masked_by_hand(drafts: Drafts, picture: Path) -> None:
    Image.new("RGB", (120, 128), (240, 240, 240)).save(picture)
    drafts.begin(picture)
    draft = drafts.current()
    assert draft is not None and draft.prepared is None
    assert "brush" in draft.fault
    drafts.mend(draft.id, strokes(((20, 20, 80, 100), GREEN)))
    draft = drafts.current()
    assert draft is not None and draft.prepared is not None and draft.fault == ""
    drafts.mend(draft.id, strokes(((0, 0, 119, 127), RED)))
    draft = drafts.current()
    assert draft is not None and draft.prepared is None and draft.fault
    with pytest.raises(PictureError):
        drafts.finish(draft.id)


def test_a_file_that_is_no_picture_leaves_the_draft(drafts: Drafts, picture: Path) -> None:
    drafts.begin(picture)
    before = drafts.current()
    picture.write_bytes(b"<html>")
    with pytest.raises(PictureError, match="web page"):
        drafts.begin(picture)
    assert drafts.current() == before


def test_a_picture_in_use_becomes_a_draft_with_its_mask(drafts: Drafts) -> None:
    drafts.resume(reference())
    draft = drafts.current()
    assert draft is not None
    assert mended(drafts).sum() == np.asarray(reference().mask).astype(bool).sum()
    # There are no strokes, and the prepared picture is the one in use.
    assert drafts.finish(draft.id).name == reference().name


def test_a_large_picture_is_shown_smaller_and_mended_at_its_own_size(
    drafts: Drafts, picture: Path
) -> None:
    drawing().resize((1200, 1280), Image.Resampling.NEAREST).save(picture)
    drafts.begin(picture)
    draft = drafts.current()
    assert draft is not None and draft.size == (960, VIEW_SIDE)
    sheet = Image.new("RGBA", draft.size)
    ImageDraw.Draw(sheet).rectangle((40, 40, 160, 160), fill=GREEN)
    drafts.mend(draft.id, png_bytes(sheet))
    made = drafts.finish(draft.id)
    assert made.mask.size == (1200, 1280)
    assert made.mask.getpixel((125, 125)) == 255 and made.mask.getpixel((20, 20)) == 0


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GIF89a",
        png_bytes(Image.new("RGBA", (60, 64))),
        png_bytes(Image.new("L", (120, 128))),
        strokes(((5, 5, 20, 20), GREEN))[:60],
    ],
)
def test_a_bad_mask_changes_nothing(drafts: Drafts, picture: Path, sent: bytes) -> None:
    drafts.begin(picture)
    before = drafts.current()
    assert before is not None
    with pytest.raises(UserError, match="not a mask"):
        drafts.mend(before.id, sent)
    assert drafts.current() == before


def test_a_damaged_draft_is_reported(drafts: Drafts, picture: Path) -> None:
    drafts.begin(picture)
    (picture.parent / "draft" / "draft.json").write_text("{ half")
    with pytest.raises(ProjectError, match="damaged"):
        drafts.current()


@pytest.mark.parametrize("name", ["draft.json", "source", "mask", "view", "mended", "strokes"])
@pytest.mark.parametrize("how", ["empty", "a folder", "a link to itself", "missing"])
def test_a_damaged_draft_is_told_and_the_next_picture_takes_its_place(
    drafts: Drafts, picture: Path, tmp_path: Path, name: str, how: str
) -> None:
    drafts.begin(picture)
    draft = drafts.current()
    assert draft is not None
    drafts.mend(draft.id, strokes(((0, 0, 20, 20), GREEN)))
    path = tmp_path / "draft" / (name if "." in name else f"{draft.id}.{name}.png")
    path.unlink()
    match how:
        case "empty":
            path.write_bytes(b"")
        case "a folder":
            path.mkdir()
        case "a link to itself":
            path.symlink_to(path)
    if how != "missing" or name not in ("draft.json", "strokes"):
        with pytest.raises(ProjectError) as caught:
            drafts.current()
        assert path.name in str(caught.value) and caught.value.remedy
    drafts.begin(picture)
    again = drafts.current()
    assert again is not None and again.prepared is not None
    assert not path.exists() or name == "draft.json"


@pytest.mark.parametrize(
    "change",
    [
        {"width": None},
        {"width": 10**30},
        {"height": 0},
        {"id": "../../away"},
        {"prepared": "../../away.png"},
        {"doubt": ["a"]},
    ],
)
def test_a_record_that_no_draft_could_have_is_damaged(
    drafts: Drafts, picture: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    drafts.begin(picture)
    path = tmp_path / "draft" / "draft.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ProjectError, match="damaged"):
        drafts.current()

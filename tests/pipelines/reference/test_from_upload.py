"""References of uploaded pictures: figures cut out, by strokes too, and pictures without one."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.errors import NoFigureFound, PictureError
from pipelines.reference.from_upload import prepare_reference
from tests.pipelines.pictures import BOX, drawing, mask_of_drawing, reference

RED = (200, 30, 30)


def png(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def test_a_figure_is_cut_out_and_put_on_white(tmp_path: Path) -> None:
    (tmp_path / "hero.png").write_bytes(png(drawing()))
    prepared = prepare_reference(tmp_path / "hero.png")
    left, top, right, bottom = BOX
    assert prepared.source.tobytes() == drawing().tobytes()
    found = np.asarray(prepared.mask) > 128
    assert found.sum() == pytest.approx((right - left) * (bottom - top), rel=0.05)
    assert found[top + 5 : bottom - 5, left + 5 : right - 5].all()
    assert prepared.image.width == prepared.image.height == pytest.approx(bottom - top, abs=4)
    side = prepared.image.width
    assert prepared.image.getpixel((side // 2, side // 2)) == RED
    assert prepared.image.getpixel((2, side // 2)) == (255, 255, 255)
    assert not prepared.doubt
    assert prepare_reference(png(drawing())).name == prepared.name
    assert prepare_reference(drawing()).name == prepared.name


def test_a_given_mask_and_the_strokes_of_a_brush_decide() -> None:
    whole = prepare_reference(drawing(), mask_of_drawing())
    assert whole.name == reference().name
    lower = Image.new("L", whole.source.size)
    lower.paste(255, (0, 68, 120, 128))
    upper_half = prepare_reference(drawing(), mask_of_drawing(), removed=lower)
    assert upper_half.image.size == (44, 44)
    back = prepare_reference(drawing(), upper_half.mask, added=mask_of_drawing())
    assert back.name == whole.name
    assert prepare_reference(drawing(), mask_of_drawing(), added=lower, removed=lower).mask == (
        upper_half.mask
    )


def test_a_mask_of_the_whole_picture_is_doubted() -> None:
    everything = Image.new("L", drawing().size, 255)
    assert "all four borders" in prepare_reference(drawing(), everything).doubt


def test_a_large_picture_gives_a_reference_of_at_most_1024_pixels() -> None:
    large = drawing().resize((1920, 2048), Image.Resampling.NEAREST)
    prepared = prepare_reference(large, Image.new("L", large.size, 255))
    assert prepared.image.size == (1024, 1024)
    assert prepared.source.size == (1920, 2048)


def test_a_picture_without_a_figure_can_be_given_one_with_strokes() -> None:
    with pytest.raises(NoFigureFound, match="brush") as caught:
        prepare_reference(drawing(), Image.new("L", drawing().size))
    fault = caught.value
    assert fault.source.tobytes() == drawing().tobytes()
    assert (fault.mask.mode, fault.mask.size) == ("L", drawing().size)
    mended = prepare_reference(fault.source, fault.mask, added=mask_of_drawing())
    assert mended.name == reference().name
    plain = Image.new("RGB", (90, 90), (240, 240, 240))
    with pytest.raises(NoFigureFound):
        prepare_reference(plain)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"%PDF-1.7", "PDF"),
        (png(drawing())[:200], "damaged"),
        (png(Image.new("RGB", (20, 20))), "too small"),
    ],
)
def test_a_picture_that_cannot_be_opened_is_an_error(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "hero.png"
    path.write_bytes(content)
    for picture, name in ((path, "hero.png"), (content, "The picture")):
        with pytest.raises(PictureError, match=words) as caught:
            prepare_reference(picture)
        assert name in str(caught.value)
        assert not isinstance(caught.value, NoFigureFound)
    with pytest.raises(PictureError, match="cannot be opened"):
        prepare_reference(tmp_path / "none.png")


def test_another_function_can_find_the_figure() -> None:
    seen: list[Image.Image] = []

    def find(picture: Image.Image) -> Image.Image:
        seen.append(picture)
        return mask_of_drawing()

    assert prepare_reference(png(drawing()), find=find).name == reference().name
    assert [picture.tobytes() for picture in seen] == [drawing().tobytes()]
    everything = Image.new("L", drawing().size, 255)
    assert prepare_reference(drawing(), everything, find=find).mask == everything
    assert len(seen) == 1

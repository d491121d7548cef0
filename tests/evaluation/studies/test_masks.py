"""The mask benchmark on a tiny model and a tiny judge, and its numbers where masks are perfect."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from evaluation.studies import masks
from evaluation.studies.agreement import LABELS, TokenTruth
from evaluation.studies.match_sheet import MASK, SAME, TRUTH, match_sheet
from evaluation.studies.stories import (
    JudgedPicture,
    RenderedStory,
    render_story,
    story_prompts,
    story_request,
)
from miniature.judge.attributes import FIGURE_VALUES, SCENE_VALUES
from miniature.judge.network import JudgeNetwork, JudgeSizes
from miniature.judge.reading import Judge, save_judge
from miniature.world.vocabulary import Part
from pipelines.events import TokenMatches
from pipelines.models.catalog import MINIATURE
from pipelines.request import Prompt
from tests.pipelines.tiny import SEQUENCE, tiny_pipeline

SPEC = replace(MINIATURE, width=96, height=64, steps=4, true_cfg_scale=1.0)


@pytest.fixture(scope="module")
def judge() -> Judge:
    torch.manual_seed(0)
    sizes = JudgeSizes(finder=(8, 8, 8, 8), reader=(8, 8, 8, 8), mixed=8, crop=32, embedding=8)
    return Judge(JudgeNetwork(sizes, len(Part) - 1, SCENE_VALUES, FIGURE_VALUES))


def picture(mask: np.ndarray, truth: np.ndarray, parts: np.ndarray, matched: bool) -> JudgedPicture:
    matches = {}
    if matched:
        itself = np.arange(mask.size).reshape(mask.shape)
        found = TokenMatches(itself, np.full(mask.shape, 0.9, np.float32))
        matches = {"probe": found, "render": found}
    return JudgedPicture(
        image=np.zeros((64, 96, 3), np.uint8),
        prompt=Prompt("on a beach,", "a girl,", "running"),
        mask=mask,
        raw=mask,
        matches=matches,
        truth=TokenTruth(truth, np.where(truth, parts, 0).astype(np.uint8)),
    )


def story(*, shift: int = 0) -> RenderedStory:
    """Two frames of one figure; the masks, but not the matches, are off by some tokens."""
    truth = np.zeros((4, 6), bool)
    truth[:, 1:3] = True
    parts = np.repeat([[Part.HAIR], [Part.TORSO], [Part.LEFT_SHIN], [Part.SHOE]], 6, axis=1)
    found = np.roll(truth, shift, axis=1)
    return RenderedStory(picture(found, truth, parts, False), picture(found, truth, parts, True))


def values(rows) -> dict[str, float]:
    return {name: interval.value for name, interval in rows}


def test_perfect_masks_and_matches_score_one():
    found = values(masks.mask_rows([story(), story()]))
    assert found["IoU of the masks as the pipeline uses them"] == 1
    assert found["IoU of the raw masks, no cleanup"] == 1
    assert found["precision of the masks in use, over tokens"] == 1
    # Two columns of tokens are too thin for the published cleanup: it leaves nothing of them.
    assert found["IoU of the true masks, erosion 3, dilation 5 (published)"] == 0
    for row in masks.match_rows([story(), story()], threshold=0.5):
        assert (row.agreement.value, row.count) == (1, 16)
        assert row.chance.value == pytest.approx(0.25)


def test_masks_that_are_off_by_one_column():
    found = values(masks.mask_rows([story(), story(shift=1)]))
    assert found["IoU of the masks as the pipeline uses them"] == pytest.approx((1 + 1 / 3) / 2)
    assert found["precision of the masks in use, over tokens"] == pytest.approx(0.75)
    assert found["recall of the masks in use, over tokens"] == pytest.approx(0.75)


def test_tokens_below_the_threshold_are_left_out():
    rows = list(masks.match_rows([story()], threshold=0.95))
    counted = {row.tokens: row.count for row in rows}
    assert counted["all foreground"] == 8
    assert counted["similarity above 0.95"] == 0
    empty = [row for row in rows if row.tokens != "all foreground"]
    assert empty and all(row.agreement is None for row in empty)


def test_both_frames_of_a_story_have_the_same_description_and_always_the_same_words():
    first, second = story_prompts(3)
    assert first.character and first.character == second.character
    assert first != second
    assert story_prompts(3) == (first, second)
    assert story_prompts(4) != (first, second)


def test_a_story_is_rendered_with_the_models_settings_and_read_by_the_judge(judge):
    request = story_request(SPEC, 0)
    assert request.consistency == SPEC.consistency_for(SPEC.steps)
    assert [frame.identity_from for frame in request.frames] == [None, "identity"]
    rendered = render_story(tiny_pipeline(), request, judge, SEQUENCE)
    assert rendered.identity.matches == {}
    assert set(rendered.second.matches) == {"probe", "render"}
    for index, frame in enumerate(rendered.pictures):
        assert frame.image.shape == (64, 96, 3)
        assert frame.prompt == request.frames[index].prompt
        assert frame.mask.shape == frame.raw.shape == frame.truth.parts.shape == (4, 6)
        reading = judge.read(frame.image[None])
        share = reading.foreground[0].view(4, 16, 6, 16).float().mean((1, 3)).numpy()
        assert np.array_equal(frame.truth.foreground, share > 0.5)


def test_the_report_names_what_it_counted(judge):
    stories = [story(), story(shift=1)]
    text = masks.report(SPEC, stories, masks.judge_row(judge, 2, (16, 16)))
    assert text.startswith("4 pictures of 2 stories")
    assert "| IoU of the masks as the pipeline uses them | 0.667 (0.333 to 1.000) |" in text
    assert len(re.findall("^. render pass", text, re.MULTILINE)) == 3 * len(LABELS)
    assert "the judge's IoU on drawn pictures" in text


def test_the_sheet_shows_masks_truth_and_matches():
    sheet = match_sheet([story(shift=1)] * 3, threshold=0.5)
    colours = {colour for _, colour in sheet.getcolors(sheet.width * sheet.height)}
    assert isinstance(sheet, Image.Image)
    assert {MASK, TRUTH, SAME} <= colours


def test_the_command_prints_the_tables_and_writes_them_with_the_sheet(judge, tmp_path, capsys):
    model, truth = tmp_path / "model", tmp_path / "judge"
    tiny_pipeline().save_pretrained(model)
    save_judge(judge.network, truth)
    out, sheet = tmp_path / "masks.md", tmp_path / "sheet.png"
    where = ["--model", model, "--judge", truth, "--out", out, "--sheet", sheet]
    assert masks.main(["--pictures", "4", *map(str, where)]) == 0
    assert out.read_text() == capsys.readouterr().out
    assert out.read_text().startswith(f"4 pictures of 2 stories, rendered by {model}: 64x64")
    with Image.open(sheet) as drawn:
        assert drawn.width > 4 * 64


def test_half_a_story_is_no_story():
    with pytest.raises(SystemExit):
        masks.main(["--pictures", "1"])

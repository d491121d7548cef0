"""Requests: round trips through JSON, and what they refuse."""

import json
from dataclasses import replace

import pytest

from pipelines.request import (
    ConsistencySettings,
    FrameRequest,
    Prompt,
    RenderRequest,
    Shortcuts,
    StyleLora,
)

PROMPT = Prompt("on a beach,", "a girl,", "running")
FIRST = FrameRequest("a", PROMPT, seed=1, width=256, height=192)
SECOND = FrameRequest("b", PROMPT, 2, 256, 192, identity_from="a", background_from="a")
WHOLE = RenderRequest("miniature", (FIRST, SECOND), ("b",), steps=20)
PICTURE, OTHER = "0123456789abcdef" * 4 + ".png", "f" * 64 + ".png"


def test_a_request_survives_json():
    settings = ConsistencySettings(merge=False, merge_weight=0.25, mask_erode=1, mask_dilate=3)
    wanted = replace(
        WHOLE,
        frames=(replace(FIRST, reference=PICTURE, reference_strength=0.75), SECOND),
        consistency=settings,
        true_cfg_scale=2.5,
        negative_prompt="blurry",
        styles=(StyleLora("ink.safetensors", 0.8, "ink wash"), StyleLora("someone/paper")),
        shortcuts=Shortcuts(every=2, probe_every=3),
    )
    assert RenderRequest.from_dict(json.loads(json.dumps(wanted.to_dict()))) == wanted


def test_an_unknown_schema_is_refused():
    with pytest.raises(ValueError, match="schema"):
        RenderRequest.from_dict({**WHOLE.to_dict(), "schema": 99})


def test_a_request_from_before_the_cleanup_had_sizes_is_read_with_the_published_ones():
    old = json.loads(json.dumps({**WHOLE.to_dict(), "schema": 1}))
    for name in ("mask_erode", "mask_dilate"):
        del old["consistency"][name]
    settings = RenderRequest.from_dict(old).consistency
    assert (settings.mask_erode, settings.mask_dilate) == (3, 5)


@pytest.mark.parametrize("schema", [1, 2])
def test_a_request_from_before_references_and_styles_has_none(schema):
    old = json.loads(json.dumps({**WHOLE.to_dict(), "schema": schema}))
    del old["styles"]
    for frame in old["frames"]:
        del frame["reference"], frame["reference_strength"]
    assert RenderRequest.from_dict(old) == WHOLE


def test_a_request_from_before_shortcuts_takes_none():
    old = json.loads(json.dumps({**WHOLE.to_dict(), "schema": 3}))
    del old["shortcuts"]
    assert RenderRequest.from_dict(old) == WHOLE


@pytest.mark.parametrize("stride", [0, 5])
def test_shortcuts_have_a_range(stride):
    for name in ("every", "probe_every"):
        with pytest.raises(ValueError, match=name):
            Shortcuts(**{name: stride})


def test_it_knows_which_pictures_it_needs():
    assert WHOLE.references == frozenset()
    frames = (
        replace(FIRST, reference=PICTURE, reference_strength=0.5),
        replace(SECOND, reference=PICTURE),
        replace(FIRST, frame_id="off", reference=OTHER, reference_strength=0),
    )
    wanted = replace(WHOLE, frames=frames)
    assert wanted.references == {PICTURE}
    assert [frame.followed for frame in frames] == [PICTURE, PICTURE, None]


def test_the_prompt_joins_its_parts_by_one_space():
    assert PROMPT.text == "on a beach, a girl, running"
    assert Prompt(" on a beach ", "", "running ").text == "on a beach running"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (dict(frames=()), "at least one frame"),
        (dict(frames=(FIRST, FIRST)), "'a'"),
        (dict(frames=(SECOND, FIRST)), "identity_from='a'"),
        (dict(frames=(FIRST, replace(SECOND, width=128))), "128x192"),
        (dict(targets=("c",)), "'c'"),
        (dict(steps=0), "steps=0"),
    ],
)
def test_impossible_requests_are_refused(change, named):
    with pytest.raises(ValueError, match=named):
        replace(WHOLE, **change)


@pytest.mark.parametrize(
    "change",
    [
        dict(seed=-1),
        dict(width=100),
        dict(height=0),
        dict(prompt=Prompt(" ", "", "")),
        dict(reference="girl.png"),
        dict(reference=f"../{PICTURE}"),
        dict(reference=f"{PICTURE}\n"),
        dict(reference=PICTURE.upper()),
        dict(reference_strength=-0.1),
        dict(reference_strength=2.1),
        dict(reference_strength=float("nan")),
    ],
)
def test_impossible_frames_are_refused(change):
    with pytest.raises(ValueError, match="'a'"):
        replace(FIRST, **change)


@pytest.mark.parametrize(
    "change",
    [
        dict(share_end=1.5),
        dict(mask_step=1.0),
        dict(merge_weight=-0.1),
        dict(mask_erode=2),
        dict(mask_erode=-1),
        dict(mask_dilate=0),
    ],
)
def test_impossible_settings_are_refused(change):
    with pytest.raises(ValueError, match="="):
        ConsistencySettings(**change)

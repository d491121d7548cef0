"""Requests: round trips through JSON, and what they refuse."""

import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

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


def stored(schema: int) -> dict:
    """A request that the code of that schema wrote: a frame, and copies of its three sources."""
    return json.loads(Path(f"tests/data/requests/schema-{schema}.json").read_text("utf-8"))


@pytest.mark.parametrize("schema", [1, 2, 3, 4])
def test_copies_of_older_schemas_say_which_frame_they_copy(schema):
    old = stored(schema)
    request = RenderRequest.from_dict(old)
    assert [(f.frame_id, f.copy_of, f.original) for f in request.frames] == [
        ("beach-1.0", "beach-1", "beach-1"),
        ("beach-1.1", "beach-1", "beach-1"),
        ("forest-1.2", "forest-1", "forest-1"),
        ("forest-2", None, "forest-2"),
    ]
    new = json.loads(json.dumps(request.to_dict()))
    assert RenderRequest.from_dict(new) == request
    # All that was stored is there, unchanged.
    assert {**new, **old, "frames": new["frames"], "consistency": new["consistency"]} == {
        **new,
        "schema": schema,
    }
    assert new["consistency"] == {**new["consistency"], **old["consistency"]}
    for then, now in zip(old["frames"], new["frames"], strict=True):
        assert {**now, **then} == now


def test_fields_that_older_schemas_lack_have_the_defaults():
    first, second, third = (RenderRequest.from_dict(stored(schema)) for schema in (1, 2, 3))
    assert (first.consistency.mask_erode, first.consistency.mask_dilate) == (3, 5)
    for request in (first, second):
        assert request.styles == () and request.references == frozenset()
        assert {f.reference_strength for f in request.frames} == {1.0}
    assert third.styles and third.references == {PICTURE}
    for request in (first, second, third):
        assert request.shortcuts == Shortcuts()
    assert RenderRequest.from_dict(stored(4)).shortcuts == Shortcuts(every=2, probe_every=2)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (dict(colour="red"), "colour"),
        (dict(steps="20"), "steps"),
        (dict(frames=None), "frames"),
        (dict(targets="b"), "targets"),
        (dict(consistency={"mask_erode": 2}), "mask_erode=2"),
        (dict(shortcuts={"every": 1, "never": 1}), "never"),
        (dict(styles=[{"weight": 1}]), "source"),
    ],
)
def test_stored_data_with_other_fields_types_or_values_is_refused(change, named):
    data = WHOLE.to_dict()
    with pytest.raises(ValueError, match=named):
        RenderRequest.from_dict({**data, **change})
    for name in ("frames", "targets", "model"):
        with pytest.raises(ValueError, match=name):
            RenderRequest.from_dict({key: data[key] for key in data if key != name})


@pytest.mark.parametrize(
    ("change", "named"), [(dict(seed=-1), "-1"), (dict(seed="1"), "seed"), (dict(prompt="x"), "x")]
)
def test_stored_frames_with_other_types_or_values_are_refused(change, named):
    data = json.loads(json.dumps(WHOLE.to_dict()))
    data["frames"][0] |= change
    with pytest.raises(ValueError, match=named):
        RenderRequest.from_dict(data)


def test_a_request_can_be_pickled_and_loads_no_torch():
    assert pickle.loads(pickle.dumps(WHOLE)) == WHOLE
    script = "import sys, pipelines.request; print(sys.modules.keys() & {'torch', 'pydantic'})"
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "set()"


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
    assert [frame.active_reference for frame in frames] == [PICTURE, PICTURE, None]


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

"""The pipeline: equal to FluxPipeline where nothing is shared, and its stream of events."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline

from pipelines.consistency.masks import clean_mask
from pipelines.events import FrameDone, FrameStarted, MaskFound, Notice, StepDone
from pipelines.flux1.attention import StoryboardAttnProcessor
from pipelines.request import ConsistencySettings, FrameRequest, Prompt, RenderRequest
from pipelines.sampling.context import RenderContext
from tests.pipelines.tiny import SEQUENCE, tiny_pipeline

ACTIONS = ("runs", "waves", "sits", "waves in blue")


@pytest.fixture(scope="module")
def pipeline():
    return tiny_pipeline()


def request(*, consistent: bool = True, shared: bool = False, **changes) -> RenderRequest:
    frames = tuple(
        FrameRequest(
            f"f{i}",
            Prompt("on the beach,", "a girl in a red hat,", action),
            seed=5,
            width=96,
            height=64,
            identity_from="f0" if consistent and i else None,
            background_from="f0" if shared and i else None,
        )
        for i, action in enumerate(ACTIONS)
    )
    settings = dict(model="tiny", frames=frames, targets=tuple(f.frame_id for f in frames), steps=6)
    loose = ConsistencySettings(similarity_threshold=-1.0)
    return RenderRequest(**{**settings, "consistency": loose, **changes})


def pictures(pipeline, wanted: RenderRequest) -> dict[str, FrameDone]:
    events = pipeline.stream(wanted, RenderContext(max_sequence_length=SEQUENCE))
    return {event.frame_id: event for event in events if isinstance(event, FrameDone)}


def stock(pipeline, frame: FrameRequest, wanted: RenderRequest):
    return FluxPipeline(**pipeline.components)(
        frame.prompt.text,
        height=frame.height,
        width=frame.width,
        num_inference_steps=wanted.steps,
        guidance_scale=wanted.guidance_scale,
        true_cfg_scale=wanted.true_cfg_scale,
        negative_prompt=wanted.negative_prompt if wanted.true_cfg_scale > 1 else None,
        generator=torch.Generator().manual_seed(frame.seed),
        max_sequence_length=SEQUENCE,
    ).images[0]


@pytest.mark.parametrize("guidance", [True, False])
@pytest.mark.parametrize("true_cfg_scale", [1.0, 2.5])
def test_without_sharing_it_is_fluxpipeline_to_the_bit(guidance, true_cfg_scale):
    pipeline = tiny_pipeline(guidance=guidance)
    pipeline.set_progress_bar_config(disable=True)
    wanted = request(consistent=False, true_cfg_scale=true_cfg_scale)
    rendered = pictures(pipeline, wanted)
    for frame in wanted.frames:
        expected = np.asarray(stock(pipeline, frame, wanted))
        assert np.array_equal(np.asarray(rendered[frame.frame_id].image), expected)


@pytest.mark.parametrize("shared", [False, True])
def test_the_identity_frame_is_fluxpipelines_to_the_bit(pipeline, shared):
    wanted = request(shared=shared)
    rendered = pictures(pipeline, wanted)
    expected = np.asarray(stock(pipeline, wanted.frames[0], wanted))
    assert np.array_equal(np.asarray(rendered["f0"].image), expected)
    assert rendered["f0"].matches is None


def test_sharing_changes_the_other_frames(pipeline):
    plain, kept = pictures(pipeline, request(consistent=False)), pictures(pipeline, request())
    placed = pictures(pipeline, request(shared=True))
    merged_less = pictures(
        pipeline, request(consistency=ConsistencySettings(merge=False, similarity_threshold=-1.0))
    )
    for name in ("f1", "f2"):
        assert kept[name].matches
        several = [np.asarray(p[name].image) for p in (plain, kept, placed, merged_less)]
        for one, other in itertools.combinations(several, 2):
            assert not np.array_equal(one, other)


def test_no_match_shares_nothing(pipeline):
    strict = ConsistencySettings(similarity_threshold=1.0)
    plain, kept = (
        pictures(pipeline, request(consistent=False)),
        pictures(pipeline, request(consistency=strict)),
    )
    for name in plain:
        assert not kept[name].matches
        assert np.array_equal(np.asarray(plain[name].image), np.asarray(kept[name].image))


@pytest.mark.parametrize("steps", [1, 2, 4, 7])
def test_any_number_of_steps(pipeline, steps):
    rendered = pictures(pipeline, request(shared=True, steps=steps))
    assert [rendered[name].image.size for name in sorted(rendered)] == [(96, 64)] * 4
    assert all(event.mask.shape == (4, 6) for event in rendered.values())


def test_events_come_in_order_and_count_every_step(pipeline):
    events = list(pipeline.stream(request(), RenderContext(max_sequence_length=SEQUENCE)))
    steps = [event for event in events if isinstance(event, StepDone)]
    assert [event.done for event in steps] == list(range(1, len(steps) + 1))
    assert {event.total for event in steps} == {len(steps)}
    # A probe pass's first step is the render pass's, too.
    assert len(steps) == 4 * 6 + 3 * (2 - 1)
    for frame_id in ("f0", "f1", "f2", "f3"):
        kinds = [type(event) for event in events if event.frame_id == frame_id]
        assert kinds[0] is FrameStarted
        assert kinds[-1] is FrameDone
        assert kinds.count(MaskFound) == (1 if frame_id == "f0" else 2)
    last = {e.frame_id: e.mask for e in events if isinstance(e, MaskFound) and e.phase == "render"}
    for event in events:
        if isinstance(event, FrameDone):
            assert np.array_equal(event.mask, last[event.frame_id])


def test_the_mask_is_the_raw_one_after_the_settings_cleanup(pipeline):
    changed = False
    for erode, dilate in ((1, 1), (1, 3), (3, 5)):
        settings = ConsistencySettings(
            similarity_threshold=-1.0, mask_erode=erode, mask_dilate=dilate
        )
        events = pipeline.stream(
            request(consistency=settings), RenderContext(max_sequence_length=SEQUENCE)
        )
        for event in events:
            if isinstance(event, MaskFound):
                expected = clean_mask(torch.from_numpy(event.raw), erode, dilate).numpy()
                assert np.array_equal(event.mask, expected)
                changed |= not np.array_equal(event.mask, event.raw)
    assert changed


def test_masks_come_with_the_match_of_every_token(pipeline):
    wanted = request()
    events = list(pipeline.stream(wanted, RenderContext(max_sequence_length=SEQUENCE)))
    masks = {(e.frame_id, e.phase): e for e in events if isinstance(e, MaskFound)}
    identity = masks["f0", "render"]
    assert identity.matches is None
    for event in (e for e in events if isinstance(e, FrameDone) and e.frame_id != "f0"):
        found = masks[event.frame_id, "render"]
        assert found.matches.identity_index.shape == found.mask.shape
        ends = identity.mask.ravel()[found.matches.identity_index]
        strong = found.matches.similarity > wanted.consistency.similarity_threshold
        assert event.matches == (found.mask & ends & strong).sum()
        assert np.abs(found.matches.similarity).max() <= 1 + 1e-6


def test_a_frame_from_the_same_noise_and_words_matches_itself(pipeline):
    wanted = request()
    frames = (wanted.frames[0], replace(wanted.frames[0], frame_id="f1", identity_from="f0"))
    twice = replace(wanted, frames=frames, targets=("f0", "f1"))
    events = pipeline.stream(twice, RenderContext(max_sequence_length=SEQUENCE))
    probe = next(e for e in events if isinstance(e, MaskFound) and e.phase == "probe")
    assert probe.matches.identity_index.tolist() == np.arange(24).reshape(4, 6).tolist()
    assert probe.matches.similarity == pytest.approx(1.0)


def test_words_that_the_model_does_not_read_are_reported(pipeline):
    stream = pipeline.stream(request(targets=("f0", "f2")), RenderContext(max_sequence_length=9))
    notices = [event for event in stream if isinstance(event, Notice) and event.kind == "prompt"]
    assert [event.about for event in notices] == ["f0", "f2"]
    assert notices[1].message.endswith("sits")
    assert "beach" not in notices[1].message


def test_a_target_alone_is_the_same_picture_as_among_all(pipeline):
    together = pictures(pipeline, request(shared=True))
    alone = pictures(pipeline, request(shared=True, targets=("f2",)))
    assert list(alone) == ["f2"]
    assert np.array_equal(np.asarray(alone["f2"].image), np.asarray(together["f2"].image))


def test_a_frame_that_is_only_a_source_stops_where_sharing_ends(pipeline):
    events = pipeline.stream(request(targets=("f3",)), RenderContext(max_sequence_length=SEQUENCE))
    steps = [event for event in events if isinstance(event, StepDone)]
    assert [e.frame_id for e in steps] == ["f0"] * 5 + ["f3"] * 7
    assert steps[-1].done == steps[-1].total


def test_a_later_frames_new_place_is_what_the_following_share(pipeline):
    wanted = request()
    frames = list(wanted.frames)
    frames[1] = replace(frames[1], prompt=Prompt("in the forest,", "a girl in a red hat,", "runs"))
    frames[2] = replace(frames[2], prompt=Prompt("in the forest,", "a girl in a red hat,", "sits"))
    apart = pictures(pipeline, replace(wanted, frames=tuple(frames)))
    frames[2] = replace(frames[2], background_from="f1")
    mixed = pictures(pipeline, replace(wanted, frames=tuple(frames)))
    for name, same in (("f0", True), ("f1", True), ("f2", False), ("f3", True)):
        assert np.array_equal(np.asarray(apart[name].image), np.asarray(mixed[name].image)) == same


def test_closing_the_stream_cancels_and_restores(pipeline):
    transformer = pipeline.transformer
    before = dict(transformer.attn_processors)
    during = []
    block = transformer.single_transformer_blocks[0]
    hook = block.register_forward_hook(lambda *_: during.append(block.attn.processor))
    hooks = len(block._forward_hooks)
    stream = pipeline.stream(request(), RenderContext(max_sequence_length=SEQUENCE))
    for event in stream:
        if isinstance(event, StepDone) and event.frame_id == "f1":
            break
    assert isinstance(during[-1], StoryboardAttnProcessor)
    stream.close()
    assert len(block._forward_hooks) == hooks
    assert not block._forward_pre_hooks
    hook.remove()
    assert all(pipeline.transformer.attn_processors[name] is p for name, p in before.items())
    assert len(pictures(pipeline, request())) == 4


def test_a_frame_without_character_has_an_empty_mask_and_one_without_place_a_full_one(pipeline):
    wanted = request(consistent=False)
    nobody = replace(wanted.frames[0], prompt=Prompt("the forest", "", ""))
    nowhere = replace(wanted.frames[1], prompt=Prompt("", "a girl", "runs"))
    rendered = pictures(pipeline, replace(wanted, frames=(nobody, nowhere), targets=("f0", "f1")))
    assert not rendered["f0"].mask.any()
    assert rendered["f1"].mask.all()


def test_a_size_that_does_not_fit_the_model_is_refused():
    pipeline = tiny_pipeline()
    pipeline.vae_scale_factor = 16
    frame = replace(request().frames[0], width=80)
    wanted = replace(request(), frames=(frame,), targets=("f0",))
    with pytest.raises(ValueError, match="80x64"):
        next(pipeline.stream(wanted))

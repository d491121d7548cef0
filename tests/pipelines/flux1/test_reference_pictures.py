"""Reference pictures in a render: their effect on each frame, and their cost."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.events import FrameDone, FrameStarted, MaskFound, Notice, StepDone
from pipelines.flux1.attention import StoryboardAttnProcessor
from pipelines.flux1.pipeline import FluxStoryboardPipeline
from pipelines.instant_character.adapters import Subject
from pipelines.instant_character.bundle import SubjectBundle
from pipelines.instant_character.encoders import SubjectEncoders
from pipelines.instant_character.familiarity import fit_familiarity, summary
from pipelines.instant_character.projector import SubjectProjector
from pipelines.instant_character.resampler import TimeResampler
from pipelines.request import ConsistencySettings, FrameRequest, Prompt, RenderRequest
from pipelines.sampling.context import RenderContext
from tests.pipelines.tiny import SEQUENCE, tiny_pipeline
from tests.pipelines.tiny_character import tiny_bundle

STEPS, PROBE_STEPS = 6, 2
ACTIONS = ("runs", "waves", "sits", "waves in blue")


def named(color: str) -> str:
    return hashlib.sha256(color.encode()).hexdigest() + ".png"


RED, BLUE = named("red"), named("blue")
PICTURES = {RED: Image.new("RGB", (40, 40), "red"), BLUE: Image.new("RGB", (40, 40), "blue")}


@pytest.fixture(scope="module")
def pipeline() -> FluxStoryboardPipeline:
    return tiny_pipeline()


@pytest.fixture(scope="module")
def bundle(pipeline: FluxStoryboardPipeline) -> SubjectBundle:
    return tiny_bundle(pipeline.transformer)


def request(
    *references: str | None, consistent: bool = False, strength: float = 1.5, **changes: object
) -> RenderRequest:
    """Make a request of frames with these reference pictures, None for none."""
    frames = tuple(
        FrameRequest(
            f"f{i}",
            Prompt("on the beach,", "a girl in a red hat,", ACTIONS[i]),
            seed=5 + i,
            width=64,
            height=48,
            identity_from="f0" if consistent and i else None,
            background_from="f0" if consistent and i else None,
            reference=reference,
            reference_strength=strength,
        )
        for i, reference in enumerate(references)
    )
    ids = tuple(frame.frame_id for frame in frames)
    settings = dict(model="tiny", frames=frames, targets=ids, steps=STEPS)
    loose = ConsistencySettings(similarity_threshold=-1.0)
    return RenderRequest(**{**settings, "consistency": loose, **changes})


def rendered(
    pipeline: FluxStoryboardPipeline, wanted: RenderRequest, subject: SubjectBundle | None
) -> dict[str, bytes]:
    """Return the pictures, by frame."""
    events = pipeline.stream(
        wanted, RenderContext(max_sequence_length=SEQUENCE, character=subject, pictures=PICTURES)
    )
    return {e.frame_id: np.asarray(e.image).tobytes() for e in events if isinstance(e, FrameDone)}


def without_references(wanted: RenderRequest) -> RenderRequest:
    return replace(wanted, frames=tuple(replace(f, reference=None) for f in wanted.frames))


def count_calls(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> list[tuple]:
    """Note the arguments of every call of a method, which goes on working."""
    calls: list[tuple] = []
    method = getattr(owner, name)

    def counted(self, *arguments, **options):
        calls.append(arguments)
        return method(self, *arguments, **options)

    monkeypatch.setattr(owner, name, counted)
    return calls


# What a reference does.


@pytest.mark.parametrize("consistent", [False, True])
@pytest.mark.parametrize("true_cfg_scale", [1.0, 2.5])
def test_strength_0_and_no_reference_are_the_path_without_a_subject_to_the_bit(
    pipeline, bundle, consistent, true_cfg_scale
):
    wanted = request(RED, RED, consistent=consistent, strength=0.0, true_cfg_scale=true_cfg_scale)
    plain = rendered(pipeline, without_references(wanted), None)
    assert rendered(pipeline, wanted, bundle) == plain
    assert rendered(pipeline, wanted, None) == plain
    assert rendered(pipeline, without_references(wanted), bundle) == plain


def test_a_reference_and_its_strength_change_the_frame(pipeline, bundle):
    pictures = [
        rendered(pipeline, request(reference, strength=strength), bundle)["f0"]
        for reference, strength in ((None, 1), (RED, 1), (RED, 1.5), (BLUE, 1.5))
    ]
    assert len(set(pictures)) == 4


def test_frames_with_and_without_a_reference_mix(pipeline, bundle):
    """Each frame is as it is alone, since nothing is shared."""
    mixed = rendered(pipeline, request(RED, None, BLUE, RED), bundle)
    plain = rendered(pipeline, request(None, None, None, None), None)
    red = rendered(pipeline, request(RED, RED, RED, RED), bundle)
    blue = rendered(pipeline, request(BLUE, BLUE, BLUE, BLUE), bundle)
    assert mixed == {"f0": red["f0"], "f1": plain["f1"], "f2": blue["f2"], "f3": red["f3"]}
    assert len({*plain.values(), *red.values(), *blue.values()}) == 12


def test_a_reference_and_consistency_work_in_one_render(pipeline, bundle):
    together = request(RED, RED, None, consistent=True)
    both = rendered(pipeline, together, bundle)
    assert both["f0"] == rendered(pipeline, request(RED), bundle)["f0"]
    consistent = rendered(pipeline, without_references(together), None)
    referenced = rendered(pipeline, request(RED, RED, None), bundle)
    assert both["f1"] not in (consistent["f1"], referenced["f1"])
    # The third has no reference, but shares with a first frame that has one.
    assert both["f2"] not in (consistent["f2"], referenced["f2"])


def test_probe_and_render_pass_are_both_conditioned_on_the_subject(pipeline, bundle, monkeypatch):
    calls = count_calls(monkeypatch, Subject, "begin_step")
    rendered(pipeline, request(None, RED, consistent=True), bundle)
    assert len(calls) == PROBE_STEPS + STEPS - 1  # step 0 is done once
    plain = pipeline.stream(
        request(None, None, consistent=True), RenderContext(max_sequence_length=SEQUENCE)
    )
    conditioned = pipeline.stream(
        request(None, RED, consistent=True),
        RenderContext(max_sequence_length=SEQUENCE, character=bundle, pictures=PICTURES),
    )
    without, seen = (
        next(e for e in events if isinstance(e, MaskFound) and e.phase == "probe")
        for events in (plain, conditioned)
    )
    assert not np.array_equal(without.matches.similarity, seen.matches.similarity)


def test_both_branches_of_true_guidance_are_conditioned_on_the_subject(
    pipeline, bundle, monkeypatch
):
    calls = count_calls(monkeypatch, Subject, "attend")
    rendered(pipeline, request(RED), bundle)
    once = Counter(block for block, *_ in calls)
    calls.clear()
    rendered(pipeline, request(RED, true_cfg_scale=2.5), bundle)
    assert once == {block: STEPS for block in range(6)}
    assert Counter(block for block, *_ in calls) == {block: 2 * STEPS for block in range(6)}


def test_source_frames_are_conditioned_on_their_reference_too(pipeline, bundle):
    wanted = request(RED, None, consistent=True)
    together = rendered(pipeline, wanted, bundle)
    assert rendered(pipeline, replace(wanted, targets=("f1",)), bundle) == {"f1": together["f1"]}


# What it costs.


def test_a_picture_is_seen_once_and_its_tokens_are_made_once_a_step(pipeline, bundle, monkeypatch):
    seen = count_calls(monkeypatch, SubjectEncoders, "forward")
    prepared = count_calls(monkeypatch, SubjectProjector, "prepare")
    resampled = count_calls(monkeypatch, TimeResampler, "forward")
    wanted = request(RED, RED, None, RED, consistent=True, true_cfg_scale=2.5)
    stronger = replace(wanted.frames[3], reference_strength=0.5)
    rendered(pipeline, replace(wanted, frames=(*wanted.frames[:3], stronger)), bundle)
    assert [len(pictures) for (pictures,) in seen] == [1]
    assert len(prepared) == 1
    assert len(resampled) == STEPS


def test_every_reference_of_a_rendered_frame_is_encoded_and_no_other(pipeline, bundle, monkeypatch):
    seen = count_calls(monkeypatch, SubjectEncoders, "forward")
    rendered(pipeline, request(BLUE, RED, BLUE), bundle)
    assert [picture for ((picture,),) in seen] == [PICTURES[BLUE], PICTURES[RED]]
    seen.clear()
    rendered(pipeline, request(BLUE, RED, targets=("f1",)), bundle)
    assert [picture for ((picture,),) in seen] == [PICTURES[RED]]


def test_encoders_go_back_to_where_they_wait(pipeline, bundle, monkeypatch):
    """Seen from the moves, since there is one device here."""
    moves = count_calls(monkeypatch, SubjectEncoders, "to")
    rendered(pipeline, request(RED, BLUE), bundle)
    assert moves == [(pipeline._execution_device,), (bundle.encoders.siglip.device,)]


# Notices and refusals.


@pytest.fixture
def doubtful(bundle: SubjectBundle) -> SubjectBundle:
    """A bundle that knows red pictures, and no blue ones."""
    shades = [Image.new("RGB", (40, 40), (255 - i, i // 2, i // 3)) for i in range(90)]
    with torch.no_grad():
        summaries = torch.cat([summary(bundle.encoders([shade])) for shade in shades])
        known = fit_familiarity(summaries, 0.0)
        distances = [known.distance(summary(bundle.encoders([p]))) for p in PICTURES.values()]
    red, blue = (float(distance) for distance in distances)
    assert red < blue
    return replace(bundle, familiarity=replace(known, bound=(red + blue) / 2))


def test_doubts_are_reported_once_a_picture_before_rendering(pipeline, doubtful):
    events = list(
        pipeline.stream(
            request(RED, BLUE, BLUE),
            RenderContext(max_sequence_length=SEQUENCE, character=doubtful, pictures=PICTURES),
        )
    )
    notices = [e for e in events if isinstance(e, Notice) and e.kind == "reference"]
    assert [event.about for event in notices] == [BLUE]
    assert "unlike" in notices[0].message
    started = next(i for i, e in enumerate(events) if isinstance(e, FrameStarted))
    assert events.index(notices[0]) < started


def first_event(events: Iterator[object]) -> object:
    return next(iter(events))


def test_a_picture_that_is_not_given_is_named(pipeline, bundle):
    stream = pipeline.stream(
        request(None, BLUE), RenderContext(character=bundle, pictures={RED: PICTURES[RED]})
    )
    with pytest.raises(ValueError, match=f"the picture {BLUE} of frame 'f1' is not among"):
        first_event(stream)


def test_a_picture_without_a_bundle_is_refused(pipeline):
    with pytest.raises(ValueError, match="'f0' has a reference picture, and no bundle"):
        first_event(pipeline.stream(request(RED), RenderContext(pictures=PICTURES)))


def test_pictures_that_nobody_needs_may_be_missing(pipeline, bundle):
    """Those of frames at strength 0, and of frames that are not rendered."""
    off = replace(request(RED).frames[0], reference=BLUE, reference_strength=0.0)
    wanted = replace(request(RED, BLUE), frames=(off, *request(None, RED).frames[1:]))
    stream = pipeline.stream(
        replace(wanted, targets=("f0",)),
        RenderContext(max_sequence_length=SEQUENCE, character=bundle),
    )
    assert any(isinstance(event, FrameDone) for event in stream)


def test_a_picture_of_another_mode_is_refused(pipeline, bundle):
    gray = {RED: Image.new("L", (8, 8))}
    with pytest.raises(ValueError, match="mode is L, not RGB"):
        first_event(pipeline.stream(request(RED), RenderContext(character=bundle, pictures=gray)))


def test_a_subject_of_another_transformer_is_refused(pipeline, bundle):
    weights = bundle.weights
    fewer = replace(weights, adapters=type(weights.adapters)(list(weights.adapters)[:-1]))
    with pytest.raises(ValueError, match="5 subject adapters for a transformer of 6 blocks"):
        rendered(pipeline, request(RED), replace(bundle, weights=fewer))


@pytest.mark.parametrize("phase", ["probe", "render"])
def test_a_closed_stream_leaves_the_transformer_as_it_was(pipeline, bundle, phase):
    before = dict(pipeline.transformer.attn_processors)
    stream = pipeline.stream(
        request(RED, RED, consistent=True),
        RenderContext(max_sequence_length=SEQUENCE, character=bundle, pictures=PICTURES),
    )
    during = []
    hook = pipeline.transformer.single_transformer_blocks[0].register_forward_hook(
        lambda *_: during.append(dict(pipeline.transformer.attn_processors))
    )
    for event in stream:
        if isinstance(event, StepDone) and (event.frame_id, event.phase) == ("f1", phase):
            break
    hook.remove()
    assert all(isinstance(p, StoryboardAttnProcessor) for p in during[-1].values())
    stream.close()
    after = pipeline.transformer.attn_processors
    assert all(after[name] is processor for name, processor in before.items())

"""Orders of rendering paint the same pictures: in turn, side by side, with and without stores."""

import hashlib
import pickle
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from pipelines.consistency.bank import Bank
from pipelines.events import FrameDone, FrameStarted, MaskFound, StepDone
from pipelines.flux1.pipeline import FluxStoryboardPipeline
from pipelines.request import (
    ConsistencySettings,
    FrameRequest,
    Prompt,
    RenderBudget,
    RenderRequest,
    Shortcuts,
)
from pipelines.sampling import memory
from pipelines.sampling.context import RenderContext
from pipelines.sampling.denoiser import Guidance
from pipelines.sampling.memory import RenderMemory
from pipelines.sampling.sampler import RenderInputs
from pipelines.sampling.schedule import step_plan
from tests.pipelines.tiny import SEQUENCE, tiny_pipeline
from tests.pipelines.tiny_character import tiny_bundle

BANK = RenderBudget(order="bank")
KEPT = RenderBudget(order="lockstep")
NOTHING_KEPT = RenderBudget(order="lockstep", device_bytes=0)
STEPS = 8
# In float32, whose roundings are 1e-7 of latents that are as large as 3; sharing moves these by
# hundreds of times as much.
ROUNDING = 1e-5


def frame(name: str, action: str, who: str | None, where: str | None, **changes) -> FrameRequest:
    settings = dict(seed=5, width=96, height=64, identity_from=who, background_from=where)
    place = "in the forest," if where == "b" else "on the beach,"
    return FrameRequest(
        name, Prompt(place, "a girl in a red hat,", action), **{**settings, **changes}
    )


STORIES = {
    "character": [("a", None, None), ("b", "a", None), ("c", "a", None), ("d", "a", None)],
    "place": [("a", None, None), ("b", "a", None), ("c", "a", "a"), ("d", "a", "a")],
    "another place": [("a", None, None), ("b", "a", None), ("c", "a", "b"), ("d", "a", "b")],
    "place alone": [("a", None, None), ("b", None, "a"), ("c", None, None)],
    "plain": [("a", None, None), ("b", None, None)],
}


def story(name: str, **changes) -> RenderRequest:
    actions = ("runs", "waves", "sits", "waves in blue")
    frames = tuple(
        frame(frame_id, action, who, where)
        for (frame_id, who, where), action in zip(STORIES[name], actions, strict=False)
    )
    settings = dict(model="tiny", frames=frames, targets=tuple(f.frame_id for f in frames))
    loose = ConsistencySettings(similarity_threshold=-1.0)
    return RenderRequest(**{"steps": STEPS, **settings, "consistency": loose, **changes})


@pytest.fixture(scope="module")
def pipeline() -> FluxStoryboardPipeline:
    return tiny_pipeline()


def latents(pipeline, monkeypatch, wanted: RenderRequest, **options) -> dict[str, torch.Tensor]:
    """The final latents of every target, as they come to the VAE, in the order of the events."""
    seen, decode = [], FluxStoryboardPipeline.decode

    def watched(self, packed, height, width):
        seen.append(packed)
        return decode(self, packed, height, width)

    with monkeypatch.context() as patch:
        patch.setattr(FluxStoryboardPipeline, "decode", watched)
        events = list(
            pipeline.stream(wanted, RenderContext(max_sequence_length=SEQUENCE, **options))
        )
    done = [event for event in events if isinstance(event, FrameDone)]
    return dict(zip([event.frame_id for event in done], seen, strict=True))


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, one in expected.items():
        torch.testing.assert_close(found[name], one, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("budget", [KEPT, NOTHING_KEPT])
@pytest.mark.parametrize("name", STORIES)
def test_the_pictures_are_those_of_one_frame_after_another(
    pipeline, monkeypatch, name, budget, batch
):
    expected = latents(pipeline, monkeypatch, story(name), budget=BANK)
    found = latents(pipeline, monkeypatch, story(name), budget=replace(budget, batch=batch))
    assert_same(found, expected)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_few_steps(pipeline, monkeypatch, steps):
    wanted = story("another place", steps=steps)
    expected = latents(pipeline, monkeypatch, wanted, budget=BANK)
    for budget in (KEPT, NOTHING_KEPT):
        assert_same(latents(pipeline, monkeypatch, wanted, budget=budget), expected)


@pytest.mark.parametrize("budget", [KEPT, NOTHING_KEPT])
def test_classifier_free_guidance_and_frames_of_other_sizes(pipeline, monkeypatch, budget):
    wanted = story("another place", true_cfg_scale=2.5)
    frames = list(wanted.frames)
    frames[0] = replace(frames[0], width=64)
    frames.append(frame("e", "sits", "a", None, height=80))
    wanted = replace(wanted, frames=tuple(frames), targets=("b", "d", "e"))
    expected = latents(pipeline, monkeypatch, wanted, budget=BANK)
    assert set(expected) == {"b", "d", "e"}
    assert_same(latents(pipeline, monkeypatch, wanted, budget=budget), expected)


@pytest.mark.parametrize("budget", [KEPT, NOTHING_KEPT])
def test_frames_with_references_of_several_strengths(pipeline, monkeypatch, budget):
    bundle = tiny_bundle(pipeline.transformer)
    colors = ("red", "blue")
    names = [hashlib.sha256(color.encode()).hexdigest() + ".png" for color in colors]
    pictures = {
        name: Image.new("RGB", (40, 40), color) for name, color in zip(names, colors, strict=True)
    }
    wanted = story("another place")
    conditionings = [(names[0], 1.0), (names[0], 1.0), (names[1], 0.5), (None, 1.0)]
    frames = tuple(
        replace(one, reference=picture, reference_strength=strength)
        for one, (picture, strength) in zip(wanted.frames, conditionings, strict=True)
    )
    wanted = replace(wanted, frames=frames)
    options = dict(character=bundle, pictures=pictures)
    expected = latents(pipeline, monkeypatch, wanted, budget=BANK, **options)
    assert_same(latents(pipeline, monkeypatch, wanted, budget=budget, **options), expected)


def test_sharing_shows_in_these_pictures(pipeline, monkeypatch):
    """The pictures compared above differ without sharing."""
    plain = story("character")
    alone = replace(plain, frames=tuple(replace(one, identity_from=None) for one in plain.frames))
    kept = latents(pipeline, monkeypatch, plain, budget=KEPT)
    apart = latents(pipeline, monkeypatch, alone, budget=KEPT)
    for name in "bc":
        assert (kept[name] - apart[name]).abs().max() > 100 * ROUNDING


@pytest.mark.parametrize("budget", [BANK, KEPT, NOTHING_KEPT])
def test_every_step_is_reported_and_every_mask_once(pipeline, budget):
    wanted = story("another place")
    events = list(
        pipeline.stream(wanted, RenderContext(max_sequence_length=SEQUENCE, budget=budget))
    )
    steps = [event for event in events if isinstance(event, StepDone)]
    assert [event.done for event in steps] == list(range(1, len(steps) + 1))
    assert {event.total for event in steps} == {len(steps)}
    started = [event.frame_id for event in events if isinstance(event, FrameStarted)]
    assert sorted(started) == ["a", "b", "c", "d"]
    masks = [(e.frame_id, e.phase) for e in events if isinstance(e, MaskFound)]
    probed = {(name, phase) for name in "bcd" for phase in ("probe", "render")}
    assert set(masks) == {("a", "render")} | probed
    assert len(masks) == 7
    for event in events:
        if isinstance(event, FrameDone):
            first = next(e for e in events if getattr(e, "frame_id", "") == event.frame_id)
            assert isinstance(first, FrameStarted)
            assert event.seconds > 0


def test_banks_are_closed_whatever_happens(pipeline, monkeypatch):
    made = []
    new_bank = RenderMemory.new_bank

    def watched(self, *arguments):
        bank = new_bank(self, *arguments)
        if bank is not None:
            made.append(bank)
        return bank

    monkeypatch.setattr(RenderMemory, "new_bank", watched)
    wanted = story("another place")
    for budget in (BANK, KEPT, NOTHING_KEPT):
        list(pipeline.stream(wanted, RenderContext(max_sequence_length=SEQUENCE, budget=budget)))
        stream = pipeline.stream(wanted, RenderContext(max_sequence_length=SEQUENCE, budget=budget))
        for event in stream:
            if isinstance(event, StepDone) and event.done == 14:
                break
        stream.close()
    assert len(made) == 12
    assert all(bank.nbytes == 0 for bank in made)


def test_side_by_side_without_a_bank_holds_one_block_at_a_time(pipeline, monkeypatch):
    made = []
    close = Bank.close
    monkeypatch.setattr(Bank, "close", lambda bank: (made.append(bank.peak_bytes), close(bank)))
    wanted = story("character")
    peaks = {}
    for name, budget in (("bank", BANK), ("kept", KEPT), ("nothing", NOTHING_KEPT)):
        made.clear()
        list(
            pipeline.stream(
                wanted, RenderContext(max_sequence_length=SEQUENCE, budget=replace(budget, batch=8))
            )
        )
        peaks[name] = max(made)
    tokens, width = 4 * 6, 32
    # Keys, values, an output to merge and one to match, of every token, in float32.
    assert peaks["nothing"] <= 4 * tokens * width * 4
    assert peaks["nothing"] < peaks["kept"] < peaks["bank"]


@pytest.mark.parametrize("order", ["bank", "lockstep"])
def test_frames_that_were_rendered_elsewhere_are_read(pipeline, monkeypatch, order):
    wanted = story("another place")
    expected = latents(pipeline, monkeypatch, wanted)
    banks = {}

    def keep(frame_id: str, bank: Bank) -> None:
        banks[frame_id] = pickle.loads(pickle.dumps(bank))  # as another process gets it

    first = replace(wanted, targets=("a", "b"))
    rendered = latents(pipeline, monkeypatch, first, keep_bank=keep)
    assert sorted(banks) == ["a"]  # no frame that is rendered here reads b
    assert_same(rendered, {name: expected[name] for name in "ab"})
    banks.clear()
    latents(pipeline, monkeypatch, replace(wanted, targets=("b", "c")), keep_bank=keep)
    assert sorted(banks) == ["a", "b"]
    second = replace(wanted, targets=("c", "d"))
    options = dict(banks=banks, budget=RenderBudget(order=order))
    events = list(pipeline.stream(second, RenderContext(max_sequence_length=SEQUENCE, **options)))
    assert {event.frame_id for event in events} == {"c", "d"}
    found = latents(pipeline, monkeypatch, second, **options)
    assert_same(found, {name: expected[name] for name in "cd"})
    assert all(bank.nbytes for bank in banks.values())


def test_order_by_what_fits(pipeline, monkeypatch):
    """Sequence with room, side by side without, and nothing kept with none at all."""
    chosen = []
    schedule = RenderMemory.schedule

    def watched(self):
        found = schedule(self)
        chosen.append((len(found.stages[-1]) > 1, found.lasting_steps))
        return found

    monkeypatch.setattr(RenderMemory, "schedule", watched)
    wanted = story("character")
    plan = step_plan(STEPS, wanted.consistency)
    sizes = dict(tokens=4 * 6, channels=32, blocks=4, itemsize=4, holds_background=False)
    whole = Bank.most_bytes(plan, **sizes)
    early = Bank.most_bytes(replace(plan, share_end=plan.probe_steps + 1), **sizes)
    for room in (whole, whole - 1, early, early - 1):
        budget = RenderBudget(device_bytes=room)
        list(pipeline.stream(wanted, RenderContext(max_sequence_length=SEQUENCE, budget=budget)))
    streamed = RenderBudget(streamed=True)
    list(pipeline.stream(wanted, RenderContext(max_sequence_length=SEQUENCE, budget=streamed)))
    kept = (True, plan.probe_steps)
    assert chosen == [(False, None), kept, kept, (True, 0), kept]


@pytest.mark.parametrize(
    ("device", "free", "tokens", "together"),
    [
        ("cuda", 64 << 30, 64 << 10, 8),
        ("cuda", 600 << 20, 64 << 10, 2),  # of 144 MiB each, in half of what is free
        ("cuda", 1 << 20, 64 << 10, 1),
        ("cpu", 64 << 30, 64, 8),  # 8 KiB a layer
        ("cpu", 64 << 30, 8 << 10, 3),  # 1 MiB
        ("cpu", 64 << 30, 16 << 10, 1),  # 2 MiB
        ("cpu", 64 << 30, 64 << 10, 1),
        ("cpu", 1 << 20, 64, 3),
    ],
)
def test_as_many_frames_together_as_memory_and_a_cpus_caches_allow(
    monkeypatch, device, free, tokens, together
):
    """A layer takes 128 bytes a token: 32 channels in float32; a whole step 18 times as much."""
    monkeypatch.setattr(memory, "free_memory", lambda _: free)
    plan = step_plan(STEPS, ConsistencySettings())
    model = SimpleNamespace(width=32, itemsize=4, single_blocks=4, device=torch.device(device))
    text = 4
    prompt = SimpleNamespace(prompt_embeds=torch.empty(1, text, 1))
    latents = torch.empty(1, tokens - text, 1)
    inputs = {"a": SimpleNamespace(latents=latents, prompt=prompt)}
    rendered = RenderInputs(plan, Guidance(1.0), (), inputs, {}, {}, {})
    assert RenderMemory(model, rendered, RenderBudget()).batch() == together


def evaluations(pipeline, wanted: RenderRequest) -> int:
    """Count the frames that go through the transformer."""
    frames = []
    hook = pipeline.transformer.register_forward_pre_hook(
        lambda _, __, given: frames.append(len(given["hidden_states"])), with_kwargs=True
    )
    list(pipeline.stream(wanted, RenderContext(max_sequence_length=SEQUENCE)))
    hook.remove()
    return sum(frames)


def test_shortcuts_evaluate_the_model_less_often(pipeline):
    """Of 8 steps the mask step is number 2: evaluated are 0, 1, 2, 4, 6; of a probe pass 0, 2."""
    wanted = story("character")
    assert evaluations(pipeline, wanted) == 4 * 8 + 3 * 2
    assert evaluations(pipeline, replace(wanted, shortcuts=Shortcuts(every=2))) == 4 * 5 + 3 * 2
    assert evaluations(pipeline, replace(wanted, shortcuts=Shortcuts(probe_every=2))) == 4 * 8 + 3
    both = Shortcuts(every=3, probe_every=4)
    assert evaluations(pipeline, replace(wanted, shortcuts=both)) == 4 * 4 + 3


@pytest.mark.parametrize("budget", [KEPT, NOTHING_KEPT])
def test_shortcuts_are_the_same_in_every_order(pipeline, monkeypatch, budget):
    wanted = story("another place", shortcuts=Shortcuts(every=2, probe_every=2))
    expected = latents(pipeline, monkeypatch, wanted, budget=BANK)
    assert_same(latents(pipeline, monkeypatch, wanted, budget=budget), expected)
    exact = latents(pipeline, monkeypatch, story("another place"), budget=BANK)
    for name in exact:
        assert (exact[name] - expected[name]).abs().max() > 100 * ROUNDING


def test_masks_do_not_depend_on_what_is_left_out_after_them(pipeline):
    masks = []
    for every in (1, 3):
        wanted = story("another place", shortcuts=Shortcuts(every=every))
        events = pipeline.stream(wanted, RenderContext(max_sequence_length=SEQUENCE))
        masks.append([e.mask.tolist() for e in events if isinstance(e, MaskFound)])
    assert masks[0] == masks[1]

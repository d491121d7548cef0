"""The published way renders what ours renders; only then does a comparison of seconds mean much."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from benchmarks.random_models import open_model
from evaluation.fidelity.dense import DenseOracle
from evaluation.fidelity.steering import SteeredPass, Steering
from pipelines.consistency.bank import Bank
from pipelines.request import RenderBudget
from pipelines.sampling.context import RenderContext
from pipelines.sampling.schedule import step_plan
from tests.pipelines.sampling.test_sampler import latents as our_latents
from tests.pipelines.sampling.test_sampler import story
from tests.pipelines.tiny import SEQUENCE, tiny_pipeline

BANK = RenderBudget(order="bank")
# Of float32, whose roundings are 1e-7 of latents that are as large as 3.
ROUNDING = 1e-5
EVERY_MATCH = Steering(0.4)


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, one in expected.items():
        torch.testing.assert_close(found[name], one, atol=ROUNDING, rtol=0)


@pytest.fixture(scope="module")
def pipeline():
    return tiny_pipeline()


@pytest.mark.parametrize(
    ("name", "steering"),
    [("character", None), ("another place", None), ("place", EVERY_MATCH)],
    ids=["own masks", "own masks and backgrounds", "given masks and matches"],
)
def test_the_oracle_renders_what_we_render(pipeline, monkeypatch, name, steering):
    wanted = story(name)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "new_pass", partial(SteeredPass, steering))
        ours = our_latents(pipeline, monkeypatch, wanted, budget=BANK)
    oracle = DenseOracle(pipeline, SEQUENCE, steering)
    found = {frame.frame_id: latents for frame, latents in oracle.latents(wanted)}
    assert_same(found, ours)

    alone = replace(
        wanted,
        frames=tuple(replace(f, identity_from=None, background_from=None) for f in wanted.frames),
    )
    plain = our_latents(pipeline, monkeypatch, alone, budget=BANK)
    moved = [(plain[n] - found[n]).abs().max() for n in ("b", "c", "d")]
    assert max(moved) > 100 * ROUNDING


def test_the_oracle_is_guided_as_we_are(pipeline, monkeypatch):
    wanted = story("character", true_cfg_scale=2.0, negative_prompt="a boy", steps=4)
    ours = our_latents(pipeline, monkeypatch, wanted, budget=BANK)
    oracle = DenseOracle(pipeline, SEQUENCE)
    assert_same({frame.frame_id: found for frame, found in oracle.latents(wanted)}, ours)


def test_the_oracle_keeps_every_token(pipeline):
    """As counted in the golden vectors' README, section 5, for keys of all blocks."""
    wanted = story("character")
    oracle = DenseOracle(pipeline, SEQUENCE, EVERY_MATCH)
    list(oracle.latents(wanted))
    plan = step_plan(wanted.steps, wanted.consistency)
    grid, blocks = 24 * 32 * 4, 4
    keys = 2 * grid * blocks * (plan.share_end - plan.share_start)
    merged = grid * 2 * (plan.merge_end - plan.merge_start)
    assert oracle.bank_bytes == keys + merged + grid * blocks
    most = Bank.most_bytes(
        plan, tokens=24, channels=32, blocks=blocks, itemsize=4, holds_background=False
    )
    assert oracle.bank_bytes > most
    # Every frame but the first has a probe pass of all its steps.
    assert oracle.evaluations == 4 * plan.steps + 3 * plan.probe_steps


def test_processors_are_put_back(pipeline):
    processors = pipeline.transformer.attn_processors
    unfinished = DenseOracle(pipeline, SEQUENCE).latents(story("character"))
    next(unfinished)
    assert pipeline.transformer.attn_processors != processors
    unfinished.close()
    assert pipeline.transformer.attn_processors == processors


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_a_mask_has_the_requested_share(share):
    mask = Steering(share).mask(16, 24, torch.device("cpu"))
    assert mask.sum() == round(share * 16 * 24)
    middle = mask.view(16, 24)
    assert middle[8, 12] and not middle[0, 0]


def test_given_masks_and_matches_are_taken(monkeypatch):
    model = open_model("tiny", torch.device("cpu"), torch.float32, 0.25)
    passes = []
    settle = Steering.matches

    def watched(self, mask, identity_mask):
        found = settle(self, mask, identity_mask)
        passes.append((mask, found))
        return found

    monkeypatch.setattr(Steering, "matches", watched)
    events = model.pipeline.stream(
        model.story(2, steps=5), RenderContext(max_sequence_length=model.text_tokens)
    )
    done = [event for event in events if hasattr(event, "image")]
    assert [event.mask.mean() for event in done] == [0.25, 0.25]
    assert done[1].matches == 4
    assert len(passes) == 2  # of the probe and of the render pass
    for mask, found in passes:
        assert mask[found.frame_index].all()
        assert len(found.frame_index.unique()) == len(found.identity_index.unique()) == 4


def test_only_the_pipeline_that_is_steered_takes_given_masks():
    model = open_model("tiny", torch.device("cpu"), torch.float32, 0.4)
    request = model.story(1, steps=5)

    def masks():
        events = model.pipeline.stream(
            request, RenderContext(max_sequence_length=model.text_tokens)
        )
        return [event.mask for event in events if hasattr(event, "image")]

    given = masks()
    del model.pipeline.new_pass
    own = masks()
    assert (given[0] != own[0]).any()

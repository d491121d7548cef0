"""Regional compilation: as many graphs for any number of blocks, frames, masks and matches."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch.fx import GraphModule

from pipelines.request import RenderBudget
from tests.pipelines.sampling.test_sampler import ROUNDING, latents, story
from tests.pipelines.tiny import tiny_pipeline

STORY = "another place"


class Graphs:
    """A backend that counts graphs and runs them as they are."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, graph: GraphModule, _inputs: list[torch.Tensor]) -> GraphModule:
        self.count += 1
        return graph


@pytest.fixture
def graphs() -> Iterator[Graphs]:
    torch.compiler.reset()
    yield Graphs()
    torch.compiler.reset()


def test_blocks_frames_and_masks_share_their_graphs(graphs, monkeypatch):
    counts = []
    for blocks in ((2, 4), (3, 6)):
        pipeline = tiny_pipeline(blocks=blocks)
        expected = latents(pipeline, monkeypatch, story(STORY))
        pipeline.transformer.compile_repeated_blocks(backend=graphs)
        found = latents(pipeline, monkeypatch, story(STORY))
        for name, latent in expected.items():
            torch.testing.assert_close(found[name], latent, atol=ROUNDING, rtol=0)
        # Other noise, and with it other masks and matches.
        other = story(STORY)
        frames = tuple(replace(frame, seed=7) for frame in other.frames)
        latents(pipeline, monkeypatch, replace(other, frames=frames))
        counts.append(graphs.count)
        torch.compiler.reset()
        graphs.count = 0
    # A stock block of each kind; a shared single-stream one before its attention, the projections,
    # and after it; and what differs at both ends of the row, where tokens change their order.
    assert counts == [7, 7]


def test_frames_side_by_side_share_their_graphs(graphs, monkeypatch):
    pipeline = tiny_pipeline()
    budget = RenderBudget(order="lockstep", device_bytes=0, batch=4)
    wanted = story("character")
    expected = latents(pipeline, monkeypatch, wanted, budget=budget)
    pipeline.transformer.compile_repeated_blocks(backend=graphs)
    found = latents(pipeline, monkeypatch, wanted, budget=budget)
    for name, latent in expected.items():
        torch.testing.assert_close(found[name], latent, atol=ROUNDING, rtol=0)
    assert 0 < graphs.count <= 7

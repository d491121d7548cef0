"""The processor: grouped attention equals the dense mask, and nothing is left behind."""

import pytest
import torch
import torch.nn.functional as F

from pipelines.consistency.bank import Bank
from pipelines.consistency.frame_pass import FramePass, Layout
from pipelines.consistency.masks import TextLengths
from pipelines.consistency.matching import Matches
from pipelines.consistency.plan import StepPlan
from pipelines.flux1.attention import StoryboardAttnProcessor, rotate_shared
from pipelines.flux1.rotary import BatchContext
from tests.pipelines.frame_attention import frame_attention
from tests.pipelines.tiny import tiny_transformer

PLAN = StepPlan(10, 1, 8, 1, 3, 6, 0.8, 0.5, 2)
TEXT, GRID, HEADS, DIM, BLOCKS = 7, (6, 8), 2, 16, 4
TOKENS = GRID[0] * GRID[1]


def filled_bank(*, identity: bool, background: bool, mask: torch.Tensor) -> Bank:
    bank = Bank(PLAN, holds_identity=identity, holds_background=background)
    for step in range(PLAN.steps):
        for block in range(BLOCKS):
            if bank.wants_keys(block, step):
                bank.save_keys(block, step, *torch.randn(2, TOKENS, HEADS, DIM))
            if bank.wants_output(block, step):
                bank.save_output(block, step, torch.randn(TOKENS, HEADS * DIM))
        if step == PLAN.mask_step:
            bank.set_mask(mask)
    return bank


def sharing_pass(*, identity: bool, background: bool) -> FramePass:
    """Make a render pass in the middle of its schedule that shares identity or background."""
    torch.manual_seed(3)
    source_mask = torch.rand(TOKENS) < 0.4
    mask = torch.rand(TOKENS) < 0.4
    bank = filled_bank(identity=identity, background=background, mask=source_mask)
    matched = torch.randperm(TOKENS)[:9].sort().values
    theirs = source_mask.nonzero().flatten()
    matches = Matches(matched, theirs[torch.randint(len(theirs), (9,))], torch.rand(9))
    frame_pass = FramePass(
        PLAN,
        TextLengths(3, 6),
        GRID,
        BLOCKS,
        torch.device("cpu"),
        identity=bank if identity else None,
        background=bank if background else None,
        matches=matches if identity else None,
    )
    frame_pass.masks.append(mask)
    frame_pass.begin_step(4)
    return frame_pass


def dense_attention(frame_pass, block, query, key, value, rotary):
    """The published form: one call over all keys, with a dense additive mask."""
    keys, values, visible = [key], [value], [torch.ones(TEXT + TOKENS, TEXT + TOKENS) > 0]
    for shared, queries in (
        (frame_pass.shared_background(block), ~frame_pass.mask),
        (frame_pass.shared_foreground(block), frame_pass.mask),
    ):
        if shared is None:
            continue
        keys.append(rotate_shared(shared, rotary, TEXT))
        values.append(shared.keys_values.value[None])
        seen = torch.zeros(TEXT + TOKENS, shared.positions.shape[0], dtype=torch.bool)
        seen[TEXT + queries.nonzero().flatten()] = True
        visible.append(seen)
    attended = F.scaled_dot_product_attention(
        query.transpose(1, 2),
        torch.cat(keys, 1).transpose(1, 2),
        torch.cat(values, 1).transpose(1, 2),
        attn_mask=torch.cat(visible, 1),
    )
    return attended.transpose(1, 2)


@pytest.mark.parametrize("block", [0, 1])
@pytest.mark.parametrize(
    ("identity", "background"), [(True, False), (False, True), (True, True), (False, False)]
)
def test_grouped_attention_equals_the_dense_mask(identity, background, block):
    frame_pass = sharing_pass(identity=identity, background=background)
    query, key, value = torch.randn(3, 1, TEXT + TOKENS, HEADS, DIM)
    angles = torch.randn(TEXT + TOKENS, DIM // 2).repeat_interleave(2, dim=1)
    rotary = angles.cos(), angles.sin()
    processor = StoryboardAttnProcessor(BatchContext(), block, block)
    layout = frame_pass.layout or Layout.of(frame_pass.mask)
    order = torch.cat([torch.arange(TEXT), TEXT + layout.order])
    laid_out = (tensor[:, order] for tensor in (query, key, value))
    ours = processor.grouped_attention(frame_pass, block, *laid_out, rotary)[:, order.argsort()]
    dense = dense_attention(frame_pass, block, query, key, value, rotary)
    torch.testing.assert_close(ours, dense, atol=2e-6, rtol=0)
    plain = F.scaled_dot_product_attention(*(t.transpose(1, 2) for t in (query, key, value)))
    shares = background or (identity and block % 2 == 0)
    assert torch.allclose(ours, plain.transpose(1, 2), atol=1e-4) != shares


def test_each_query_group_sees_its_keys():
    frame_pass = sharing_pass(identity=True, background=True)
    source_mask = frame_pass.identity.foreground
    mask = frame_pass.mask
    background, identity = frame_pass.shared_background(0), frame_pass.shared_foreground(0)
    layout = frame_pass.layout
    assert not mask[layout.order[: layout.background]].any()
    assert mask[layout.order[layout.background :]].all()
    assert torch.equal(layout.inverse[layout.order], torch.arange(TOKENS))
    assert torch.equal(background.positions, (~mask & ~source_mask).nonzero().flatten())
    assert torch.equal(identity.positions, frame_pass.matches.frame_index)
    assert frame_pass.shared_foreground(1) is None


@pytest.mark.parametrize("empty", ["matches", "background"])
def test_nothing_to_share_shares_nothing(empty):
    frame_pass = sharing_pass(identity=True, background=True)
    if empty == "matches":
        none = torch.empty(0, dtype=torch.int64)
        frame_pass.matches = Matches(none, none, torch.empty(0))
        assert frame_pass.shared_foreground(0) is None
        output = torch.randn(TOKENS, HEADS * DIM)
        merged = output.clone()
        frame_pass.merge(0, merged)
        assert torch.equal(merged, output)
    else:
        frame_pass.masks[-1] = ~frame_pass.background.foreground
        assert frame_pass.shared_background(0) is None


def test_merge_moves_matched_tokens_alone():
    frame_pass = sharing_pass(identity=True, background=False)
    output = torch.randn(TOKENS, HEADS * DIM)
    order = frame_pass.layout.order
    merged = output[order]
    frame_pass.merge(0, merged)
    merged = merged[order.argsort()]
    matches = frame_pass.matches
    weight = (PLAN.weight_of_merge(4) * matches.similarity)[:, None]
    theirs = frame_pass.identity.output(0, 4, matches.identity_index)
    expected = output.clone()
    ours = output[matches.frame_index]
    expected[matches.frame_index] = ours + weight * (theirs - ours)
    torch.testing.assert_close(merged, expected)
    odd = output.clone()
    frame_pass.merge(1, odd)
    assert torch.equal(odd, output)


class Stop(Exception):
    """Raised by a test in the middle of a pass."""


@pytest.mark.parametrize("leaving", ["normally", "by an exception"])
def test_the_processors_that_were_there_are_there_again(leaving):
    transformer = tiny_transformer()
    before = dict(transformer.attn_processors)
    frame_pass = sharing_pass(identity=True, background=False)
    try:
        with frame_attention(transformer, frame_pass):
            during = [b.attn.processor for b in transformer.single_transformer_blocks]
            assert all(isinstance(p, StoryboardAttnProcessor) for p in during)
            if leaving == "by an exception":
                raise Stop
    except Stop:
        pass
    assert all(transformer.attn_processors[name] is p for name, p in before.items())


def test_a_chosen_attention_backend_is_kept():
    transformer = tiny_transformer()
    transformer.set_attention_backend("_native_math")
    frame_pass = sharing_pass(identity=True, background=False)
    with frame_attention(transformer, frame_pass):
        chosen = {
            b.attn.processor._attention_backend for b in transformer.single_transformer_blocks
        }
    assert {str(getattr(c, "value", c)) for c in chosen} == {"_native_math"}


def test_fused_projections_give_the_same():
    plain, fused = tiny_transformer(), tiny_transformer()
    fused.fuse_qkv_projections()
    torch.manual_seed(0)
    inputs = dict(
        hidden_states=torch.randn(1, TOKENS, 16),
        timestep=torch.tensor([0.5]),
        guidance=torch.tensor([3.5]),
        pooled_projections=torch.randn(1, 16),
        encoder_hidden_states=torch.randn(1, TEXT, 16),
        txt_ids=torch.zeros(TEXT, 3),
        img_ids=torch.zeros(TOKENS, 3),
        return_dict=False,
    )
    outputs = []
    for transformer in (plain, fused):
        with (
            torch.no_grad(),
            frame_attention(transformer, sharing_pass(identity=True, background=True)),
        ):
            outputs.append(transformer(**inputs)[0])
    torch.testing.assert_close(outputs[0], outputs[1], atol=1e-5, rtol=0)

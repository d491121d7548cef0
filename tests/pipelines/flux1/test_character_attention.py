"""The processor with a subject: alone, beside a frame pass, and in a pipeline's denoising."""

from collections import Counter
from contextlib import ExitStack

import pytest
import torch

from pipelines.consistency.bank import Bank
from pipelines.consistency.frame_pass import FramePass
from pipelines.consistency.masks import TextLengths
from pipelines.consistency.plan import StepPlan
from pipelines.flux1.attention import StoryboardAttnProcessor, subject_attention
from pipelines.flux1.rotary import BatchContext
from pipelines.instant_character.adapters import Subject, SubjectAdapters
from pipelines.sampling.denoiser import FrameInputs, Guidance
from pipelines.sampling.prompt import EncodedPrompt
from tests.pipelines.frame_attention import frame_attention
from tests.pipelines.tiny import tiny_pipeline, tiny_transformer
from tests.pipelines.tiny_character import tiny_character, tiny_features

PLAN = StepPlan(6, 1, 5, 1, 2, 4, 0.8, -1.0, 1)
TEXT, GRID = 7, (4, 6)
TOKENS = GRID[0] * GRID[1]
BLOCKS = 6


@pytest.fixture(scope="module")
def transformer():
    return tiny_transformer()


@pytest.fixture(scope="module")
def character(transformer):
    return tiny_character(transformer)


def subject_of(character, scale: float = 0.8, pictures: int = 1) -> Subject:
    subject = character.subject(tiny_features(pictures), scale)
    subject.begin_step(torch.tensor([700.0]))
    return subject


def inputs_of(frames: int) -> dict:
    torch.manual_seed(8)
    return dict(
        hidden_states=torch.randn(frames, TOKENS, 16),
        timestep=torch.full((frames,), 0.7),
        guidance=torch.full((frames,), 3.5),
        pooled_projections=torch.randn(frames, 16),
        encoder_hidden_states=torch.randn(frames, TEXT, 16),
        txt_ids=torch.zeros(TEXT, 3),
        img_ids=torch.cartesian_prod(
            torch.zeros(1), torch.arange(GRID[0]).float(), torch.arange(GRID[1]).float()
        ),
        return_dict=False,
    )


@torch.no_grad()
def predicted(transformer, subject=None, frame_pass=None, frames: int = 1) -> torch.Tensor:
    with ExitStack() as stack:
        if frame_pass is not None:
            stack.enter_context(frame_attention(transformer, frame_pass, subject))
        elif subject is not None:
            stack.enter_context(subject_attention(transformer, subject, TOKENS))
        return transformer(**inputs_of(frames))[0]


def new_pass(record: Bank | None = None) -> FramePass:
    return FramePass(PLAN, TextLengths(3, 6), GRID, BLOCKS - 2, torch.device("cpu"), record=record)


def test_every_block_is_conditioned_on_the_subject(transformer, character):
    subject = subject_of(character)
    with subject_attention(transformer, subject, TOKENS):
        processors = list(transformer.attn_processors.values())
    assert all(isinstance(processor, StoryboardAttnProcessor) for processor in processors)
    assert [processor._index for processor in processors] == list(range(BLOCKS))
    assert [processor._block for processor in processors] == [None, None, 0, 1, 2, 3]
    assert not torch.allclose(predicted(transformer, subject), predicted(transformer), atol=1e-2)


@pytest.mark.parametrize("frames", [1, 2])
def test_at_scale_0_it_is_the_stock_result_to_the_bit(transformer, character, frames):
    subject = subject_of(character, scale=0.0)
    stock = predicted(transformer, frames=frames)
    assert torch.equal(predicted(transformer, subject, frames=frames), stock)
    if frames == 1:
        assert torch.equal(predicted(transformer, subject, new_pass()), stock)


def test_a_vanishing_scale_vanishes(transformer, character):
    subject = subject_of(character, scale=1e-6)
    torch.testing.assert_close(
        predicted(transformer, subject), predicted(transformer), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("pictures", [1, 3])
def test_several_frames_at_once_are_as_each_alone(transformer, character, pictures):
    together = predicted(transformer, subject_of(character, pictures=pictures), frames=3)
    inputs = inputs_of(3)
    features = tiny_features(pictures)
    for frame in range(3):
        picture = frame if pictures == 3 else 0
        alone = character.subject(
            type(features)(*(part[picture : picture + 1] for part in vars(features).values()))
        )
        alone.begin_step(torch.tensor([700.0]))
        one = {
            name: value[frame : frame + 1]
            if torch.is_tensor(value) and not name.endswith("ids")
            else value
            for name, value in inputs.items()
        }
        with torch.no_grad(), subject_attention(transformer, alone, TOKENS):
            output = transformer(**one)[0]
        torch.testing.assert_close(together[frame], output[0], atol=1e-5, rtol=1e-5)


def test_a_pass_that_reads_nothing_leaves_the_subject_as_it_is(transformer, character):
    subject = subject_of(character)
    assert torch.equal(predicted(transformer, subject, new_pass()), predicted(transformer, subject))


def test_the_subject_comes_after_what_a_pass_records_and_merges(transformer, character):
    """The bank of a block is that of the attention alone, its output that and the term."""
    attn = transformer.single_transformer_blocks[0].attn
    torch.manual_seed(3)
    hidden = torch.randn(1, TEXT + TOKENS, 32)
    angles = torch.randn(TEXT + TOKENS, 8).repeat_interleave(2, dim=1)
    rotary = angles.cos(), angles.sin()
    subject = subject_of(character)
    banks, outputs = [], []
    for attended in (None, subject):
        bank = Bank(PLAN, holds_identity=True, holds_background=True)
        frame_pass = new_pass(bank)
        frame_pass.begin_step(1)
        batch = BatchContext()
        batch.set_frames([frame_pass], [attended], TOKENS, complete=True)
        processor = StoryboardAttnProcessor(batch, 2, 0)
        with torch.no_grad():
            outputs.append(processor(attn, hidden, image_rotary_emb=rotary))
        banks.append(bank)
    plain, with_subject = outputs
    query = attn.to_q(hidden)[:, TEXT:].unflatten(-1, (2, 16))
    assert torch.equal(with_subject[:, :TEXT], plain[:, :TEXT])
    term = subject.attend(2, query)
    torch.testing.assert_close(with_subject[:, TEXT:], plain[:, TEXT:] + term)
    assert term.abs().max() > 0.1
    for bank in banks:
        bank.set_mask(torch.ones(TOKENS, dtype=torch.bool))
    recorded, with_term = (bank.output(0, 1, torch.arange(TOKENS)) for bank in banks)
    assert torch.equal(recorded, with_term)


def test_fused_projections_give_the_same(transformer, character):
    fused = tiny_transformer()
    fused.fuse_qkv_projections()
    subject = subject_of(character)
    torch.testing.assert_close(
        predicted(fused, subject), predicted(transformer, subject), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("beside", ["a pass", "nothing"])
def test_processors_and_backends_are_put_back(character, beside):
    transformer = tiny_transformer()
    transformer.set_attention_backend("_native_math")
    before = dict(transformer.attn_processors)
    subject = subject_of(character)
    installed = (
        frame_attention(transformer, new_pass(), subject)
        if beside == "a pass"
        else subject_attention(transformer, subject, TOKENS)
    )
    with pytest.raises(KeyboardInterrupt), installed:
        during = transformer.attn_processors.values()
        assert all(isinstance(processor, StoryboardAttnProcessor) for processor in during)
        chosen = {str(getattr(p._attention_backend, "value", "")) for p in during}
        assert chosen == {"_native_math"}
        raise KeyboardInterrupt
    assert all(transformer.attn_processors[name] is p for name, p in before.items())


def test_adapters_of_another_model_are_refused(transformer, character):
    few = Subject(SubjectAdapters(character.adapters[:4]), lambda _: torch.ones(1, 5, 12))
    with pytest.raises(ValueError, match="4 subject adapters for a transformer of 6 blocks"):
        with subject_attention(transformer, few, TOKENS):
            pass


def test_gradients_reach_the_adapters_and_the_projector():
    transformer = tiny_transformer().requires_grad_(False)
    character = tiny_character(transformer)
    for module in (character.projector, character.adapters):
        module.requires_grad_(True)
    prepared = character.projector.prepare(tiny_features(2))
    subject = Subject(character.adapters, lambda t: character.projector.tokens(prepared, t))
    subject.begin_step(torch.tensor([700.0, 100.0]))
    with subject_attention(transformer, subject, TOKENS):
        transformer(**inputs_of(2))[0].square().mean().backward()
    for module in (character.projector, character.adapters):
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


@pytest.fixture(scope="module")
def pipeline():
    return tiny_pipeline()


def latents_of(pipeline, subject, guided: bool = False) -> torch.Tensor:
    torch.manual_seed(5)
    prompts = [
        EncodedPrompt(torch.randn(1, TEXT, 16), torch.randn(1, 16), TextLengths(3, 6))
        for _ in range(2)
    ]
    inputs = FrameInputs(prompts[0], torch.randn(1, TOKENS, 16), GRID)
    guidance = Guidance(3.5, 2.0, prompts[1]) if guided else Guidance(3.5)
    return list(pipeline.denoise(inputs, new_pass(), guidance, PLAN.steps, subject))[-1]


@pytest.mark.parametrize("guided", [False, True])
def test_denoising_with_a_subject(pipeline, guided):
    character = tiny_character(pipeline.transformer)
    features = tiny_features()
    counted = Counter()
    hooks = [
        adapter.to_k_ip.register_forward_hook(lambda *_, block=block: counted.update([block]))
        for block, adapter in enumerate(character.adapters)
    ]
    before = dict(pipeline.transformer.attn_processors)
    plain = latents_of(pipeline, None, guided)
    shown = latents_of(pipeline, character.subject(features), guided)
    for hook in hooks:
        hook.remove()
    assert not torch.allclose(plain, shown, atol=1e-2)
    assert dict(counted) == dict.fromkeys(range(BLOCKS), PLAN.steps)
    assert torch.equal(latents_of(pipeline, character.subject(features, 0.0), guided), plain)
    assert pipeline.transformer.attn_processors == before


def test_both_branches_of_the_guidance_see_the_subject(pipeline):
    character = tiny_character(pipeline.transformer)
    attended_blocks = []

    class NotingSubject(Subject):
        def attend(self, block, query, backend=None):
            attended_blocks.append(block)
            return super().attend(block, query, backend)

    subject = NotingSubject(character.adapters, character.tokens(tiny_features()))
    latents_of(pipeline, subject, guided=True)
    assert attended_blocks == list(range(BLOCKS)) * 2 * PLAN.steps

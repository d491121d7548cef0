"""CharaConsist as published: everything is kept, and a dense mask lets queries see their keys.

Written from the golden vectors' README alone, as the reference for our implementation: the same
latents, computed in the obvious way. Keys and values of every image token of every single-stream
block and sharing step stay in host memory (copied there and back where a GPU computes, as in the
published code). Shared keys are appended to a block's own, and an additive mask over the whole
range of keys lets each group of queries see its own. A probe pass runs all its steps, the first
included, and keeps the attention outputs of all blocks until it compares them. Frames are rendered
one after another, in batches of one.

It is faster than the published code in two points: a mask is made once for as long as nothing in it
changes, and the probe pass's preview is not decoded. Where nothing matches, the published code
fails; this shares nothing then.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from diffusers.models.embeddings import apply_rotary_emb
from diffusers.models.transformers.transformer_flux import FluxAttention, FluxAttnProcessor
from torch import Tensor

from evaluation.fidelity.steering import Steering
from pipelines.consistency.masks import TextLengths, clean_mask
from pipelines.consistency.matching import Matches
from pipelines.consistency.plan import StepPlan
from pipelines.flux1.pipeline import FluxStoryboardPipeline
from pipelines.flux1.velocity import set_timesteps
from pipelines.request import FrameRequest, Prompt, RenderRequest
from pipelines.sampling.denoiser import FrameInputs
from pipelines.sampling.prompt import EncodedPrompt
from pipelines.sampling.schedule import step_plan

_HOST = torch.device("cpu")
Rotary = tuple[Tensor, Tensor]


class DenseBank:
    """Bank of the keys, values and outputs of all image tokens of a frame, in host memory.

    Attributes:
        keys: keys before RoPE and values by block and step, each (tokens, heads, head_dim).
        merged: attention outputs that readers merge, likewise, (tokens, channels).
        compared: attention outputs of the mask step by block.
        mask: the frame's foreground, bool, shape (tokens,); None before its mask step.
    """

    def __init__(self) -> None:
        self.keys: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        self.merged: dict[tuple[int, int], Tensor] = {}
        self.compared: dict[int, Tensor] = {}
        self.mask: Tensor | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of host memory."""
        tensors = [*self.merged.values(), *self.compared.values()]
        tensors += [tensor for pair in self.keys.values() for tensor in pair]
        return sum(tensor.nbytes for tensor in tensors)


class DensePass:
    """State of one pass of a frame, probe or render; most arguments are as of `FramePass`.

    Args:
        steering: the masks and matches that a random model is given; None to find its own.

    Attributes:
        mask: the current foreground, bool, shape (tokens,); None before the first.
        matches: the current matches; None before the first.
    """

    def __init__(
        self,
        plan: StepPlan,
        text: TextLengths,
        grid: tuple[int, int],
        device: torch.device,
        *,
        record: DenseBank | None,
        identity: DenseBank | None,
        background: DenseBank | None,
        matches: Matches | None,
        steering: Steering | None,
    ) -> None:
        self.plan, self.text, self.grid = plan, text, grid
        self._device = device
        self.record, self.identity, self.background = record, identity, background
        self.matches, self.steering = matches, steering
        self.renders = matches is not None
        self.mask: Tensor | None = None
        self.step = 0
        self._maps: list[tuple[Tensor, Tensor]] = []
        self._outputs: list[Tensor] = []
        self._additive: dict[tuple[bool, bool], Tensor] = {}

    @property
    def tokens(self) -> int:
        """Number of image tokens."""
        return self.grid[0] * self.grid[1]

    def keep(self, block: int, key: Tensor, value: Tensor) -> None:
        """Keep image tokens' keys before RoPE and values, whole, in every block."""
        if self.record is not None and self.plan.shares(self.step):
            kept = key.to(_HOST, copy=True), value.to(_HOST, copy=True)
            self.record.keys[block, self.step] = kept

    def collect_maps(self, query: Tensor, text_key: Tensor) -> None:
        """Add the attention maps of image queries and text keys after RoPE; README, 4.3."""
        if not self._finds_mask() or not 0 < self.text.background < self.text.real:
            return
        logits = query.transpose(0, 1) @ text_key[: self.text.real].permute(1, 2, 0)
        weights = logits.to(torch.float16).softmax(dim=-1).sum(dim=0)
        split = self.text.background
        self._maps.append((weights[:, :split].mean(dim=-1), weights[:, split:].mean(dim=-1)))

    def extra(
        self, block: int, rotary: Rotary, like: Tensor
    ) -> tuple[Tensor, Tensor, Tensor] | None:
        """Return the keys that a block's queries see besides its own; README, 4.8.

        Args:
            block: single-stream block.
            rotary: tables of text and image.
            like: the block's own keys, (1, tokens, heads, head_dim).

        Returns:
            Keys after RoPE and values, each (1, extra, heads, head_dim), and the additive mask,
            (1, 1, tokens, tokens + extra); None where there are none.
        """
        shares = self.plan.shares(self.step) and self.mask is not None
        background = self.background if shares else None
        identity = self.identity if shares and self.renders and self._merges_in(block) else None
        text = like.shape[1] - self.tokens
        sources, counts = [], [0, 0]
        if background is not None:
            assert background.mask is not None and self.mask is not None
            tokens = (~background.mask & ~self.mask).nonzero().flatten()
            counts[0] = len(tokens)
            sources.append((background, tokens, tokens))
        if identity is not None:
            assert self.matches is not None
            counts[1] = len(self.matches)
            sources.append((identity, self.matches.identity_index, self.matches.frame_index))
        if not any(counts):
            return None
        taken = []
        for bank, source, target in sources:
            if len(source):
                key, value = (tensor.to(like.device) for tensor in bank.keys[block, self.step])
                tables = tuple(table[target + text] for table in rotary)
                rotated = apply_rotary_emb(key[source][None], tables, sequence_dim=1)
                taken.append((rotated, value[source][None]))
        keys, values = (torch.cat(parts, dim=1) for parts in zip(*taken, strict=True))
        kind = counts[0] > 0, counts[1] > 0
        if kind not in self._additive:
            self._additive[kind] = self._mask_of(text, counts, like.dtype)
        return keys, values, self._additive[kind]

    def observe(self, block: int, output: Tensor) -> None:
        """Keep image tokens' attention outputs, (tokens, channels), before the merge."""
        if self.record is not None:
            if self._merges_in(block) and self.plan.merges(self.step):
                self.record.merged[block, self.step] = output.to(_HOST, copy=True)
            if self.step == self.plan.mask_step:
                self.record.compared[block] = output.to(_HOST, copy=True)
        if self.identity is not None and self.step == self.plan.mask_step:
            self._outputs.append(output.clone())

    def merge(self, block: int, output: Tensor) -> None:
        """Move matched tokens towards the identity frame's, in place; README, 4.7."""
        plan = self.plan
        merges = self.renders and self._merges_in(block) and plan.merges(self.step)
        if not merges or self.identity is None or self.matches is None:
            return
        weight = plan.merge_weight
        if self.step >= plan.merge_decay:
            part = (self.step - plan.merge_decay) / (plan.merge_end - plan.merge_decay)
            weight *= (1 + math.cos(math.pi * part)) / 2
        share = (weight * self.matches.similarity).to(output.dtype)[:, None]
        theirs = self.identity.merged[block, self.step].to(output.device)
        rows = self.matches.frame_index
        output[rows] = (1 - share) * output[rows] + share * theirs[self.matches.identity_index]

    def end_step(self) -> None:
        """Find the mask and, at the mask step, the matches, after the model's call."""
        last = self.step == self.plan.mask_step
        if self._finds_mask():
            self.mask = self._found_mask()
            self._additive.clear()
        if last and self.record is not None:
            self.record.mask = self.mask
        if last and self.identity is not None:
            self.matches = self._found_matches()
            self._additive.clear()

    def _finds_mask(self) -> bool:
        if self.identity is None and self.background is None:
            return self.step == self.plan.mask_step
        return self.step <= self.plan.mask_step

    @staticmethod
    def _merges_in(block: int) -> bool:
        return block % 2 == 0

    def _mask_of(self, text: int, counts: list[int], dtype: torch.dtype) -> Tensor:
        """Make the additive mask: minus infinity where a query must not see a key."""
        mask = self.mask
        assert mask is not None
        own = text + self.tokens
        additive = torch.zeros(own, own + sum(counts), dtype=dtype, device=mask.device)
        additive[:, own:] = -math.inf
        additive[text:, own : own + counts[0]][~mask] = 0
        additive[text:, own + counts[0] :][mask] = 0
        return additive[None, None]

    def _found_mask(self) -> Tensor:
        rows, columns = self.grid
        if self._maps:
            background, foreground = self._maps[0]
            for behind, figure in self._maps[1:]:
                background, foreground = background + behind, foreground + figure
            count = len(self._maps)
            raw = background / count <= foreground / count
            self._maps = []
            size = self.plan.mask_erode, self.plan.mask_dilate
            found = clean_mask(raw.view(rows, columns), *size).flatten()
        else:
            found = torch.full((self.tokens,), self.text.background == 0, device=self._device)
        if self.steering is not None:
            return self.steering.mask(rows, columns, found.device)
        return found

    def _found_matches(self) -> Matches:
        """README, 4.4: mean cosine over all blocks, both ends foreground, above the threshold."""
        assert self.identity is not None and self.mask is not None
        total = torch.zeros(())
        for block, output in enumerate(self._outputs):
            theirs = self.identity.compared[block].to(output.device)
            cosine = F.normalize(output, dim=-1) @ F.normalize(theirs, dim=-1).T
            total = cosine.float() if block == 0 else total + cosine.float()
        similarity, index = (total / len(self._outputs)).max(dim=-1)
        self._outputs = []
        theirs_mask = self.identity.mask
        assert theirs_mask is not None
        if self.steering is not None:
            return self.steering.matches(self.mask, theirs_mask)
        kept = self.mask & theirs_mask[index] & (similarity > self.plan.similarity_threshold)
        rows = kept.nonzero().flatten()
        return Matches(rows, index[rows], similarity[rows])


class DenseAttnProcessor(FluxAttnProcessor):
    """Attention of one single-stream block, for the oracle's current pass.

    Args:
        oracle: holds the current pass.
        block: the block's index.
    """

    def __init__(self, oracle: DenseOracle, block: int) -> None:
        super().__init__()
        self._oracle = oracle
        self._block = block

    def __call__(
        self,
        attn: FluxAttention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: Rotary | None = None,
    ) -> Tensor:
        """Attend, text and image tokens together, (1, tokens, channels)."""
        current, block = self._oracle.current, self._block
        if current is None:
            plain: Tensor = super().__call__(
                attn, hidden_states, encoder_hidden_states, attention_mask, image_rotary_emb
            )
            return plain
        assert image_rotary_emb is not None
        text = hidden_states.shape[1] - current.tokens
        query, key, value = (
            layer(hidden_states).unflatten(-1, (-1, attn.head_dim))
            for layer in (attn.to_q, attn.to_k, attn.to_v)
        )
        query, key = attn.norm_q(query), attn.norm_k(key)
        current.keep(block, key[0, text:], value[0, text:])
        query = apply_rotary_emb(query, image_rotary_emb, sequence_dim=1)
        key = apply_rotary_emb(key, image_rotary_emb, sequence_dim=1)
        current.collect_maps(query[0, text:], key[0, :text])
        output = dense_attention(current, block, query, key, value, image_rotary_emb)
        output = output.flatten(2, 3).to(query.dtype)
        current.observe(block, output[0, text:])
        current.merge(block, output[0, text:])
        return output


def dense_attention(
    current: DensePass, block: int, query: Tensor, key: Tensor, value: Tensor, rotary: Rotary
) -> Tensor:
    """Attend from all queries to all keys, own and shared, under one mask.

    Returns:
        The outputs, shape (1, tokens, heads, head_dim).
    """
    mask = None
    extra = current.extra(block, rotary, key)
    if extra is not None:
        key, value = torch.cat([key, extra[0]], dim=1), torch.cat([value, extra[1]], dim=1)
        mask = extra[2]
    attended = F.scaled_dot_product_attention(
        query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), attn_mask=mask
    )
    return attended.transpose(1, 2)


class DenseOracle:
    """Renders the frames of a request in the published way.

    Args:
        pipeline: the networks; its attention processors are put back.
        max_sequence_length: text tokens.
        steering: the masks and matches that a random model is given; None to find its own.

    Attributes:
        current: the pass that the blocks take part in; None in a negative prompt's branch.
        bank_bytes: the most that all banks together held.
        evaluations: forward passes with the frames' own prompts so far.
    """

    def __init__(
        self,
        pipeline: FluxStoryboardPipeline,
        max_sequence_length: int,
        steering: Steering | None = None,
    ) -> None:
        self.current: DensePass | None = None
        self.bank_bytes = 0
        self.evaluations = 0
        self._pipeline, self._length, self._steering = pipeline, max_sequence_length, steering

    @torch.no_grad()
    def latents(self, request: RenderRequest) -> Iterator[tuple[FrameRequest, Tensor]]:
        """Yield the final latents of all frames, packed, each (1, image tokens, channels)."""
        plan = step_plan(request.steps, request.consistency)
        negative = None
        if request.true_cfg_scale > 1:
            prompt = Prompt("", "", request.negative_prompt)
            negative = self._pipeline.encode(prompt, self._length)
        banks: dict[str | None, DenseBank] = {}
        sources = {f.identity_from for f in request.frames}
        sources |= {f.background_from for f in request.frames}
        with self._installed():
            for frame in request.frames:
                inputs = self._pipeline.prepare(frame, self._length)
                record = DenseBank() if frame.frame_id in sources else None
                identity = banks.get(frame.identity_from)
                background = banks.get(frame.background_from)
                matches = None
                for probe in (True, False) if identity is not None else (False,):
                    dense_pass = DensePass(
                        plan,
                        inputs.prompt.text,
                        self._pipeline.grid(frame.height, frame.width),
                        inputs.latents.device,
                        record=None if probe else record,
                        identity=identity,
                        background=background,
                        matches=matches,
                        steering=self._steering,
                    )
                    steps = plan.probe_steps if probe else plan.steps
                    found = self._denoise(request, inputs, dense_pass, negative, steps)
                    matches = dense_pass.matches
                if record is not None:
                    banks[frame.frame_id] = record
                held = sum(bank.nbytes for bank in banks.values())
                self.bank_bytes = max(self.bank_bytes, held)
                yield frame, found

    def _denoise(
        self,
        request: RenderRequest,
        inputs: FrameInputs,
        dense_pass: DensePass,
        negative: EncodedPrompt | None,
        steps: int,
    ) -> Tensor:
        scheduler, latents = self._pipeline.scheduler, inputs.latents
        tokens, device = latents.shape[1], latents.device
        timesteps = set_timesteps(scheduler, tokens, request.steps, device)
        for dense_pass.step in range(steps):
            timestep = timesteps[dense_pass.step]
            time = timestep.expand(1).to(latents.dtype)
            self.current = dense_pass
            predicted = self._velocity(request, inputs.prompt, latents, time, dense_pass.grid)
            self.current = None
            self.evaluations += 1
            dense_pass.end_step()
            if negative is not None:
                away = self._velocity(request, negative, latents, time, dense_pass.grid)
                predicted = away + request.true_cfg_scale * (predicted - away)
            moved = scheduler.step(predicted, timestep, latents, return_dict=False)[0]
            latents = moved.to(latents.dtype)
        return latents

    def _velocity(
        self,
        request: RenderRequest,
        prompt: EncodedPrompt,
        latents: Tensor,
        time: Tensor,
        grid: tuple[int, int],
    ) -> Tensor:
        pipeline = self._pipeline
        transformer = pipeline.transformer
        guide = None
        if transformer.config.guidance_embeds:
            guide = torch.full([1], request.guidance_scale, device=latents.device)
        predicted: Tensor = transformer(
            hidden_states=latents,
            timestep=time / 1000,
            guidance=guide,
            pooled_projections=prompt.pooled_prompt_embeds,
            encoder_hidden_states=prompt.prompt_embeds,
            txt_ids=latents.new_zeros(prompt.prompt_embeds.shape[1], 3),
            img_ids=pipeline._prepare_latent_image_ids(1, *grid, latents.device, latents.dtype),
            return_dict=False,
        )[0]
        return predicted

    @contextmanager
    def _installed(self) -> Iterator[None]:
        """Install processors in the single-stream blocks; the old ones are put back."""
        blocks = self._pipeline.transformer.single_transformer_blocks
        before = [block.attn.processor for block in blocks]
        for number, block in enumerate(blocks):
            block.attn.set_processor(DenseAttnProcessor(self, number))
        try:
            yield
        finally:
            for block, processor in zip(blocks, before, strict=True):
                block.attn.set_processor(processor)

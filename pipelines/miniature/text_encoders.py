"""The miniature's text encoders, trained to name the attributes that a prompt states.

CLIP's pooled output and T5's sequence must each tell who is where, in what, doing what. Afterwards
they are frozen. Padding is not masked, exactly as `FluxPipeline` calls them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from pipelines.miniature.budget import Budget
from pipelines.miniature.files import MetricsLog
from pipelines.miniature.recipe import ModelSizes, Recipe
from pipelines.miniature.tokens import CLIP_TOKENS, Tokenizers, load_tokenizers
from pipelines.miniature.world import Prompt, SceneSpec, sample_spec, write_prompt
from pipelines.miniature.world import vocabulary as v

_PEAK_RATE = 2e-3
_HELD_OUT = 1000
_PROMPT_SEED = 9
_UNSAID = -100  # cross_entropy's mark for "do not ask"

ATTRIBUTES: dict[str, tuple[Any, ...]] = {
    "place": v.PLACES,
    "action": v.ACTIONS,
    "position": v.POSITIONS,
    "shot": v.SHOTS,
    "from_behind": (False, True),
    "kind": v.KINDS,
    "skin": tuple(v.SKIN_COLORS),
    "hair_style": v.HAIR_STYLES,
    "hair_color": tuple(v.HAIR_COLORS),
    "top": v.TOPS,
    "top_color": tuple(v.CLOTH_COLORS),
    "pattern": v.PATTERNS,
    "bottom": v.BOTTOMS,
    "bottom_color": tuple(v.CLOTH_COLORS),
    "accessory": v.ACCESSORIES,
}


@dataclass(frozen=True)
class TextEncoders:
    """Both text encoders.

    Attributes:
        clip: gives the pooled embedding.
        t5: gives the sequence.
    """

    clip: CLIPTextModel
    t5: T5EncoderModel

    def to(self, device: torch.device) -> "TextEncoders":
        """Both on a device."""
        return TextEncoders(self.clip.to(device), self.t5.to(device))

    def encode(self, clip_ids: Tensor, t5_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings of tokenised prompts.

        Args:
            clip_ids: shape (batch, 77).
            t5_ids: shape (batch, text tokens).

        Returns:
            The sequence, shape (batch, text tokens, width), and the pooled embedding, shape
            (batch, width).
        """
        return self.t5(t5_ids)[0], self.clip(clip_ids).pooler_output


def build_text_encoders(sizes: ModelSizes, tokenizers: Tokenizers) -> TextEncoders:
    """New text encoders for a vocabulary."""
    width = sizes.text_width
    clip = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizers.clip),
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=sizes.clip_layers,
            num_attention_heads=4,
            max_position_embeddings=CLIP_TOKENS,
            projection_dim=width,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    )
    t5 = T5EncoderModel(
        T5Config(
            vocab_size=len(tokenizers.t5),
            d_model=width,
            d_kv=width // 4,
            d_ff=2 * width,
            num_layers=sizes.t5_layers,
            num_heads=4,
            feed_forward_proj="gated-gelu",
            dropout_rate=0.0,
            pad_token_id=0,
            eos_token_id=1,
        )
    )
    return TextEncoders(clip, t5)


def load_text_encoders(folder: Path) -> TextEncoders:
    """Open the text encoders that a pipeline folder holds, in float32."""
    return TextEncoders(
        CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32).eval(),
        T5EncoderModel.from_pretrained(folder / "text_encoder_2", dtype=torch.float32).eval(),
    )


def start_from(encoders: TextEncoders, tokenizers: Tokenizers, folder: Path) -> None:
    """Copy weights of another pipeline's text encoders; words are matched by their spelling.

    Args:
        encoders: get the weights.
        tokenizers: the words of `encoders`.
        folder: a pipeline whose encoders have the same sizes.
    """
    old, old_tokenizers = (
        load_text_encoders(folder),
        load_tokenizers(folder, tokenizers.text_tokens),
    )
    for model, words, old_model, old_words in (
        (encoders.clip, tokenizers.clip, old.clip, old_tokenizers.clip),
        (encoders.t5, tokenizers.t5, old.t5, old_tokenizers.t5),
    ):
        state = old_model.state_dict()
        rows = model.get_input_embeddings().weight.detach().clone()
        old_rows = old_model.get_input_embeddings().weight.detach()
        for piece, row in words.get_vocab().items():
            old_row = old_words.get_vocab().get(piece)
            if old_row is not None:
                rows[row] = old_rows[old_row]
        embedding_names = [n for n, t in state.items() if t.shape == old_rows.shape]
        model.load_state_dict({**state, **dict.fromkeys(embedding_names, rows)})


class AttributeReader(nn.Module):
    """Reads every attribute off both embeddings; used in training alone."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(len(ATTRIBUTES), width) * 0.05)
        self.keys = nn.Linear(width, width)
        self.values = nn.Linear(width, width)
        sizes = [len(options) for options in ATTRIBUTES.values()]
        self.from_sequence = nn.ModuleList(nn.Linear(width, size) for size in sizes)
        self.from_pooled = nn.ModuleList(nn.Linear(width, size) for size in sizes)

    def forward(self, sequence: Tensor, pooled: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Scores of every attribute's values, from the sequence and from the pooled embedding."""
        weights = (self.queries @ self.keys(sequence).transpose(1, 2)).softmax(-1)
        found = weights @ self.values(sequence)
        by_sequence = [head(found[:, i]) for i, head in enumerate(self.from_sequence)]
        return by_sequence, [head(pooled) for head in self.from_pooled]


def stated_attributes(spec: SceneSpec, prompt: Prompt) -> list[int]:
    """The index of each attribute's value, or -100 where the prompt does not say it."""
    labels = []
    for name, options in ATTRIBUTES.items():
        holder = spec if hasattr(spec, name) else spec.character
        silent = name in prompt.hidden or (spec.character is None and name != "place")
        labels.append(_UNSAID if silent else options.index(getattr(holder, name)))
    return labels


def train_text_encoders(
    encoders: TextEncoders,
    tokenizers: Tokenizers,
    recipe: Recipe,
    device: torch.device,
    log_path: Path,
) -> dict[str, dict[str, float]]:
    """Train both encoders in place, until the budget is used.

    Args:
        encoders: what to train; left on the CPU, in evaluation mode.
        tokenizers: their words.
        recipe: batch and budget.
        device: where to train.
        log_path: the metrics log that is appended to.

    Returns:
        Accuracy on held-out prompts by encoder ("t5", "clip") and attribute.
    """
    torch.manual_seed(2)
    rng = np.random.default_rng(_PROMPT_SEED)
    specs = [sample_spec(rng) for _ in range(recipe.prompts)]
    prompts = [write_prompt(spec, rng) for spec in specs]
    texts = [_vary(prompt.text, rng) for prompt in prompts]
    clip_ids = torch.from_numpy(tokenizers.clip_ids(texts))
    t5_ids = torch.from_numpy(tokenizers.t5_ids(texts))
    labels = torch.tensor([stated_attributes(s, p) for s, p in zip(specs, prompts, strict=True)])
    reader = AttributeReader(recipe.sizes.text_width).to(device)
    modules = nn.ModuleList([encoders.clip, encoders.t5, reader]).to(device).train()
    optimizer = torch.optim.AdamW(modules.parameters(), _PEAK_RATE, (0.9, 0.98), weight_decay=0.01)
    budget = Budget(recipe.text_minutes, recipe.text_steps)
    log = MetricsLog(log_path)
    held_out = min(_HELD_OUT, len(texts) // 4)
    while budget.progress < 1:
        for group in optimizer.param_groups:
            group["lr"] = _PEAK_RATE * budget.rate(recipe.warmup, 1.0)
        chosen = torch.from_numpy(rng.integers(held_out, len(texts), recipe.text_batch))
        embeddings = encoders.encode(clip_ids[chosen].to(device), t5_ids[chosen].to(device))
        loss = _reading_loss(reader(*embeddings), labels[chosen].to(device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(modules.parameters(), 1.0)
        optimizer.step()
        budget.step += 1
        budget.tick()
        if budget.step % (2 * recipe.log_every) == 0:
            log.add(step=budget.step, seconds=budget.seconds, loss=loss.item())
    modules.eval()
    with torch.no_grad():
        embeddings = encoders.encode(clip_ids[:held_out].to(device), t5_ids[:held_out].to(device))
        by_sequence, by_pooled = reader(*embeddings)
    encoders.to(torch.device("cpu"))
    truth = labels[:held_out].to(device)
    return {"t5": _accuracy(by_sequence, truth), "clip": _accuracy(by_pooled, truth)}


def _vary(text: str, rng: np.random.Generator) -> str:
    """People also write without commas, and with a capital at the start."""
    if rng.random() < 0.1:
        text = text.replace(",", "")
    return text[0].upper() + text[1:] if rng.random() < 0.1 else text


def _reading_loss(scores: tuple[list[Tensor], list[Tensor]], labels: Tensor) -> Tensor:
    """Cross entropy over all attributes that are stated at all in the batch, both readings."""
    losses = [
        F.cross_entropy(found, labels[:, number % len(ATTRIBUTES)], ignore_index=_UNSAID)
        for number, found in enumerate([*scores[0], *scores[1]])
        if (labels[:, number % len(ATTRIBUTES)] != _UNSAID).any()
    ]
    return torch.stack(losses).sum() / len(ATTRIBUTES)


def _accuracy(scores: list[Tensor], labels: Tensor) -> dict[str, float]:
    rates = {}
    for number, name in enumerate(ATTRIBUTES):
        said = labels[:, number] != _UNSAID
        right = scores[number].argmax(-1) == labels[:, number]
        rates[name] = round(right[said].float().mean().item(), 4)
    return rates

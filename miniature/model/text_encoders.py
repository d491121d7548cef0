"""The miniature's text encoders, trained to name the attributes that a prompt states.

All attributes are read off CLIP's pooled output and off T5's sequence. Afterwards the encoders are
frozen. Padding is not masked, exactly as `FluxPipeline` calls them.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from string import ascii_lowercase

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from miniature.model.attributes import ATTRIBUTES, UNSAID, stated_attributes
from miniature.model.recipe import ModelSizes, Recipe
from miniature.model.tokens import CLIP_TOKENS, Tokenizers, load_tokenizers
from miniature.world.prompts import Wordings, write_prompt
from miniature.world.spec import WorldRange, sample_spec
from miniature.world.wordings import NEUTRAL_WORDS
from training.loop import Trainer, train_until_done
from training.weights import TrainedWeights

_PEAK_RATE = 2e-3
_WORD_RATE = 2e-2  # of word embeddings and the reader: a step moves only the words in its batch
_HELD_OUT = 1000
_PROMPT_SEED = 9
_MORE_PAIRS = 3  # two figures are learnt from more prompts than there are pictures of them
_ROOM = 50  # words of a prompt that leave room for one more, spelled out


@dataclass(frozen=True)
class TextEncoders:
    """Encoders of the pooled embedding (CLIP) and of the sequence (T5)."""

    clip: CLIPTextModel
    t5: T5EncoderModel

    def to(self, device: torch.device) -> "TextEncoders":
        """Move both to a device."""
        return TextEncoders(self.clip.to(device), self.t5.to(device))

    def encode(self, clip_ids: Tensor, t5_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sequence (batch, text tokens, width) and the pooled embedding (batch, width).

        Args:
            clip_ids: shape (batch, 77).
            t5_ids: shape (batch, text tokens).
        """
        return self.t5(t5_ids)[0], self.clip(clip_ids).pooler_output


def build_text_encoders(sizes: ModelSizes, tokenizers: Tokenizers) -> TextEncoders:
    """Build text encoders for a vocabulary."""
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
    """Load the text encoders of a pipeline folder, in float32."""
    return TextEncoders(
        CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32).eval(),
        T5EncoderModel.from_pretrained(folder / "text_encoder_2", dtype=torch.float32).eval(),
    )


def start_from(encoders: TextEncoders, tokenizers: Tokenizers, folder: Path) -> None:
    """Copy the weights of a pipeline's text encoders; words are matched by their spelling.

    Args:
        encoders: receive the weights; of the same sizes.
        tokenizers: tokenizers of `encoders`.
        folder: folder of the pipeline.
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
        embedding_names = [n for n, t in state.items() if t.data_ptr() == old_rows.data_ptr()]
        model.load_state_dict({**state, **dict.fromkeys(embedding_names, rows)})


class AttributeReader(nn.Module):
    """Linear heads that read every attribute off both embeddings; used in training only.

    In the sequence each token votes for values, and the strongest votes win. So the embedding of
    each word learns what the word states.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.sizes = [len(options) for options in ATTRIBUTES.values()]
        self.from_token = nn.Linear(width, sum(self.sizes))
        self.from_pooled = nn.Linear(width, sum(self.sizes))

    def forward(self, sequence: Tensor, pooled: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return scores of every attribute's values, from the sequence and the pooled embedding."""
        votes = self.from_token(sequence).logsumexp(1)
        return list(votes.split(self.sizes, 1)), list(self.from_pooled(pooled).split(self.sizes, 1))


@dataclass(frozen=True)
class _LabelledPrompts:
    """Tokenised prompts with the attributes that they state.

    Attributes:
        clip_ids: shape (prompts, 77).
        t5_ids: shape (prompts, text tokens).
        labels: shape (prompts, attributes), UNSAID where nothing is stated.
    """

    clip_ids: Tensor
    t5_ids: Tensor
    labels: Tensor


def _labelled_prompts(
    count: int,
    tokenizers: Tokenizers,
    world: WorldRange,
    rng: np.random.Generator,
    wordings: Wordings,
) -> _LabelledPrompts:
    world = replace(world, pair_share=min(_MORE_PAIRS * world.pair_share, 1.0))
    specs = [sample_spec(rng, world) for _ in range(count)]
    prompts = [write_prompt(spec, rng, wordings) for spec in specs]
    texts = [_vary(prompt.text, rng) for prompt in prompts]
    labels = [stated_attributes(s, p) for s, p in zip(specs, prompts, strict=True)]
    return _LabelledPrompts(
        torch.from_numpy(tokenizers.clip_ids(texts)),
        torch.from_numpy(tokenizers.t5_ids(texts)),
        torch.tensor(labels),
    )


class TextTrainer(Trainer):
    """Training of both text encoders and the reader, with `rate` times the learning rates."""

    def __init__(
        self,
        encoders: TextEncoders,
        reader: AttributeReader,
        prompts: _LabelledPrompts,
        recipe: Recipe,
        device: torch.device,
        rate: float,
    ) -> None:
        self._encoders, self._reader, self._prompts = encoders, reader, prompts
        self._device = device
        modules = nn.ModuleList([encoders.clip, encoders.t5, reader])
        schedule = replace(
            recipe,
            minutes=recipe.text_minutes,
            steps=recipe.text_steps,
            batch=recipe.text_batch,
            warmup=recipe.text_warmup,
            cooldown=1.0,
            log_every=2 * recipe.log_every,
        )
        optimizer = _optimizer(encoders, reader, rate)
        weights = TrainedWeights(
            modules.state_dict(), [optimizer], modules.parameters(), averaged=False
        )
        super().__init__(schedule, weights)

    def step_losses(self) -> dict[str, Tensor]:
        """Compute the loss of a step."""
        rng = np.random.default_rng((_PROMPT_SEED, self.budget.step))
        count = len(self._prompts.labels)
        chosen = torch.from_numpy(rng.integers(0, count, self.schedule.batch))
        embeddings = self._encoders.encode(
            self._prompts.clip_ids[chosen].to(self._device),
            self._prompts.t5_ids[chosen].to(self._device),
        )
        labels = self._prompts.labels[chosen].to(self._device)
        return {"loss": _reading_loss(self._reader(*embeddings), labels)}


def train_text_encoders(
    encoders: TextEncoders,
    tokenizers: Tokenizers,
    recipe: Recipe,
    device: torch.device,
    folder: Path,
    rate: float = 1.0,
) -> dict[str, dict[str, float]]:
    """Train both encoders in place; an interrupted training continues exactly.

    Args:
        encoders: both encoders; left on the CPU, in evaluation mode.
        tokenizers: both tokenizers.
        recipe: the world, batch and budget.
        device: training device.
        folder: gets the metrics log (text.jsonl) and the checkpoint (text.pt).
        rate: factor of the learning rates; below 1 for encoders that are trained already.

    Returns:
        Accuracy by encoder and attribute: on unseen prompts in the wordings of the training
        ("t5", "clip") and in wordings that it never uses ("t5_held_out", "clip_held_out"). An
        attribute that none of them states is left out.
    """
    torch.manual_seed(2)
    rng = np.random.default_rng(_PROMPT_SEED)
    prompts = _labelled_prompts(recipe.prompts, tokenizers, recipe.world, rng, "training")
    held_out = min(_HELD_OUT, recipe.prompts // 4)
    reader = AttributeReader(recipe.sizes.text_width).to(device)
    modules = nn.ModuleList([encoders.clip, encoders.t5, reader]).to(device).train()
    training = _LabelledPrompts(*(tensor[held_out:] for tensor in vars(prompts).values()))
    trainer = TextTrainer(encoders, reader, training, recipe, device, rate)
    train_until_done(trainer, folder, "text")
    modules.eval()
    rng = np.random.default_rng(_PROMPT_SEED + 1)
    new = _labelled_prompts(held_out, tokenizers, recipe.world, rng, "held_out")
    by_sequence, by_pooled = _accuracies(encoders, reader, prompts, held_out, device)
    new_by_sequence, new_by_pooled = _accuracies(encoders, reader, new, held_out, device)
    encoders.to(torch.device("cpu"))
    return {
        "t5": by_sequence,
        "clip": by_pooled,
        "t5_held_out": new_by_sequence,
        "clip_held_out": new_by_pooled,
    }


def _optimizer(encoders: TextEncoders, reader: AttributeReader, rate: float) -> torch.optim.AdamW:
    """Build AdamW with two groups: the encoders' layers; word embeddings and reader."""
    words = [model.get_input_embeddings().weight for model in (encoders.clip, encoders.t5)]
    layers = [
        parameter
        for model in (encoders.clip, encoders.t5)
        for parameter in model.parameters()
        if all(parameter is not embedding for embedding in words)
    ]
    groups = [
        {"params": layers, "lr": rate * _PEAK_RATE},
        {"params": [*words, *reader.parameters()], "lr": rate * _WORD_RATE},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.01)


def _vary(text: str, rng: np.random.Generator) -> str:
    """Vary a prompt as people do: without commas, with a capital, with neutral or unknown words.

    Unknown words are spelled by the tokenizers, as names are.
    """
    draw, capital = rng.random(2)
    words = text.split(" ")
    if draw < 0.1:
        text = text.replace(",", "")
    elif draw < 0.25 and len(words) < _ROOM:
        index = int(rng.integers(len(words) + 1))
        letters = rng.choice(list(ascii_lowercase), int(rng.integers(3, 8)))
        spelled = "".join(letters)
        neutral = NEUTRAL_WORDS[int(rng.integers(len(NEUTRAL_WORDS)))]
        text = " ".join((*words[:index], spelled if draw < 0.18 else neutral, *words[index:]))
    return text[0].upper() + text[1:] if capital < 0.1 else text


def _reading_loss(scores: tuple[list[Tensor], list[Tensor]], labels: Tensor) -> Tensor:
    """Cross entropy of all attributes that the batch states, of both embeddings."""
    losses = [
        F.cross_entropy(found, labels[:, number % len(ATTRIBUTES)], ignore_index=UNSAID)
        for number, found in enumerate([*scores[0], *scores[1]])
        if (labels[:, number % len(ATTRIBUTES)] != UNSAID).any()
    ]
    return torch.stack(losses).sum() / len(ATTRIBUTES)


@torch.no_grad()
def _accuracies(
    encoders: TextEncoders,
    reader: AttributeReader,
    prompts: _LabelledPrompts,
    count: int,
    device: torch.device,
) -> tuple[dict[str, float], dict[str, float]]:
    """Accuracy by attribute on the first prompts, of the sequence and of the pooled embedding."""
    embeddings = encoders.encode(
        prompts.clip_ids[:count].to(device), prompts.t5_ids[:count].to(device)
    )
    by_sequence, by_pooled = reader(*embeddings)
    truth = prompts.labels[:count].to(device)
    return _accuracy(by_sequence, truth), _accuracy(by_pooled, truth)


def _accuracy(scores: list[Tensor], labels: Tensor) -> dict[str, float]:
    rates = {}
    for number, name in enumerate(ATTRIBUTES):
        said = labels[:, number] != UNSAID
        if said.any():
            right = scores[number].argmax(-1) == labels[:, number]
            rates[name] = round(right[said].float().mean().item(), 4)
    return rates

"""The miniature's tokenizers: CLIP's and T5's classes over the words of its world."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer, PreTrainedTokenizerBase, T5Tokenizer

from miniature.world.prompts import ScenePrompt, Wordings, write_prompt
from miniature.world.spec import WHOLE, WorldRange, sample_spec
from miniature.world.wordings import every_phrase
from training.files import write_folder

CLIP_TOKENS = 77
_CLIP_VOCABULARY = 1500
_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,;:!?'\"-()&/"
_CORPUS_SEED = 7


def sample_prompts(
    count: int, seed: int, world: WorldRange = WHOLE, wordings: Wordings = "training"
) -> list[ScenePrompt]:
    """Write prompts of random scenes; equal arguments give equal prompts."""
    rng = np.random.default_rng(seed)
    return [write_prompt(sample_spec(rng, world), rng, wordings) for _ in range(count)]


def train_tokenizers(folder: Path, text_tokens: int, prompts: int) -> None:
    """Train both tokenizers and save them where `FluxPipeline` expects them.

    They know the words of the whole world, so that a training on a part of it can be continued on
    all of it, and some more words that people type.

    Args:
        folder: gets `tokenizer` (CLIP) and `tokenizer_2` (T5).
        text_tokens: the longest T5 sequence.
        prompts: number of prompts of each set of wordings that words are counted in.
    """
    known = sample_prompts(prompts, _CORPUS_SEED)
    new = sample_prompts(prompts, _CORPUS_SEED, wordings="held_out")
    corpus = [*(prompt.text for prompt in (*known, *new)), *every_phrase()]
    write_folder(folder / "tokenizer", _train_clip(corpus).save_pretrained)
    write_folder(folder / "tokenizer_2", _train_t5(corpus, text_tokens).save_pretrained)


def _train_clip(corpus: Iterable[str]) -> CLIPTokenizer:
    """Train byte pairs; each byte is also a word's end, so that every word can be encoded."""
    standard = CLIPTokenizer().backend_tokenizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = Tokenizer(
        models.BPE(
            continuing_subword_prefix="",
            end_of_word_suffix="</w>",
            unk_token="<|endoftext|>",
        )
    )
    pairs.normalizer = standard.normalizer
    pairs.pre_tokenizer = standard.pre_tokenizer
    pairs.train_from_iterator(
        corpus,
        trainers.BpeTrainer(
            vocab_size=_CLIP_VOCABULARY,
            special_tokens=["<|startoftext|>", "<|endoftext|>"],
            end_of_word_suffix="</w>",
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )
    trained = json.loads(pairs.to_str())["model"]
    vocabulary = dict(trained["vocab"])
    for character in alphabet:
        vocabulary.setdefault(character + "</w>", len(vocabulary))
    merges = [tuple(merge) for merge in trained["merges"]]
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=CLIP_TOKENS)


def _train_t5(corpus: Iterable[str], text_tokens: int) -> T5Tokenizer:
    """Build a vocabulary of the world's words, also capitalised, and of single characters."""
    words = sorted({word for text in corpus for word in text.replace(",", " ").split()})
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -6.0), (",", -2.0)]
    pieces += [("▁" + word, -4.0) for word in words]
    pieces += [("▁" + word.capitalize(), -4.5) for word in words]
    pieces += [(character, -12.0) for character in _CHARACTERS]
    unique = dict(reversed(pieces))
    vocabulary = [(piece, unique[piece]) for piece in dict(pieces)]
    return T5Tokenizer(vocab=vocabulary, extra_ids=0, model_max_length=text_tokens)


@dataclass(frozen=True)
class Tokenizers:
    """Both tokenizers of a pipeline; the T5 sequence has `text_tokens`, padding included."""

    clip: PreTrainedTokenizerBase
    t5: PreTrainedTokenizerBase
    text_tokens: int

    def clip_ids(self, texts: Sequence[str]) -> np.ndarray:
        """Return CLIP tokens, int64 of shape (texts, 77)."""
        return self._ids(self.clip, texts, CLIP_TOKENS)

    def t5_ids(self, texts: Sequence[str]) -> np.ndarray:
        """Return T5 tokens, int64 of shape (texts, text_tokens)."""
        return self._ids(self.t5, texts, self.text_tokens)

    def group_lengths(self, prompts: Sequence[ScenePrompt]) -> np.ndarray:
        """Count the T5 tokens of the background and of the whole prompt, without the end token.

        Returns:
            int64 of shape (prompts, 2); both capped at `text_tokens`.
        """
        backgrounds = self.t5([prompt.background for prompt in prompts]).input_ids
        wholes = self.t5([prompt.text for prompt in prompts]).input_ids
        lengths = [
            (len(background) - 1, len(whole) - 1)
            for background, whole in zip(backgrounds, wholes, strict=True)
        ]
        return np.minimum(np.array(lengths, np.int64), self.text_tokens)

    @staticmethod
    def _ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], length: int) -> np.ndarray:
        encoded = tokenizer(list(texts), padding="max_length", max_length=length, truncation=True)
        return np.array(encoded.input_ids, np.int64)


def load_tokenizers(folder: Path, text_tokens: int) -> Tokenizers:
    """Load the tokenizers of a pipeline folder."""
    return Tokenizers(
        CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        T5Tokenizer.from_pretrained(folder / "tokenizer_2"),
        text_tokens,
    )

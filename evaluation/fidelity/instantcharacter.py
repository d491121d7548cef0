"""Golden vectors of InstantCharacter, recorded from the published code for three pictures.

They hold the encoders' inputs and features, the projector's subject tokens and single attentions.
Whole runs are in `evaluation.fidelity.instantcharacter_runs`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evaluation.fidelity.instantcharacter_folder import FEATURES, TOKENS, UNITS, WAVES, Vectors
from evaluation.fidelity.instantcharacter_runs import lora_rows, pipeline_rows
from evaluation.fidelity.vectors import Comparison, differing
from pipelines.flux1.attention import StoryboardAttnProcessor
from pipelines.flux1.rotary import BatchContext
from pipelines.instant_character.adapters import Subject, SubjectAdapter
from pipelines.instant_character.encoders import SubjectFeatures, picture_views

# The picture that the encoders' hidden states were recorded for.
ENCODED = "square"
_VIEWED = re.compile(
    r"(?P<picture>\w+)\.(?P<size>low|high)\.(?P<what>uint8|siglip|dino)(?:_pixel_values)?"
    r"_(?:stride(?P<stride>\d+)|full)"
)
_PROJECTED = re.compile(r"(?P<source>.+?)\.t(?P<times>\d[\d.]*(?:_[\d.]+)*)\.(?P<what>[a-z].*)")
_UNIT = re.compile(
    r"(?P<kind>double|single)\.(?P<pair>b2\.)?(?:no_ip|scale_(?P<scale>default|[\d.]+))"
    r"(?:_length_(?P<length>\d+))?\.(?P<what>(?:encoder_)?hidden_states)"
)


def preprocess_rows(vectors: Vectors) -> Iterator[Comparison]:
    """Rows of the encoders' inputs: some of the pixels, and hashes of all."""
    seen: dict[tuple[str, str, str], NDArray[Any]] = {}
    for name, picture in vectors.pictures.items():
        views = picture_views(picture, vectors.encoders.config)
        for size, pictures in (("low", [views.low]), ("high", list(views.crops))):
            siglip, dino = vectors.encoders.pixels(pictures)
            seen[name, size, "uint8"] = np.stack([np.asarray(view) for view in pictures])
            seen[name, size, "siglip"] = siglip.numpy()
            seen[name, size, "dino"] = dino.numpy()
    for found in vectors.matching("preprocess", _VIEWED):
        ours = seen[found["picture"], found["size"], found["what"]]
        stride = int(found["stride"])
        channels_last = found["what"] == "uint8"
        some = ours[:, ::stride, ::stride] if channels_last else ours[..., ::stride, ::stride]
        yield vectors.row("preprocess", found[0], torch.from_numpy(some.copy()), 0.0)
    recorded = vectors.manifest["preprocess"]
    for found in filter(None, map(_VIEWED.fullmatch, recorded)):
        ours = seen[found["picture"], found["size"], found["what"]]
        same = hashlib.sha256(ours.tobytes()).hexdigest() == recorded[found[0]]["sha256_raw_bytes"]
        error = 0.0 if same else float("inf")
        yield Comparison(f"preprocess/{found[0]}", error, 0.0, note="by its hash")


@torch.no_grad()
def encoder_rows(vectors: Vectors) -> Iterator[Comparison]:
    """Rows of the encoders' hidden states at a few tokens."""
    encoders = vectors.encoders
    view = picture_views(vectors.pictures[ENCODED], encoders.config).low
    pixels = dict(zip(("siglip", "dino"), encoders.pixels([view]), strict=True))
    pattern = r"(siglip|dino)\.(last_)?hidden_states?_tok([\d_]+)"
    for found in vectors.matching("encoders", pattern):
        encoder = getattr(encoders, found[1])
        states = encoder(pixels[found[1]], output_hidden_states=True)
        tokens = [int(token) for token in found[3].split("_")]
        last = states.last_hidden_state[0, tokens]
        ours = last if found[2] else torch.cat(states.hidden_states)[:, tokens]
        yield vectors.row("encoders", found[0], ours, FEATURES)


def feature_rows(vectors: Vectors) -> Iterator[Comparison]:
    """Rows of the features, of all pictures encoded in one call."""
    for found in vectors.matching("features", r"(\w+)\.(\w+)_res_(\w+?)(?:\.stride(\d+))?"):
        features = getattr(vectors.features[found[1]], f"{found[2]}_{found[3]}")
        yield vectors.row("features", found[0], features[:, :: int(found[4] or 1)], FEATURES)


class ProjectorTensors:
    """Inputs and outputs of a projector's modules in one run, by their published names."""

    def __init__(self, module: nn.Module, features: SubjectFeatures, times: Tensor) -> None:
        self._out: dict[str, Tensor] = {}
        self._inputs: dict[str, Tensor] = {}
        hooks = [
            child.register_forward_hook(
                lambda _, inputs, out, name=name: self._note(name, inputs, out)
            )
            for name, child in module.named_modules()
        ]
        try:
            self.tokens = module(features, times)
        finally:
            for hook in hooks:
                hook.remove()

    def _note(self, name: str, inputs: tuple[Any, ...], out: Any) -> None:
        self._out[name] = out
        if inputs:
            self._inputs[name] = inputs[0]

    def __getitem__(self, recorded: str) -> Tensor:
        if recorded.endswith("tokens"):
            return self.tokens
        if recorded == "resampler.input":
            return self._inputs["resampler.proj_in"]
        name = recorded.replace("output.timestep_emb", "resampler.time_embedding")
        for ending, child in ((".adaln", ".2"), (".attn_out", ".0"), (".ff_out", ".1.3")):
            name = name.replace(ending, child)
        return self._out[name.replace("timestep_emb", "resampler.time_embedding")]


@torch.no_grad()
def projector_rows(vectors: Vectors) -> Iterator[Comparison]:
    """Rows of the subject tokens and of every module's output before them."""
    projector = vectors.weights.projector
    time = projector.resampler
    runs: dict[tuple[str, str], ProjectorTensors] = {}
    for found in vectors.matching("projector", _PROJECTED):
        run = found["source"], found["times"]
        if run not in runs:
            times = torch.tensor([float(part) for part in found["times"].split("_")])
            features = _source_features(vectors, found["source"])
            runs[run] = ProjectorTensors(projector, features, times)
        tolerance = WAVES if found["what"].endswith("time_proj") else TOKENS
        yield vectors.row("projector", found[0], runs[run][found["what"]], tolerance)
    times = vectors.read("projector", "time_proj.in")
    yield vectors.row("projector", "time_proj.out", time.time_proj(times), WAVES)
    yield vectors.row("projector", "time_embedding.out", time.embed_time(times), TOKENS)
    other = vectors.load_weights("safetensors")
    pairs = zip(projector.state_dict().values(), other.projector.state_dict().values(), strict=True)
    apart = max(differing(one, another) for one, another in pairs)
    note = "the same weights as the .bin"
    yield Comparison("projector/adapter.safetensors", apart, 0.0, note=note)


def _source_features(vectors: Vectors, source: str) -> SubjectFeatures:
    """Return a picture's features, or the recorded synthetic ones times a factor."""
    synthetic = re.fullmatch(r"synthetic(?:_x([\d.]+))?", source)
    if synthetic is None:
        return vectors.features[source]
    factor = float(synthetic[1] or 1.0)
    names = ("low_res_shallow", "low_res_deep", "high_res_deep")
    tensors = (vectors.read("projector", f"synthetic.in.{name}") for name in names)
    return SubjectFeatures(*(factor * tensor for tensor in tensors))


class QueriedSubject(Subject):
    """Subject of given tokens that keeps its last query."""

    def attend(self, block: int, query: Tensor, backend: Any = None) -> Tensor:
        """Keep the query and attend; see `Subject.attend`."""
        self.query = query
        return super().attend(block, query, backend)


class SingleAttention:
    """Single attention with its recorded inputs."""

    def __init__(self, vectors: Vectors, kind: str, *, pair: bool = False) -> None:
        blocks = vectors.transformer.transformer_blocks
        self.index = 0
        if kind == "single":
            self.index = len(blocks)
            blocks = vectors.transformer.single_transformer_blocks
        self.attn = blocks[0].attn
        self.weights = vectors.weights
        start = "in.b2." if pair else "in."
        self.image = vectors.read("attn", f"{start}hidden_states")
        self.text: Tensor | None = vectors.read("attn", f"{start}encoder_hidden_states")
        self.tokens = vectors.read("attn", f"{start}ip_hidden_states")
        self.image_tokens = self.image.shape[1]
        if kind == "single":
            self.image, self.text = torch.cat([self.text, self.image], dim=1), None
        self.rotary = vectors.read("attn", "in.rope_cos"), vectors.read("attn", "in.rope_sin")

    def subject(self, scale: float) -> QueriedSubject:
        """Make a subject of the recorded tokens."""
        subject = QueriedSubject(self.weights.adapters, lambda _: self.tokens, scale)
        subject.begin_step(torch.zeros(1))
        return subject

    def outputs(self, subject: Subject | None, text: int | None) -> dict[str, Tensor]:
        """Compute the outputs; `text` is the number of text tokens, if not all."""
        batch = BatchContext()
        image = self.image_tokens if text is None else self.image.shape[1] - text
        batch.set_frames([], [subject], image, complete=False)
        block = None if self.text is not None else self.index
        processor = StoryboardAttnProcessor(batch, self.index, block)
        out = processor(self.attn, self.image, self.text, image_rotary_emb=self.rotary)
        if isinstance(out, tuple):
            return {"hidden_states": out[0], "encoder_hidden_states": out[1]}
        return {"hidden_states": out}


@torch.no_grad()
def attention_rows(vectors: Vectors) -> Iterator[Comparison]:
    """Rows of the norm and of single attentions, with and without a subject."""
    first = vectors.weights.adapters[0]
    assert isinstance(first, SubjectAdapter)
    norm = first.norm_ip_q
    yield vectors.row("attn", "rmsnorm.out", norm(vectors.read("attn", "rmsnorm.in")), UNITS)
    ids = [vectors.read("attn", f"in.rope_{part}_ids") for part in ("txt", "img")]
    rotary = vectors.transformer.pos_embed(torch.cat(ids))
    for name, table in zip(("cos", "sin"), rotary, strict=True):
        yield vectors.row("attn", f"in.rope_{name}", table, UNITS)
    for found in vectors.matching("attn", _UNIT):
        unit = SingleAttention(vectors, found["kind"], pair=bool(found["pair"]))
        subject = None
        if found["scale"] is not None:
            subject = unit.subject(1.0 if found["scale"] == "default" else float(found["scale"]))
        length = None if found["length"] is None else int(found["length"])
        outputs = unit.outputs(subject, length)
        yield vectors.row("attn", found[0], outputs[found["what"]], UNITS)
    for kind in ("double", "single"):
        unit = SingleAttention(vectors, kind)
        subject = unit.subject(1.0)
        unit.outputs(subject, None)
        query = subject.query.flatten(2)
        yield vectors.row("attn", f"{kind}.ip_query_raw", query, UNITS)
        term = subject.attend(unit.index, subject.query)
        yield vectors.row("attn", f"{kind}.ip_attention_out", term, UNITS)


SECTIONS: dict[str, Callable[[Vectors], Iterator[Comparison]]] = {
    "preprocess": preprocess_rows,
    "encoders": encoder_rows,
    "features": feature_rows,
    "projector": projector_rows,
    "attn": attention_rows,
    "pipeline": pipeline_rows,
    "lora": lora_rows,
}


def instantcharacter_rows(folder: Path, files: list[str] | None = None) -> Iterator[Comparison]:
    """Compare every tensor of a folder of vectors, or of some of its files, such as "projector".

    Raises:
        ValueError: if a file is not there.
    """
    vectors = Vectors(folder)
    for file in files or SECTIONS:
        if file not in SECTIONS:
            raise ValueError(f"no setting {file!r}; there are {', '.join(SECTIONS)}")
        yield from SECTIONS[file](vectors)
        yield from vectors.unread(file)

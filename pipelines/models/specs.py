"""Specifications of models, of character adapters, and of networks that cut out figures; no torch.

Values that say what something is and where it comes from; `pipelines.models.catalog` lists them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from pipelines.errors import ModelError
from pipelines.models.sizes import ModelParts, parts_of_folder, with_packed_transformer
from pipelines.models.vocabulary import Vocabulary, read_vocabulary
from pipelines.models.weight_files import FileFault
from pipelines.request import ConsistencySettings

ModelKind = Literal["embedded", "hub", "folder"]

# Remedies for missing or damaged files.
SHIPPED_FILES = "Its files come with Throughline: get them again with `git checkout -- assets`."
FOLDER_FILES = "Get this part of the model again; its other files can stay."


def remedy_for_file(kind: ModelKind, fault: FileFault) -> str:
    """Return what to do about one file, so that the others stay."""
    if kind == "embedded":
        return SHIPPED_FILES
    if kind == "folder":
        return fault.remedy or f"Get {fault.path.name} again; the model's other files can stay."
    if fault.reason == "missing":
        return "Start again with a connection: only what is missing is downloaded."
    # The hub's cache keeps a link to a file whose name is its checksum.
    return f"Delete {fault.path.resolve()} and start again: only this file is downloaded anew."


@dataclass(frozen=True)
class CharacterAdapterSpec:
    """Weights with which a model is conditioned on a reference: an adapter and two image encoders.

    Attributes:
        title: its name for a page.
        adapter: the Hugging Face repository of the adapter's weights, or the folder of a whole
            bundle (see `pipelines.instant_character.bundle`).
        adapter_file: the file of the weights in it.
        siglip: repository or folder of the SigLIP image encoder.
        dino: repository or folder of the DINOv2 image encoder.
        licence: name of the licence of the adapter's weights.
        note: one sentence about it for a person.
        licence_url: page of that licence; empty where it is not known.
        research_only: whether the licence allows research only.
        strength: default strength of a reference.
        download_bytes: size of the download; 0 for a folder.
        published_bytes: size of what is loaded, in 16 bits a parameter; 0 for a folder.
    """

    title: str
    adapter: str
    adapter_file: str
    siglip: str
    dino: str
    licence: str
    note: str
    licence_url: str = ""
    research_only: bool = False
    strength: float = 1.0
    download_bytes: int = 0
    published_bytes: int = 0

    @property
    def consent(self) -> str:
        """Key of the consent that a person must give before the download; empty for none."""
        return self.adapter if self.research_only and self.download_bytes else ""

    @property
    def weights_bytes(self) -> int:
        """Size of what is loaded, in bytes; a bundle's is that of its files, which hold 16 bits."""
        files = () if self.published_bytes else Path(self.adapter).rglob("*.safetensors")
        return self.published_bytes + sum(path.stat().st_size for path in files)


@dataclass(frozen=True)
class MattingSpec:
    """A network that cuts the figure out of a picture.

    Attributes:
        title: its name for a page.
        source: its Hugging Face repository.
        revision: the commit of the repository that is used, as people have seen it.
        licence: name of its licence.
        licence_url: page of that licence.
        runs_code: whether Python code of the repository runs on this machine.
        packages: packages that this code imports beyond Throughline's own.
        download_bytes: size of its weights.
        note: one sentence about it for a person.
    """

    title: str
    source: str
    revision: str
    licence: str
    licence_url: str
    runs_code: bool
    packages: tuple[str, ...]
    download_bytes: int
    note: str

    @property
    def consent(self) -> str:
        """Key of the consent that a person must give before its code runs: to this commit alone."""
        return f"{self.source}@{self.revision}"


@dataclass(frozen=True)
class MadeFor:
    """Settings that a model was made for; others work, with worse pictures or for nothing.

    Attributes:
        steps: the fewest and the most denoising steps.
        area: the smallest and the largest area of a picture, in pixels.
        guidance: the lowest and the highest guidance scale; None without a guidance embedding.
    """

    steps: tuple[int, int]
    area: tuple[int, int]
    guidance: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for lowest, highest in filter(None, (self.steps, self.area, self.guidance)):
            if not 0 < lowest <= highest:
                raise ValueError(f"{lowest} to {highest} is no range of settings")


@dataclass(frozen=True)
class FewSteps:
    """Consistency of a model in schedules of few steps.

    Attributes:
        most: the most denoising steps of such a schedule.
        consistency: how the model keeps characters and locations in it.
    """

    most: int
    consistency: ConsistencySettings

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ValueError(f"most={self.most} is no number of steps")


@dataclass(frozen=True)
class ModelSpec:
    """A model and its default settings.

    Attributes:
        name: its name in requests and on the command line.
        title: its name for a page.
        source: the folder or the Hugging Face repository that it is loaded from.
        kind: "embedded" (ships with the project), "hub" (a repository) or "folder".
        gated: whether its terms must be accepted before its files can be downloaded.
        licence: name of the licence of its weights.
        licence_url: page of that licence; empty where it is not known.
        non_commercial: whether the licence forbids commercial use of the model.
        width: native width in pixels.
        height: native height in pixels.
        steps: denoising steps.
        guidance_scale: distilled guidance; 0 for models without a guidance embedding.
        true_cfg_scale: classifier-free guidance; 1 is off.
        max_sequence_length: tokens of the prompt that the T5 encoder reads.
        note: one sentence about it for a person.
        published_parts: sizes of the networks of a model on the hub; None where they are not known.
        consistency: how it keeps characters and locations.
        few_steps: how it keeps them in schedules of few steps; empty for no difference.
        character_adapter: what conditions it on a reference; None where nothing does.
        transformer_file: GGUF file of its transformer; empty where it has none.
        preview: file with a linear map of its latents, or the Hugging Face repository of a tiny
            autoencoder, for previews of unfinished frames; empty where there is neither.
        made_for: settings that it was made for; None where they are not known.
        vocabulary: file with the words that it knows; empty for a model that knows the language.
        files_state: digest of the sizes and modification times of its files in a folder, so that
            the model with replaced files is another one; empty for other models.
    """

    name: str
    title: str
    source: str
    kind: ModelKind
    gated: bool
    licence: str
    licence_url: str
    non_commercial: bool
    width: int
    height: int
    steps: int
    guidance_scale: float
    true_cfg_scale: float
    max_sequence_length: int
    note: str
    published_parts: ModelParts | None = None
    consistency: ConsistencySettings = field(default_factory=ConsistencySettings)
    few_steps: tuple[FewSteps, ...] = ()
    character_adapter: CharacterAdapterSpec | None = None
    transformer_file: str = ""
    preview: str = ""
    made_for: MadeFor | None = None
    vocabulary: str = ""
    files_state: str = ""

    @cached_property
    def parts(self) -> ModelParts | None:
        """Sizes of its networks, read from the headers of a folder's files when first needed.

        Returns:
            None where they are not known.

        Raises:
            ModelError: if a file in the folder is damaged.
        """
        parts = self.published_parts
        if self.kind != "hub":
            try:
                parts = parts_of_folder(Path(self.source))
            except FileFault as fault:
                raise ModelError(
                    str(fault), remedy_for_file(self.kind, fault), fault.reason
                ) from fault
        if self.packed and parts is not None:
            return with_packed_transformer(parts, Path(self.transformer_file))
        return parts

    def consistency_for(self, steps: int) -> ConsistencySettings:
        """Return how it keeps characters and locations in a schedule of some steps.

        Of the entries of `few_steps` that the schedule is not too long for, the one for the
        shortest schedules holds; without any, `consistency` does.
        """
        fitting = [few for few in self.few_steps if steps <= few.most]
        if not fitting:
            return self.consistency
        return min(fitting, key=lambda few: few.most).consistency

    @property
    def weights_bytes(self) -> int:
        """Size of all weights in 16 bits a parameter, in bytes; 0 where it is not known."""
        return 0 if self.parts is None else 2 * self.parts.parameters

    @property
    def download_bytes(self) -> int:
        """Size of the download in bytes; 0 for a folder, and where it is not known."""
        if self.kind != "hub" or self.parts is None:
            return 0
        return self.weights_bytes - (2 * self.parts.transformer.whole if self.packed else 0)

    @property
    def packed(self) -> bool:
        """True where its transformer is read from a GGUF file."""
        return bool(self.transformer_file)

    @property
    def known_words(self) -> Vocabulary | None:
        """Words that it knows; None for a model that knows the language.

        Raises:
            ModelError: if the file is missing or damaged.
        """
        remedy = SHIPPED_FILES if self.kind == "embedded" else FOLDER_FILES
        return read_vocabulary(Path(self.vocabulary), remedy) if self.vocabulary else None

    @property
    def url(self) -> str:
        """Its page on the Hugging Face hub; empty for a model on this disk."""
        return f"https://huggingface.co/{self.source}" if self.kind == "hub" else ""

    @property
    def learnt_guidance(self) -> bool:
        """True where its transformer has a guidance embedding, so that the scale has an effect."""
        return self.guidance_scale > 0

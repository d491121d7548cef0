"""Which models can paint, with their sizes, settings and licences; no torch.

Knows what a model is and where it comes from; `pipelines.loading.model` knows how to load it.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pipelines.errors import UnknownModelError
from pipelines.models.sizes import ModelParts, flux_parts, parts_of_folder, with_packed_transformer
from pipelines.request import ConsistencySettings

ModelKind = Literal["embedded", "hub", "folder"]

_MINIATURE_FOLDER = Path(__file__).resolve().parents[2] / "assets" / "miniature"
_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
# A model, and a GGUF file to take its transformer from; a drive's letter is part of the file.
_WITH_GGUF = re.compile(r"(?P<model>.+?):(?P<file>(?:[A-Za-z]:)?[^:]+\.gguf)", re.IGNORECASE)

_DEV_PARTS, _SCHNELL_PARTS = flux_parts(guidance=True), flux_parts(guidance=False)

# InstantCharacter's adapters and projector, summed over the shapes of their state; and the encoders
# that they see with, counted from their configurations: SigLIP so400m (with its text tower, which
# is in the file but not loaded, and without) and DINOv2 giant. The encoders' files are float32; the
# adapter's is taken for 16 bits.
_INSTANT_CHARACTER_PARAMETERS = 1_434_816_768 + 1_360_116_096
_SIGLIP_PARAMETERS, _SIGLIP_VISION_PARAMETERS = 877_960_498, 428_225_600
_DINO_PARAMETERS = 1_136_480_768
_SUBJECT_BYTES = 2 * (_INSTANT_CHARACTER_PARAMETERS + _SIGLIP_VISION_PARAMETERS + _DINO_PARAMETERS)
_SUBJECT_DOWNLOAD_BYTES = 2 * _INSTANT_CHARACTER_PARAMETERS + 4 * (
    _SIGLIP_PARAMETERS + _DINO_PARAMETERS
)

# TAEF1, 10 MB under the MIT licence, for the latents of all FLUX.1 models.
_TINY_AUTOENCODER = "madebyollin/taef1"

# A folder with less than this, all its models together, is of the miniature's kind.
_SMALL_PARAMETERS = 100_000_000
# A storyboard's frames are no smaller, whatever a model was made for.
_SMALLEST_SIDE = 64
# Classifier-free guidance of models that have learnt none: neither distilled for it nor for few
# steps.
_TRUE_CFG_SCALE = 2.5

_APACHE, _APACHE_URL = "Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0"
_DEV_LICENCE = "FLUX.1 [dev] Non-Commercial License"
_DEV_LICENCE_URL = "https://huggingface.co/black-forest-labs/FLUX.1-dev/blob/main/LICENSE.md"


@dataclass(frozen=True)
class SubjectSpec:
    """What a model follows a reference picture with: an adapter and two picture encoders.

    Attributes:
        title: its name for a page.
        adapter: the Hugging Face repository of the adapter's weights, or the folder of a whole
            bundle (see `pipelines.instant_character.bundle`).
        adapter_file: the weights' file in it.
        siglip: repository or folder of the SigLIP that sees the picture.
        dino: the same of DINOv2.
        licence: name of the licence of the adapter's weights.
        licence_url: where that licence can be read; empty where it is not known.
        research_only: whether the licence allows nothing but research.
        strength: how closely frames follow a picture where a person says nothing else.
        download_bytes: size of what is downloaded; 0 for a folder.
        weights_bytes: size of what is loaded, in 16 bits a parameter.
        note: what else a person should know, one sentence.
    """

    title: str
    adapter: str
    adapter_file: str
    siglip: str
    dino: str
    licence: str
    licence_url: str
    research_only: bool
    strength: float
    download_bytes: int
    weights_bytes: int
    note: str

    @property
    def consent(self) -> str:
        """What a person must agree to before the download; empty where there is nothing."""
        return self.adapter if self.research_only and self.download_bytes else ""


@dataclass(frozen=True)
class MattingSpec:
    """A network that cuts the figure out of a picture.

    Attributes:
        title: its name for a page.
        source: its Hugging Face repository.
        licence: name of its licence.
        licence_url: where that licence can be read.
        runs_code: whether Python code of the repository runs on this machine.
        packages: what that code imports besides what Throughline needs.
        download_bytes: size of its weights.
        note: what else a person should know, one sentence.
    """

    title: str
    source: str
    licence: str
    licence_url: str
    runs_code: bool
    packages: tuple[str, ...]
    download_bytes: int
    note: str


@dataclass(frozen=True)
class ModelSpec:
    """One model and the settings that it paints well with.

    Attributes:
        name: what people and requests call it.
        title: its name for a page.
        source: the folder or the Hugging Face repository that it loads from.
        kind: "embedded" (ships with the project), "hub" (a repository) or "folder".
        gated: whether its page asks to accept terms before the files can be downloaded.
        licence: name of the licence of its weights.
        licence_url: where that licence can be read; empty where it is not known.
        non_commercial: whether the licence forbids commercial use of the model.
        width: native width in pixels.
        height: native height in pixels.
        steps: denoising steps.
        guidance_scale: distilled guidance; 0 for models without a guidance embedding.
        true_cfg_scale: classifier-free guidance; 1 is off.
        max_sequence_length: tokens of the prompt that the T5 encoder reads.
        consistency: how it keeps character and place.
        subject: what it follows a reference picture with; None where it cannot.
        parts: the sizes of its networks; None where they are not known.
        transformer_file: a GGUF file that its transformer is in; empty where it is with the rest.
        preview: what shows frames while they are painted: a file with a linear map of its latents,
            or the Hugging Face repository of a tiny autoencoder; empty where there is neither.
        note: what else a person should know, one sentence.
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
    parts: ModelParts | None
    note: str
    consistency: ConsistencySettings = field(default_factory=ConsistencySettings)
    subject: SubjectSpec | None = None
    transformer_file: str = ""
    preview: str = ""

    @property
    def weights_bytes(self) -> int:
        """Size of all weights in 16 bits a parameter, in bytes; 0 where not known."""
        return 0 if self.parts is None else 2 * self.parts.parameters

    @property
    def download_bytes(self) -> int:
        """Size of what is downloaded, in bytes; 0 for a folder, and where it is not known."""
        if self.kind != "hub" or self.parts is None:
            return 0
        return self.weights_bytes - (2 * self.parts.transformer.whole if self.packed else 0)

    @property
    def packed(self) -> bool:
        """Whether its transformer comes from a GGUF file."""
        return bool(self.transformer_file)

    @property
    def url(self) -> str:
        """The model's page on the Hugging Face hub; empty for a model on this disk."""
        return f"https://huggingface.co/{self.source}" if self.kind == "hub" else ""

    @property
    def learnt_guidance(self) -> bool:
        """Whether its transformer has a guidance embedding, so that the scale does something."""
        return self.guidance_scale > 0


def _bundled_subject(folder: Path, title: str, licence: str, note: str) -> SubjectSpec | None:
    """What the model in a folder follows pictures with; None where its folder has no bundle."""
    bundle = folder / "subject"
    if not (bundle / "config.json").is_file():
        return None
    return SubjectSpec(
        title=title,
        adapter=str(bundle),
        adapter_file="adapter.safetensors",
        siglip=str(bundle / "siglip"),
        dino=str(bundle / "dinov2"),
        licence=licence,
        licence_url=_APACHE_URL if licence == _APACHE else "",
        research_only=False,
        strength=1.0,
        download_bytes=0,
        # Bundles are saved in 16 bits; a file's header is small beside its weights.
        weights_bytes=sum(path.stat().st_size for path in bundle.rglob("*.safetensors")),
        note=note,
    )


def _own_preview(folder: Path) -> str:
    """The linear map that the miniature's training leaves beside an autoencoder; "" for none."""
    file = folder / "vae" / "latent_map.safetensors"
    return str(file) if file.is_file() else ""


def _embedded_parts() -> ModelParts | None:
    """The miniature's sizes; None where its files are damaged, which loading it will tell."""
    try:
        return parts_of_folder(_MINIATURE_FOLDER)
    except ValueError:
        return None


BIREFNET = MattingSpec(
    title="BiRefNet",
    source="ZhengPeng7/BiRefNet",
    licence="MIT",
    licence_url="https://huggingface.co/ZhengPeng7/BiRefNet",
    runs_code=True,
    packages=("einops", "kornia", "timm", "torchvision"),
    download_bytes=885_000_000,
    note="Its network's Python code comes with the weights and runs on this machine.",
)

INSTANT_CHARACTER = SubjectSpec(
    title="InstantCharacter",
    adapter="tencent/InstantCharacter",
    adapter_file="instantcharacter_ip-adapter.bin",
    siglip="google/siglip-so400m-patch14-384",
    dino="facebook/dinov2-giant",
    licence="Tencent's licence of InstantCharacter, for research only",
    licence_url="https://huggingface.co/tencent/InstantCharacter",
    research_only=True,
    strength=0.9,  # of the published example; its app begins at 1
    download_bytes=_SUBJECT_DOWNLOAD_BYTES,
    weights_bytes=_SUBJECT_BYTES,
    note="The weights may be used for research only; the encoders SigLIP and DINOv2 that come with "
    "them are under Apache-2.0.",
)

MINIATURE = ModelSpec(
    name="miniature",
    title="Throughline miniature",
    source=str(_MINIATURE_FOLDER),
    kind="embedded",
    gated=False,
    licence=_APACHE,
    licence_url=_APACHE_URL,
    non_commercial=False,
    width=256,
    height=256,
    steps=20,
    guidance_scale=2.0,
    true_cfg_scale=2.0,
    max_sequence_length=64,
    parts=_embedded_parts(),
    note="Ships with Throughline, downloads nothing and runs on a CPU; paints small cartoons.",
    # Chosen with `python -m evaluation.studies.settings` on characters that the evaluation does not
    # have: a merge from 0.1 on loses more actions, a weaker one keeps less. The published cleanup
    # of masks is for 64 x 64 tokens; on 16 x 16 even true masks have an IoU of 0.6 after it.
    consistency=ConsistencySettings(
        share_start=0.1,
        share_end=0.6,
        merge_start=0.2,
        merge_decay=1.0,
        merge_end=1.0,
        merge_weight=1.0,
        similarity_threshold=0.2,
        mask_erode=1,
        mask_dilate=1,
    ),
    subject=_bundled_subject(
        _MINIATURE_FOLDER,
        "InstantCharacter in miniature",
        _APACHE,
        "Ships with Throughline; follows drawings of characters like its own.",
    ),
    preview=_own_preview(_MINIATURE_FOLDER),
)

FLUX1_DEV = ModelSpec(
    name="flux1-dev",
    title="FLUX.1 [dev]",
    source="black-forest-labs/FLUX.1-dev",
    kind="hub",
    gated=True,
    licence=_DEV_LICENCE,
    licence_url=_DEV_LICENCE_URL,
    non_commercial=True,
    width=1024,
    height=1024,
    steps=50,
    guidance_scale=3.5,
    true_cfg_scale=1.0,
    max_sequence_length=512,
    parts=_DEV_PARTS,
    note="The model that CharaConsist was published with.",
    subject=INSTANT_CHARACTER,
    preview=_TINY_AUTOENCODER,
)

FLUX1_SCHNELL = ModelSpec(
    name="flux1-schnell",
    title="FLUX.1 [schnell]",
    source="black-forest-labs/FLUX.1-schnell",
    kind="hub",
    gated=True,
    licence=_APACHE,
    licence_url="https://huggingface.co/black-forest-labs/FLUX.1-schnell/blob/main/LICENSE.md",
    non_commercial=False,
    width=1024,
    height=1024,
    steps=4,
    guidance_scale=0.0,
    true_cfg_scale=1.0,
    max_sequence_length=256,
    parts=_SCHNELL_PARTS,
    note="Distilled to four steps: fast, and free for commercial use.",
    preview=_TINY_AUTOENCODER,
)

FLUX1_KREA_DEV = replace(
    FLUX1_DEV,
    name="flux1-krea-dev",
    title="FLUX.1 Krea [dev]",
    source="black-forest-labs/FLUX.1-Krea-dev",
    licence_url="https://huggingface.co/black-forest-labs/FLUX.1-Krea-dev/blob/main/LICENSE.md",
    steps=28,
    guidance_scale=4.5,
    note="FLUX.1 [dev] trained further for a photographic look.",
)

MODELS: tuple[ModelSpec, ...] = (MINIATURE, FLUX1_DEV, FLUX1_SCHNELL, FLUX1_KREA_DEV)


def find_model(name_or_path: str) -> ModelSpec:
    """The model of this name.

    Args:
        name_or_path: a name or repository of `MODELS`, a folder that holds a FLUX pipeline
            (`model_index.json` beside its components), or another repository on the hub, as
            "owner/name". A folder that exists goes before a repository of the same name. Any of
            these with ":FILE.gguf" after it takes its transformer from that file.

    Returns:
        Its spec; for a folder, derived from the folder's own configuration files.

    Raises:
        UnknownModelError: if it is none of these, with the nearest name where one is near, or if
            the folder does not hold a FLUX pipeline.
    """
    wanted = name_or_path.strip()
    packed = _WITH_GGUF.fullmatch(wanted)
    if packed:
        return _with_gguf(find_model(packed["model"]), Path(packed["file"]).expanduser())
    for spec in MODELS:
        if wanted.casefold() in (spec.name, spec.source.casefold()):
            return spec
    folder = Path(wanted).expanduser()
    if wanted and folder.is_dir():
        return _spec_of_folder(folder.resolve())
    if _REPO_ID.fullmatch(wanted):
        return _spec_of_repository(wanted)
    known = ", ".join(spec.name for spec in MODELS)
    raise UnknownModelError(
        f"There is no model {wanted!r}.{suggestion(wanted)} Known models: {known}; "
        "a folder with a FLUX pipeline or a Hugging Face repository (owner/name) works too."
    )


def _with_gguf(spec: ModelSpec, file: Path) -> ModelSpec:
    """A model with its transformer from a GGUF file."""
    if not file.is_file():
        raise UnknownModelError(f"There is no file {file}, to take the transformer from.")
    path = str(file.resolve())
    return replace(
        spec,
        name=f"{spec.name}:{path}",
        title=f"{spec.title} with {file.name}",
        transformer_file=path,
        parts=None if spec.parts is None else with_packed_transformer(spec.parts, file),
        note=f"Its transformer is read from {file.name}.",
    )


def suggestion(name: str) -> str:
    """ " Did you mean 'x'?" for a near miss of a known name or repository, else ""."""
    spoken = {label.casefold(): label for spec in MODELS for label in (spec.name, spec.source)}
    near = difflib.get_close_matches(name.casefold(), spoken, n=1, cutoff=0.7)
    return f" Did you mean {spoken[near[0]]!r}?" if near else ""


def _spec_of_repository(repository: str) -> ModelSpec:
    return replace(
        FLUX1_DEV,
        name=repository,
        title=repository,
        source=repository,
        gated=False,
        licence="see the model's page",
        licence_url=f"https://huggingface.co/{repository}",
        non_commercial=False,
        parts=None,
        note="Not in Throughline's list: painted with the settings of FLUX.1 [dev].",
    )


def _spec_of_folder(folder: Path) -> ModelSpec:
    index = _read_config(folder / "model_index.json", folder)
    if index.get("transformer", [None, None])[1] != "FluxTransformer2DModel":
        raise UnknownModelError(
            f"The folder {folder} holds a {index.get('_class_name', 'model')!r}, not a FLUX "
            "pipeline (its model_index.json names no FluxTransformer2DModel)."
        )
    transformer = _read_config(folder / "transformer" / "config.json", folder)
    scheduler = _read_config(folder / "scheduler" / "scheduler_config.json", folder)
    vae = _read_config(folder / "vae" / "config.json", folder)
    tokenizer = _read_config(folder / "tokenizer_2" / "tokenizer_config.json", folder)
    try:
        parts = parts_of_folder(folder)
    except ValueError as error:
        raise UnknownModelError(str(error)) from error
    small = parts is not None and parts.parameters < _SMALL_PARAMETERS
    kin = MINIATURE if small else FLUX1_DEV
    if transformer.get("guidance_embeds", False):
        base = kin
    elif scheduler.get("use_dynamic_shifting", False):
        base = replace(kin, guidance_scale=0.0, true_cfg_scale=_TRUE_CFG_SCALE)
    else:
        base = FLUX1_SCHNELL
    side = max(_SMALLEST_SIDE, int(vae.get("sample_size", base.width)))
    longest = 256 if base is FLUX1_SCHNELL else 512
    return replace(
        base,
        name=str(folder),
        title=folder.name,
        source=str(folder),
        kind="folder",
        gated=False,
        licence="see the folder",
        licence_url="",
        non_commercial=False,
        width=side,
        height=side,
        max_sequence_length=min(longest, int(tokenizer.get("model_max_length", longest))),
        parts=parts,
        note="A folder on this machine.",
        subject=_bundled_subject(
            folder,
            f"InstantCharacter for {folder.name}",
            "see the folder",
            "What the model was trained to follow is not known.",
        ),
        preview=_own_preview(folder) or ("" if small else base.preview),
    )


def _read_config(path: Path, folder: Path) -> Mapping[str, Any]:
    if not path.is_file():
        missing = path.relative_to(folder)
        raise UnknownModelError(
            f"The folder {folder} holds no FLUX pipeline: {missing} is missing."
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UnknownModelError(f"{path} is damaged: {error}.") from error
    if not isinstance(config, dict):
        raise UnknownModelError(f"{path} is damaged: it holds no JSON object.")
    return config

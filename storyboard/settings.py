"""Settings of the application: its folder of projects, its first model, its device, its address.

They are read from the environment once, when a front end starts. This module knows nothing of
storyboards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from pipelines.errors import UserError
from pipelines.models.presets import AUTO, find_preset
from pipelines.request import BankDtype, Order, RenderBudget

ROOT = Path(__file__).resolve().parent.parent
SPACE_DISK = Path("/data")

_WORKERS = re.compile(r"(?P<count>auto|[1-9]\d{0,2})(@(?P<address>auto|[\w.\-\[\]:]+:\d{1,5}))?")


def parse_folder(path: str | Path) -> Path:
    """Return a folder as an absolute path, with "~" for the home folder.

    Raises:
        ValueError: if it names a home folder that does not exist.
    """
    try:
        return Path(path).expanduser().resolve()
    except RuntimeError as error:
        raise ValueError(f"{path} cannot be found: {error}") from error


_Folder = Annotated[Path, AfterValidator(parse_folder)]
_Port = Annotated[int, Field(ge=1, le=65535)]
_Device = Annotated[str, StringConstraints(pattern=r"^(cuda(:\d+)?|mps|cpu)\z")]
_Dtype = Literal["bfloat16", "float16", "float32"]
_Bytes = Annotated[
    float, Field(ge=0, allow_inf_nan=False), AfterValidator(lambda size: round(size * 10**9))
]
_Switch = Literal["0", "1"]
_Host = Annotated[str, StringConstraints(pattern=r"^(\*\.)?[\w.-]+\z|^\[?[\da-fA-F:.]+\]?\z")]


def _parse_names(text: str) -> list[str]:
    """Return the names in a text, with commas between them."""
    return [name.strip() for name in text.split(",") if name.strip()]


_Repository = Annotated[str, StringConstraints(pattern=r"^[\w.-]+(/[\w.-]+)+(@\w+)?\z")]
_Repositories = Annotated[tuple[_Repository, ...], BeforeValidator(_parse_names)]
_Hosts = Annotated[tuple[_Host, ...], BeforeValidator(_parse_names)]


def _default_projects(on_space_disk: bool = False) -> Path:
    """Return the folder of projects: beside the code in a checkout, else in the home folder."""
    if on_space_disk:
        return SPACE_DISK / "projects"
    return ROOT / "projects" if (ROOT / "app.py").is_file() else Path.home() / "Throughline"


@dataclass(frozen=True)
class Workers:
    """Processes that render side by side, through Ray.

    Attributes:
        count: number of processes; None for one on every GPU.
        address: address of their Ray cluster, as "host:port" or "auto" for the one that this
            machine is part of; None to start one on this machine.
    """

    count: int | None = None
    address: str | None = None


@dataclass(frozen=True)
class Settings:
    """Settings that hold for as long as the application runs.

    Attributes:
        projects: the folder that holds all projects.
        model: the model of new storyboards: a name in the catalog, a Hugging Face repository, or
            a local folder.
        host: the address that the app listens on.
        port: the port that the app listens on, or None for the first free one from 7860.
        hosts: names by which browsers reach the app, besides loopback and `host`;
            "*.example.org" stands for all that end like that.
        loras: styles that visitors of a Space may choose: repositories of the Hugging Face hub, or
            files of them.
        agreed: keys of consents that whoever runs the app gives.
        device: "cuda" (or "cuda:1", ...), "mps" or "cpu"; None for the best there is.
        dtype: "bfloat16", "float16" or "float32"; None for what suits the device.
        workers: the processes that render; None for this one alone.
        memory: the memory preset by which models are placed, or "auto" for the first that fits.
        budget: order of the frames, and number format and location of their key/value banks.
        attention: diffusers' name of the backend that computes attention; None for torch's own.
        compiled: whether transformers are compiled, which makes the first frame slower and all
            others faster.
        previews: whether the page shows previews while frames are rendered, where they cost little
            beside a step.
        space: whether the app runs as a Hugging Face Space, where strangers share it.
    """

    projects: Path = field(default_factory=_default_projects)
    model: str = "miniature"
    host: str = "127.0.0.1"
    port: int | None = None
    hosts: tuple[str, ...] = ()
    loras: tuple[str, ...] = ()
    agreed: tuple[str, ...] = ()
    device: str | None = None
    dtype: str | None = None
    workers: Workers | None = None
    memory: str = AUTO
    budget: RenderBudget = RenderBudget()
    attention: str | None = None
    compiled: bool = False
    previews: bool = True
    space: bool = False

    @property
    def local(self) -> bool:
        """True where only this machine can reach the app."""
        return self.host.strip("[]") in ("localhost", "::1") or self.host.startswith("127.")

    @property
    def consents(self) -> Path:
        """The file of consents, beside the projects."""
        return self.projects / "consents.json"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read `THROUGHLINE_PROJECTS`, `_MODEL`, `_HOST`, `_PORT`, `_HOSTS`, `_LORAS`, `_CONSENTS`,
        `_DEVICE`, `_DTYPE`, `_WORKERS`, `_MEMORY`, `_ORDER`, `_BANK`, `_BANK_MEMORY`,
        `_BANK_FOLDER`, `_ATTENTION`, `_COMPILE` and `_PREVIEWS`, and on a Space its names.

        Args:
            environment: variables and their values, usually `os.environ`. A variable that is
                empty counts as absent.

        Raises:
            UserError: if a variable has a value that cannot be used.
        """
        space = "SPACE_ID" in environment
        on_disk = space and SPACE_DISK.is_dir()
        read = partial(_read, environment)
        return cls(
            projects=read("PROJECTS", _Folder) or _default_projects(on_disk),
            model=read("MODEL", str) or cls.model,
            host=read("HOST", str) or ("0.0.0.0" if space else cls.host),
            port=read("PORT", _Port, "a number from 1 to 65535"),
            hosts=(
                *(read("HOSTS", _Hosts, "names with commas between them, as example.org") or ()),
                *_parse_names(environment.get("SPACE_HOST", "") if space else ""),
            ),
            loras=read("LORAS", _Repositories, "owner/name, owner/name/file.safetensors") or (),
            agreed=read("CONSENTS", _Repositories, "owner/name, owner/name") or (),
            device=read("DEVICE", _Device, "cuda, cuda:1, mps or cpu"),
            dtype=read("DTYPE", _Dtype, "bfloat16, float16 or float32"),
            workers=read(
                "WORKERS",
                Annotated[Workers, BeforeValidator(_parse_workers)],
                "a number of workers, or auto for one on every GPU; with @HOST:PORT after it they "
                "belong to the Ray cluster there",
            ),
            memory=read("MEMORY", Annotated[str, AfterValidator(parse_memory)]) or cls.memory,
            budget=RenderBudget(
                order=read(
                    "ORDER",
                    Order,
                    "auto, bank (one frame after another) or lockstep (all side by side)",
                )
                or "auto",
                bank_dtype=read(
                    "BANK",
                    BankDtype,
                    "native (as the model computes) or fp8 (half as large, not exact)",
                )
                or "native",
                host_bytes=read("BANK_MEMORY", _Bytes, "a number of gigabytes, as 16"),
                folder=read("BANK_FOLDER", _Folder),
            ),
            attention=read("ATTENTION", str),
            compiled=read("COMPILE", _Switch, "0 or 1") == "1",
            previews=read("PREVIEWS", _Switch, "0 or 1") != "0",
            space=space,
        )


def parse_memory(name: str) -> str:
    """Return the name of a memory preset, or "auto".

    Raises:
        ValueError: if it is neither.
    """
    return AUTO if name.strip().casefold() == AUTO else find_preset(name).name


def _parse_workers(text: str) -> Workers:
    found = _WORKERS.fullmatch(text)
    if found is None:
        raise ValueError("not workers")
    count = found["count"]
    return Workers(None if count == "auto" else int(count), found["address"])


def _read(environment: Mapping[str, str], name: str, kind: Any, expected: str = "") -> Any:
    """Return a variable's value as this type; None where it is absent or empty.

    Raises:
        UserError: if it cannot be, with what is expected or, where that is not given, the reason.
    """
    text = environment.get(f"THROUGHLINE_{name}")
    if not text:
        return None
    try:
        return TypeAdapter(kind).validate_python(text)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        remedy = f"It can be {expected}, or be left out." if expected else reason
        raise UserError(f"THROUGHLINE_{name} is {text!r}.", remedy) from error

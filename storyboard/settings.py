"""Where projects live, which model paints at first, and where the app listens.

Settings come from the environment, once, when a front end starts. It knows nothing of storyboards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pipelines.errors import UserError
from pipelines.models.presets import AUTO, find_preset
from pipelines.request import BankDtype, Order, RenderBudget

ROOT = Path(__file__).resolve().parent.parent
SPACE_DISK = Path("/data")

DEVICE = re.compile(r"cuda(:\d+)?|mps|cpu")
SWITCH = re.compile(r"[01]")
DTYPE = re.compile(r"bfloat16|float16|float32")
ORDER = re.compile(r"auto|bank|lockstep")
BANK_DTYPE = re.compile(r"native|fp8")
BANK_GIGABYTES = re.compile(r"\d+(\.\d+)?")
WORKERS = re.compile(r"(?P<count>auto|[1-9]\d{0,2})(@(?P<address>auto|[\w.\-\[\]:]+:\d{1,5}))?")


@dataclass(frozen=True)
class Workers:
    """Processes that paint side by side, through Ray.

    Attributes:
        count: how many; None for one on every GPU.
        address: the Ray that they belong to, as "host:port" or "auto" for the one that this
            machine is part of; None to start one on this machine.
    """

    count: int | None = None
    address: str | None = None


@dataclass(frozen=True)
class Settings:
    """What is decided before the application starts.

    Attributes:
        projects: the folder that holds all projects.
        model: the model of new storyboards: a name in the registry, a Hugging Face repository, or
            a local folder.
        host: the address that the app listens on.
        port: the port that the app listens on, or None for the first free one from 7860.
        device: "cuda" (or "cuda:1", ...), "mps" or "cpu"; None for the best there is.
        dtype: "bfloat16", "float16" or "float32"; None for what suits the device.
        workers: the processes that paint; None for this one alone.
        memory: the memory preset that models are placed in, or "auto" for the first that fits.
        budget: order of the frames, and number format and location of their key/value banks.
        attention: diffusers' name of the backend that computes attention; None for torch's own.
        compiled: whether transformers are compiled, which makes the first frame slower and all
            others faster.
        previews: whether the page shows frames while they are painted, where the model has
            something that costs little beside a step.
        space: whether the app runs as a Hugging Face Space, where strangers share it.
    """

    projects: Path = ROOT / "projects"
    model: str = "miniature"
    host: str = "127.0.0.1"
    port: int | None = None
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
    def consents(self) -> Path:
        """The file that remembers what has been agreed to: beside the projects."""
        return self.projects / "consents.json"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read `THROUGHLINE_PROJECTS`, `_MODEL`, `_HOST`, `_PORT`, `_DEVICE`, `_DTYPE`, `_WORKERS`,
        `_MEMORY`, `_ORDER`, `_BANK`, `_BANK_MEMORY`, `_BANK_FOLDER`, `_ATTENTION`, `_COMPILE` and
        `_PREVIEWS`.

        Args:
            environment: variables and their values, usually `os.environ`. A variable that is
                empty counts as absent.

        Raises:
            UserError: if a variable has a value that cannot be used.
        """
        space = "SPACE_ID" in environment
        default_projects = cls.projects
        if space and SPACE_DISK.is_dir():
            default_projects = SPACE_DISK / "projects"
        projects = environment.get("THROUGHLINE_PROJECTS")
        return cls(
            projects=Path(projects).expanduser().resolve() if projects else default_projects,
            model=environment.get("THROUGHLINE_MODEL") or cls.model,
            host=environment.get("THROUGHLINE_HOST") or ("0.0.0.0" if space else cls.host),
            port=_port(environment),
            device=_choice(environment, "THROUGHLINE_DEVICE", DEVICE, "cuda, cuda:1, mps or cpu"),
            dtype=_choice(environment, "THROUGHLINE_DTYPE", DTYPE, "bfloat16, float16 or float32"),
            workers=_workers(environment),
            memory=_memory(environment),
            budget=_budget(environment),
            attention=environment.get("THROUGHLINE_ATTENTION") or None,
            compiled=_choice(environment, "THROUGHLINE_COMPILE", SWITCH, "0 or 1") == "1",
            previews=_choice(environment, "THROUGHLINE_PREVIEWS", SWITCH, "0 or 1") != "0",
            space=space,
        )


def _port(environment: Mapping[str, str]) -> int | None:
    text = environment.get("THROUGHLINE_PORT")
    if not text:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise UserError(
            f"THROUGHLINE_PORT is {text!r}, which is not a port.",
            "Give a number from 1 to 65535, or leave it out.",
        )
    return int(text)


def _budget(environment: Mapping[str, str]) -> RenderBudget:
    orders = "auto, bank (one frame after another) or lockstep (all side by side)"
    formats = "native (as the model computes) or fp8 (half as large, not exact)"
    size = _choice(
        environment, "THROUGHLINE_BANK_MEMORY", BANK_GIGABYTES, "a number of gigabytes, as 16"
    )
    folder = environment.get("THROUGHLINE_BANK_FOLDER")
    order = _choice(environment, "THROUGHLINE_ORDER", ORDER, orders)
    bank_dtype = _choice(environment, "THROUGHLINE_BANK", BANK_DTYPE, formats)
    return RenderBudget(
        order=cast(Order, order or "auto"),
        bank_dtype=cast(BankDtype, bank_dtype or "native"),
        host_bytes=None if size is None else round(float(size) * 10**9),
        folder=Path(folder).expanduser().resolve() if folder else None,
    )


def _memory(environment: Mapping[str, str]) -> str:
    name = environment.get("THROUGHLINE_MEMORY")
    if not name:
        return AUTO
    try:
        return parse_memory(name)
    except ValueError as error:
        raise UserError(f"THROUGHLINE_MEMORY: {error}") from error


def parse_memory(name: str) -> str:
    """The name of a memory preset, or "auto".

    Raises:
        ValueError: if it is neither.
    """
    return AUTO if name.strip().casefold() == AUTO else find_preset(name).name


def _workers(environment: Mapping[str, str]) -> Workers | None:
    text = environment.get("THROUGHLINE_WORKERS")
    if not text:
        return None
    found = WORKERS.fullmatch(text)
    if found is None:
        raise UserError(
            f"THROUGHLINE_WORKERS is {text!r}.",
            "It can be a number of workers, or auto for one on every GPU; with @HOST:PORT after "
            "it they belong to the Ray cluster there. Or leave it out.",
        )
    count = found["count"]
    return Workers(None if count == "auto" else int(count), found["address"])


def _choice(
    environment: Mapping[str, str], name: str, known: re.Pattern[str], words: str
) -> str | None:
    value = environment.get(name)
    if not value:
        return None
    if not known.fullmatch(value):
        raise UserError(f"{name} is {value!r}.", f"It can be {words}, or be left out.")
    return value

"""The engine of the application: `pipelines.engine` with consent, reference files and ZeroGPU."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines import engine
from pipelines.errors import out_of_memory
from pipelines.events import Events
from pipelines.exchange import NO_BANKS, BankExchange
from pipelines.models.catalog import BIREFNET, find_model
from pipelines.models.specs import MattingSpec, ModelSpec
from pipelines.models.usability import Usability
from pipelines.reference.from_upload import prepare_reference as prepare_reference
from pipelines.request import RenderRequest
from storyboard.errors import RenderCancelled
from storyboard.planning import references_unsupported
from storyboard.settings import Settings
from storyboard.storage.consents import Consents
from storyboard.storage.reference_store import ReferenceStore
from storyboard.zero_gpu import has_zero_gpu, on_zero_gpu

if TYPE_CHECKING:
    from PIL import Image

    from pipelines.reference.birefnet import BiRefNetMatting


class Engine:
    """Renders requests for the application; see `storyboard.jobs.job.RenderEngine`.

    For one thread at a time.

    Args:
        settings: device, number format, memory preset, and the file of given consents.
        previews: whether frames are previewed while they are rendered, with models that have a
            cheap decoder.
    """

    def __init__(self, settings: Settings, previews: bool = False) -> None:
        self._settings = settings
        self._consents = Consents(settings.consents)
        self._engine = engine.Engine(engine_options(settings, previews), on_zero_gpu)

    def check(self, request: RenderRequest) -> None:
        """See `RenderEngine.check`."""
        spec = find_model(request.model)
        if not request.references:
            return
        subject = spec.character_adapter
        if subject is None:
            raise references_unsupported(spec)
        if subject.consent:
            self._consents.require(
                subject.consent,
                subject,
                f"{spec.title} uses {subject.title} for reference pictures, whose weights may be "
                "used for research only.",
            )

    def fetch(self, style: str, stopped: Callable[[], bool]) -> None:
        """See `RenderEngine.fetch`."""
        if not engine.fetch_style(style, stopped):
            raise RenderCancelled

    def render(
        self, request: RenderRequest, pictures: Path | None = None, banks: BankExchange = NO_BANKS
    ) -> Events:
        """See `RenderEngine.render`.

        Raises:
            ConsentNeeded: as `check`.
            ProjectError: if a reference picture is missing or damaged.
            UserError: as `pipelines.engine.Engine.render`.
        """
        self.check(request)
        images: dict[str, Image.Image] = {}
        if request.references:
            if pictures is None:
                raise ValueError(f"no folder for the pictures {sorted(request.references)}")
            images = {name: ReferenceStore(pictures).image(name) for name in request.references}
        yield from self._engine.render(request, images, banks)

    def describe(self) -> str:
        """See `RenderEngine.describe`."""
        return self._engine.describe()

    def usability(self, spec: ModelSpec) -> Usability:
        """See `RenderEngine.usability`; from any thread."""
        return usability(spec, self._settings)


def engine_options(settings: Settings, previews: bool = False) -> engine.EngineOptions:
    """Return the imaging engine's part of the settings."""
    return engine.EngineOptions(
        device=settings.device,
        dtype=settings.dtype,
        memory=settings.memory,
        budget=settings.budget,
        attention=settings.attention,
        compiled=settings.compiled,
        previews=previews,
    )


def usability(spec: ModelSpec, settings: Settings) -> Usability:
    """Find out whether a model can render in this process; imports torch.

    A ZeroGPU Space has its GPU, and that GPU's memory, only while it renders.
    """
    if not has_zero_gpu():
        return engine.usability(spec, engine_options(settings))
    size = spec.weights_bytes / 1e9
    needs = f" Its weights take {size:.0f} GB in 16 bits." if size >= 1 else ""
    return Usability(
        True, f"Renders on a GPU of ZeroGPU, where it is decided whether it fits.{needs}"
    )


class NetworkMatting:
    """Finds figures with a network, which is loaded when first needed and kept; for any thread.

    It runs on the CPU, so that it takes no memory from the model that renders.

    Args:
        settings: the file of given consents.
        spec: the network.
    """

    def __init__(self, settings: Settings, spec: MattingSpec = BIREFNET) -> None:
        self._consents = Consents(settings.consents)
        self._spec = spec
        self._guard = threading.Lock()
        self._loaded: BiRefNetMatting | None = None

    def mask(self, picture: Image.Image) -> Image.Image:
        """Return the figure's mask; see `pipelines.pictures.FindFigure`.

        Raises:
            ConsentNeeded: if the network's own code would run and nobody has agreed to that yet.
            ModelError: if the network cannot be loaded, or does not fit into memory.
        """
        from PIL import Image

        spec = self._spec
        if spec.runs_code:
            self._consents.require(
                spec.consent,
                spec,
                f"{spec.title} finds figures with its own Python code, which would be downloaded "
                "and run with your rights.",
            )
        try:
            with self._guard:
                return Image.fromarray(self._network().mask(picture))
        except (RuntimeError, MemoryError) as error:
            remedy = "Close what else uses the memory, or use the built-in way."
            raise out_of_memory(error, f"for {spec.title}", remedy) from error

    def _network(self) -> BiRefNetMatting:
        if self._loaded is None:
            from pipelines.reference.birefnet import BiRefNetMatting

            self._loaded = BiRefNetMatting.load(
                self._spec.source, run_remote_code=True, revision=self._spec.revision
            )
        return self._loaded

"""Code that runs in a worker's process: an engine, which gets requests and yields events.

It sees no projects, and does not know Ray; `storyboard.jobs.ray.cluster` reaches it.
"""

from __future__ import annotations

import pickle
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.events import PipelineEvent
from pipelines.exchange import NO_BANKS, BankExchange, PortableBank
from pipelines.models.specs import ModelSpec
from pipelines.models.usability import Usability
from pipelines.request import RenderRequest
from storyboard.jobs.job import RenderEngine
from storyboard.settings import Settings
from storyboard.storage.consents import Consents

MakeEngine = Callable[[Settings], RenderEngine]
# Fetches a pickled bank by its handle in an assignment.
Fetch = Callable[[Any], bytes]


@dataclass(frozen=True)
class Assignment:
    """Frames for a worker to render.

    Attributes:
        id: its identifier.
        request: the frames.
        pictures: their reference pictures, PNG files by their names.
        consents: consents that a person has given and the model needs (keys of `Consents`).
        received: handles, which `Fetch` takes, of the banks of frames that were rendered
            elsewhere, by the frames' ids.
        sends: frames whose banks are to be sent to other workers.
        measures: whether the sizes of all banks are to be reported.
    """

    id: str
    request: RenderRequest
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    consents: tuple[str, ...] = ()
    received: Mapping[str, object] = field(default_factory=dict)
    sends: frozenset[str] = frozenset()
    measures: bool = False


@dataclass(frozen=True)
class BankReady:
    """A source frame is rendered, and its bank is complete.

    Attributes:
        frame_id: the frame.
        nbytes: bytes of its bank.
        sent: whether the pickled bank follows, in place of an event.
    """

    frame_id: str
    nbytes: int
    sent: bool


@dataclass(frozen=True)
class BanksFetched:
    """The received banks of an assignment have arrived: their pickled bytes, and the duration."""

    nbytes: int
    seconds: float


WorkerEvent = PipelineEvent | BankReady | BanksFetched


class Worker:
    """Renders one assignment after another; `stop` may be called meanwhile.

    Args:
        make_engine: makes its engine.
        settings: for the engine; projects and consents of the worker's machine are left alone.
        fetch: fetches banks.
        scratch: folder for temporary files; None for the machine's own.
    """

    def __init__(
        self,
        make_engine: MakeEngine,
        settings: Settings,
        fetch: Fetch,
        scratch: Path | None = None,
    ) -> None:
        self._fetch = fetch
        self._folder = tempfile.TemporaryDirectory(prefix="throughline-", dir=scratch)
        own = replace(settings, projects=Path(self._folder.name), workers=None)
        self._consents = Consents(own.consents)
        self._engine = make_engine(own)
        self._stopped: set[str] = set()
        self._guard = threading.Lock()
        self._rendering = threading.Lock()

    def ready(self) -> bool:
        """Return True, which shows that the worker answers."""
        return True

    def render(self, assignment: Assignment) -> Iterator[WorkerEvent | UserError | bytes]:
        """Render an assignment until it is done or stopped.

        Yields:
            The engine's events and those of banks; a `UserError`, which is not raised, is the last.
        """
        try:
            with self._rendering:
                yield from self._events(assignment)
        except UserError as error:
            yield error
        finally:
            with self._guard:
                self._stopped.discard(assignment.id)

    def usability(self, spec: ModelSpec) -> Usability:
        """Find out whether a model can render here; see `RenderEngine.usability`."""
        return self._engine.usability(spec)

    def stop(self, assignment_id: str) -> None:
        """Stop an assignment within one denoising step, also before it has begun."""
        with self._guard:
            self._stopped.add(assignment_id)

    def close(self) -> None:
        """Remove the temporary files."""
        self._folder.cleanup()

    def _events(self, assignment: Assignment) -> Iterator[WorkerEvent | bytes]:
        for key in assignment.consents:
            self._consents.give(key)
        exchange = NO_BANKS
        ready: list[BankReady | bytes] = []
        if assignment.received or assignment.sends or assignment.measures:
            begun = time.monotonic()
            banks = {name: self._fetch(bank) for name, bank in assignment.received.items()}
            yield BanksFetched(sum(map(len, banks.values())), time.monotonic() - begun)

            def keep(frame_id: str, bank: PortableBank) -> None:
                sent = frame_id in assignment.sends
                ready.append(BankReady(frame_id, bank.nbytes, sent))
                if sent:
                    ready.append(pickle.dumps(bank))

            reports = assignment.sends or assignment.measures
            exchange = BankExchange(banks, keep if reports else None)
        with tempfile.TemporaryDirectory(dir=self._folder.name) as folder:
            for name, content in assignment.pictures.items():
                Path(folder, name).write_bytes(content)
            with closing(self._engine.render(assignment.request, Path(folder), exchange)) as events:
                for event in events:
                    while ready:
                        yield ready.pop(0)
                    yield event
                    with self._guard:
                        if assignment.id in self._stopped:
                            return

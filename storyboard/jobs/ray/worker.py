"""What paints in a worker's process: an engine, and the pictures that it follows meanwhile.

The worker sees nothing of projects: it gets requests and gives events. It knows nothing of how it
was reached.
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
from pipelines.events import ModelLoading, PipelineEvent
from pipelines.exchange import NO_BANKS, BankExchange, PortableBank
from pipelines.request import RenderRequest
from storyboard.jobs.job import RenderEngine
from storyboard.settings import Settings
from storyboard.storage.consents import Consents

MakeEngine = Callable[[Settings], RenderEngine]
# Gets, from wherever it is, what something stands for that came with an order.
Fetch = Callable[[Any], bytes]


@dataclass(frozen=True)
class Order:
    """What a worker is asked to paint.

    Attributes:
        id: names the order.
        request: the frames.
        pictures: the reference pictures that they follow, PNG files by their names.
        consents: what a person has agreed to that the model needs (keys of `Consents`).
        lent: banks of frames that were painted elsewhere, by their ids, as what `Fetch` takes.
        keeps: frames whose banks are to be sent on.
        weighs: whether it is to be told what banks weigh.
    """

    id: str
    request: RenderRequest
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    consents: tuple[str, ...] = ()
    lent: Mapping[str, object] = field(default_factory=dict)
    keeps: frozenset[str] = frozenset()
    weighs: bool = False


@dataclass(frozen=True)
class BankWeighed:
    """A frame that lends is painted, and this is what its bank holds.

    Attributes:
        frame_id: the frame.
        nbytes: bytes of its bank.
        sent: whether the bank itself comes next, packed, in place of an event.
    """

    frame_id: str
    nbytes: int
    sent: bool


@dataclass(frozen=True)
class BanksFetched:
    """The banks that are lent to an order have arrived.

    Attributes:
        nbytes: their bytes, as packed.
        seconds: how long that took.
    """

    nbytes: int
    seconds: float


Painted = PipelineEvent | ModelLoading | BankWeighed | BanksFetched


class Painter:
    """Paints one order after the other; `stop` may be called meanwhile.

    Args:
        make_engine: makes what paints.
        settings: for it; projects and consents of the machine that it runs on are left alone.
        fetch: gets banks that are lent.
        scratch: where it may keep files meanwhile; None for the machine's own place for that.
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
        self._painting = threading.Lock()

    def ready(self) -> bool:
        """True, as soon as the worker answers at all."""
        return True

    def paint(self, order: Order) -> Iterator[Painted | UserError | bytes]:
        """Paint an order, until it is done or stopped.

        Yields:
            What `RenderEngine.render` reports, and what becomes of banks; in place of raising it,
            a fault for a person.
        """
        try:
            with self._painting:
                yield from self._painted(order)
        except UserError as error:
            yield error
        finally:
            with self._guard:
                self._stopped.discard(order.id)

    def stop(self, order_id: str) -> None:
        """Stop an order within one denoising step, also where it has not begun."""
        with self._guard:
            self._stopped.add(order_id)

    def close(self) -> None:
        """Remove what it keeps on the disk."""
        self._folder.cleanup()

    def _painted(self, order: Order) -> Iterator[Painted | bytes]:
        for key in order.consents:
            self._consents.give(key)
        exchange = NO_BANKS
        kept: list[BankWeighed | bytes] = []
        if order.lent or order.keeps or order.weighs:
            lent, fetched = self._fetched(order)
            yield fetched

            def keep(frame_id: str, bank: PortableBank) -> None:
                sent = frame_id in order.keeps
                kept.append(BankWeighed(frame_id, bank.nbytes, sent))
                if sent:
                    kept.append(pickle.dumps(bank))

            exchange = BankExchange(lent, keep if order.keeps or order.weighs else None)
        with tempfile.TemporaryDirectory(dir=self._folder.name) as folder:
            for name, content in order.pictures.items():
                Path(folder, name).write_bytes(content)
            events = self._engine.render(order.request, Path(folder), exchange)
            with closing(events):
                for event in events:
                    while kept:
                        yield kept.pop(0)
                    yield event
                    if self._told_to_stop(order.id):
                        return

    def _fetched(self, order: Order) -> tuple[dict[str, bytes], BanksFetched]:
        begun = time.monotonic()
        lent = {name: self._fetch(bank) for name, bank in order.lent.items()}
        return lent, BanksFetched(sum(map(len, lent.values())), time.monotonic() - begun)

    def _told_to_stop(self, order_id: str) -> bool:
        with self._guard:
            return order_id in self._stopped

"""An uploaded picture while its mask is looked at and mended, before a storyboard uses it.

    <folder>/draft.json              which picture it is, and what is wrong with what was cut out
    <folder>/<id>.source.png         the picture
    <folder>/<id>.mask.png           the mask that was found in it
    <folder>/<id>.view.png           the picture as a page shows it, and brushes on it
    <folder>/<id>.strokes.png        all strokes so far: green adds, red takes away
    <folder>/<id>.mended.png         the mask with the strokes, of the view's size
    <folder>/<sha256>.png            the figure on white that would be used, where there is one

One folder for a project, replaced by the next upload; what is used is stored elsewhere
(`storyboard.storage.pictures`). It survives whatever happens to the browser. It knows nothing of
pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import NoFigureFound, UserError
from pipelines.pictures import PrepareReference, Reference, png_bytes, read_png
from storyboard.board import new_id
from storyboard.errors import ProjectError
from storyboard.storage.files import DocumentKind, unwritable, write_atomically

if TYPE_CHECKING:
    from PIL import Image

DRAFT_FILE = DocumentKind("throughline draft")
VIEW_SIDE = 1024  # pixels of the longer side of what a page shows

_RECORD = "draft.json"


@dataclass(frozen=True)
class Draft:
    """A picture that is not in use yet; the pictures are files.

    Attributes:
        id: names it; a new upload has another one.
        size: width and height of the view in pixels.
        view: the picture as pages show it.
        mask: the mask that was found, of the source's size.
        strokes: the strokes of the brush, of the view's size; None before the first.
        mended: the mask with the strokes, of the view's size.
        prepared: the figure on white; None where no figure was found.
        doubt: what makes the mask look wrong; empty where nothing does.
        fault: why there is no figure; empty where there is one.
    """

    id: str
    size: tuple[int, int]
    view: Path
    mask: Path
    strokes: Path | None
    mended: Path
    prepared: Path | None
    doubt: str
    fault: str


class Drafts:
    """The draft in a folder; for one thread at a time.

    Args:
        folder: where it is; made with the first one.
        prepare: cuts figures out of pictures.
    """

    def __init__(self, folder: Path, prepare: PrepareReference) -> None:
        self._folder = folder
        self._prepare = prepare

    def current(self) -> Draft | None:
        """The draft; None where there is none.

        Raises:
            ProjectError: if it is damaged.
        """
        if not (self._folder / _RECORD).exists():
            return None
        record = DRAFT_FILE.read(self._folder / _RECORD)
        draft_id, prepared = str(record.get("id", "")), str(record.get("prepared", ""))
        strokes = self._file(draft_id, "strokes")
        return Draft(
            id=draft_id,
            size=(int(record.get("width", 0)), int(record.get("height", 0))),
            view=self._file(draft_id, "view"),
            mask=self._file(draft_id, "mask"),
            strokes=strokes if strokes.exists() else None,
            mended=self._file(draft_id, "mended"),
            prepared=self._folder / Path(prepared).name if prepared else None,
            doubt=str(record.get("doubt", "")),
            fault=str(record.get("fault", "")),
        )

    def begin(self, picture: Path) -> None:
        """Look for the figure in a picture; it takes the place of an earlier draft.

        Raises:
            PictureError: if the picture cannot be opened; an earlier draft stays.
            ProjectError: if the disk does not take it.
        """
        try:
            reference = self._prepare(picture)
        except NoFigureFound as error:
            self._start(error.source, error.mask, error)
        else:
            self._start(reference.source, reference.mask, reference)

    def resume(self, reference: Reference) -> None:
        """Take up a picture that is in use, to mend its mask further.

        Raises:
            ProjectError: if the disk does not take it.
        """
        self._start(reference.source, reference.mask, reference)

    def mend(self, draft_id: str, strokes: bytes) -> None:
        """Replace the strokes and cut the figure out anew; nothing where the draft is gone.

        Args:
            draft_id: the draft that they were painted on.
            strokes: a PNG file of the view's size, with alpha.

        Raises:
            ProjectError: if the draft is damaged or the disk does not take it.
            UserError: if these are no strokes.
        """
        draft = self.current()
        if draft is None or draft.id != draft_id:
            return
        painted = self._strokes(draft, strokes)
        source, mask = (self._picture(draft_id, part) for part in ("source", "mask"))
        added, removed = _parted(painted, source.size)
        try:
            outcome: Reference | NoFigureFound = self._prepare(source, mask, added, removed)
        except NoFigureFound as error:
            outcome = error
        self._write({self._file(draft_id, "strokes"): strokes})
        self._keep(draft_id, outcome, painted.size)

    def source(self, draft_id: str) -> Image.Image | None:
        """The draft's picture; None where the draft is gone.

        Raises:
            ProjectError: if it is damaged.
        """
        draft = self.current()
        if draft is None or draft.id != draft_id:
            return None
        return self._picture(draft_id, "source")

    def restart(self, draft_id: str, mask: Image.Image) -> None:
        """Give the draft another mask, without strokes; nothing where it is gone meanwhile.

        Args:
            draft_id: the draft.
            mask: in mode "L" and of the picture's size.

        Raises:
            ProjectError: if the draft is damaged or the disk does not take it.
        """
        source = self.source(draft_id)
        if source is None:
            return
        try:
            reference = self._prepare(source, mask)
        except NoFigureFound as error:
            self._start(source, mask, error)
        else:
            self._start(source, mask, reference)

    def finish(self, draft_id: str) -> Reference:
        """The draft as a reference; it stays until it is discarded.

        Raises:
            ProjectError: if it is damaged.
            UserError: if it is gone, or no figure was found in it.
        """
        draft = self.current()
        if draft is None or draft.id != draft_id:
            raise UserError("That picture has been replaced.", "Reload the page.")
        source, mask = (self._picture(draft_id, part) for part in ("source", "mask"))
        if draft.strokes is None:
            return self._prepare(source, mask)
        painted = self._strokes(draft, draft.strokes.read_bytes())
        return self._prepare(source, mask, *_parted(painted, source.size))

    def discard(self, draft_id: str) -> None:
        """Forget the draft; nothing where it is gone already."""
        draft = self.current()
        if draft is not None and draft.id == draft_id:
            self._clear(keep=frozenset())

    def _start(
        self, source: Image.Image, mask: Image.Image, outcome: Reference | NoFigureFound
    ) -> None:
        draft_id = new_id()
        view = source.copy()
        view.thumbnail((VIEW_SIDE, VIEW_SIDE))
        self._write(
            {
                self._file(draft_id, "source"): png_bytes(source),
                self._file(draft_id, "mask"): png_bytes(mask),
                self._file(draft_id, "view"): png_bytes(view),
            }
        )
        self._keep(draft_id, outcome, view.size)

    def _keep(
        self, draft_id: str, outcome: Reference | NoFigureFound, size: tuple[int, int]
    ) -> None:
        """Store what became of a draft; the record comes last, and the files of others go."""
        files = {self._file(draft_id, "mended"): png_bytes(outcome.mask.resize(size))}
        record: dict[str, Any] = {"id": draft_id, "width": size[0], "height": size[1]}
        if isinstance(outcome, Reference):
            files[self._folder / outcome.name] = outcome.content
            record |= {"prepared": outcome.name, "doubt": outcome.doubt}
        else:
            record["fault"] = str(outcome)
        self._write(files | {self._folder / _RECORD: DRAFT_FILE.dump(record)})
        own = {path.name for path in self._folder.glob(f"{draft_id}.*.png")}
        self._clear(keep=frozenset({*own, *(path.name for path in files), _RECORD}))

    def _clear(self, keep: frozenset[str]) -> None:
        # The record goes first: a draft whose files are gone is damaged.
        paths = sorted(self._folder.iterdir(), key=lambda path: path.name != _RECORD)
        for path in paths:
            if path.name not in keep:
                path.unlink(missing_ok=True)

    def _file(self, draft_id: str, part: str) -> Path:
        return self._folder / f"{Path(draft_id).name}.{part}.png"

    def _picture(self, draft_id: str, part: str) -> Image.Image:
        path = self._file(draft_id, part)
        try:
            return read_png(path.read_bytes())
        except (OSError, ValueError) as error:
            raise ProjectError(
                f"{path} cannot be read ({error}).", "Upload the picture again."
            ) from error

    def _strokes(self, draft: Draft, content: bytes) -> Image.Image:
        """A page's strokes, which must lie on the view."""
        try:
            painted = read_png(content)
        except ValueError as error:
            raise _no_strokes(str(error)) from error
        if painted.mode != "RGBA" or painted.size != draft.size:
            raise _no_strokes(f"{painted.mode}, {painted.width} x {painted.height}")
        return painted

    def _write(self, files: dict[Path, bytes]) -> None:
        try:
            self._folder.mkdir(exist_ok=True)
            for path, content in files.items():
                write_atomically(path, content)
        except OSError as error:
            raise unwritable(self._folder, error) from error


def _parted(strokes: Image.Image, size: tuple[int, int]) -> tuple[Image.Image, Image.Image]:
    """What strokes add and what they take away, each in mode "L" and of this size."""
    from PIL import Image, ImageChops

    red, green, _, alpha = strokes.split()
    added, removed = (
        ImageChops.multiply(colour, alpha).resize(size, Image.Resampling.BILINEAR)
        for colour in (green, red)
    )
    return added, removed


def _no_strokes(fault: str) -> UserError:
    return UserError(f"The page sent something that is not a mask ({fault}).", "Reload the page.")

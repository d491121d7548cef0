"""Drafts: an uploaded picture while a person checks and mends its mask.

    <folder>/draft.json              the draft's id and size, and what is wrong with its mask
    <folder>/<id>.source.png         the picture
    <folder>/<id>.mask.png           the mask that was found in it
    <folder>/<id>.view.png           the picture as a page shows it, and brushes on it
    <folder>/<id>.strokes.png        all brush strokes so far: green adds, red takes away
    <folder>/<id>.mended.png         the mask with the strokes, of the view's size
    <folder>/<sha256>.png            the figure on white that would be used, where one was found

A project has one such folder, whose content the next upload replaces; a picture that is used is
stored elsewhere (`storyboard.storage.reference_store`). A draft survives whatever happens to the
browser. This module knows nothing of pages.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, ValidationError

from pipelines.errors import NoFigureFound, UserError
from pipelines.pictures import PrepareReference, Reference, png_bytes, read_png
from storyboard.board import Identifier, PictureName, new_id
from storyboard.errors import ProjectError
from storyboard.storage.files import DocumentKind, invalid, read_file, remove, write_result
from storyboard.storage.take_files import picture_fault

if TYPE_CHECKING:
    from PIL import Image

DRAFT_FILE = DocumentKind("throughline draft")
VIEW_SIDE = 1024  # pixels of the longer side of what a page shows

_RECORD = "draft.json"
_REMEDY = "Upload the picture again."


@dataclass(frozen=True)
class Draft:
    """A picture that is not in use yet, as files.

    Attributes:
        id: its identifier; a new upload has another one.
        size: width and height of the view in pixels.
        view: the picture as pages show it.
        mask: the mask that was found, of the source's size.
        strokes: the brush strokes, of the view's size; None before the first.
        mended: the mask with the strokes, of the view's size.
        prepared: the figure on white; None where no figure was found.
        doubt: the reason why the mask looks wrong; empty where it does not.
        fault: the reason why there is no figure; empty where there is one.
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


class _Record(BaseModel):
    """The content of a draft's JSON file."""

    id: Identifier
    width: int = Field(ge=1, le=VIEW_SIDE)
    height: int = Field(ge=1, le=VIEW_SIDE)
    prepared: PictureName = ""
    doubt: str = ""
    fault: str = ""


class Drafts:
    """The draft in a folder; for one thread at a time.

    Args:
        folder: its folder; made with the first draft.
        prepare: cuts figures out of pictures.
    """

    def __init__(self, folder: Path, prepare: PrepareReference) -> None:
        self._folder = folder
        self._prepare = prepare

    def current(self) -> Draft | None:
        """Return the draft; None where there is none.

        Raises:
            ProjectError: if it is damaged.
        """
        path = self._folder / _RECORD
        if not os.path.lexists(path):
            return None
        try:
            record = _Record.model_validate(DRAFT_FILE.read(path))
        except ValidationError as error:
            raise invalid(path, error) from error
        strokes = self._file(record.id, "strokes")
        draft = Draft(
            id=record.id,
            size=(record.width, record.height),
            view=self._file(record.id, "view"),
            mask=self._file(record.id, "mask"),
            strokes=strokes if os.path.lexists(strokes) else None,
            mended=self._file(record.id, "mended"),
            prepared=self._folder / record.prepared if record.prepared else None,
            doubt=record.doubt,
            fault=record.fault,
        )
        pictures = (draft.view, draft.mask, draft.strokes, draft.mended, draft.prepared)
        for picture in filter(None, (self._file(record.id, "source"), *pictures)):
            fault = picture_fault(picture)
            if fault:
                raise ProjectError(f"{picture} {fault}.", _REMEDY)
        return draft

    def begin(self, picture: Path) -> None:
        """Cut the figure out of a picture, as the new draft in place of an earlier one.

        Raises:
            PictureError: if the picture cannot be opened; an earlier draft stays.
            ProjectError: if it cannot be written.
        """
        outcome = self._cut_out(picture)
        self._start(outcome.source, outcome.mask, outcome)

    def resume(self, reference: Reference) -> None:
        """Make a draft of a picture that is in use, to mend its mask further.

        Raises:
            ProjectError: if it cannot be written.
        """
        self._start(reference.source, reference.mask, reference)

    def mend(self, draft_id: str, strokes: bytes) -> None:
        """Replace the strokes and cut the figure out anew; do nothing where the draft is gone.

        Args:
            draft_id: the draft that the strokes were drawn on.
            strokes: a PNG file of the view's size, with alpha.

        Raises:
            ProjectError: if the draft is damaged or cannot be written.
            UserError: if `strokes` is not such a file.
        """
        draft = self._draft(draft_id)
        if draft is None:
            return
        source, mask = (self._picture(draft_id, part) for part in ("source", "mask"))
        outcome = self._cut_out(source, mask, *_strokes(draft, strokes, source.size))
        write_result(self._file(draft_id, "strokes"), strokes)
        self._keep(draft_id, outcome, draft.size)

    def source(self, draft_id: str) -> Image.Image | None:
        """Return the draft's picture; None where the draft is gone.

        Raises:
            ProjectError: if it is damaged.
        """
        return self._picture(draft_id, "source") if self._draft(draft_id) else None

    def restart(self, draft_id: str, mask: Image.Image) -> None:
        """Give the draft another mask, without strokes; do nothing where the draft is gone.

        Args:
            draft_id: the draft.
            mask: in mode "L" and of the picture's size.

        Raises:
            ProjectError: if the draft is damaged or cannot be written.
        """
        source = self.source(draft_id)
        if source is not None:
            self._start(source, mask, self._cut_out(source, mask))

    def finish(self, draft_id: str) -> Reference:
        """Return the draft as a reference; the draft stays until it is discarded.

        Raises:
            ProjectError: if it is damaged.
            UserError: if it is gone, or no figure was found in it.
        """
        draft = self._draft(draft_id)
        if draft is None:
            raise UserError("That picture has been replaced.", "Reload the page.")
        source, mask = (self._picture(draft_id, part) for part in ("source", "mask"))
        if draft.strokes is None:
            return self._prepare(source, mask)
        strokes = _strokes(draft, read_file(draft.strokes, _REMEDY), source.size)
        return self._prepare(source, mask, *strokes)

    def discard(self, draft_id: str) -> None:
        """Delete the draft, if it is still there.

        Raises:
            ProjectError: if it is damaged, or cannot be deleted.
        """
        if self._draft(draft_id) is not None:
            self._clear(keep=frozenset())

    def _draft(self, draft_id: str) -> Draft | None:
        """Return the draft of this identifier; None where it is gone."""
        draft = self.current()
        return draft if draft is not None and draft.id == draft_id else None

    def _cut_out(
        self,
        picture: Path | Image.Image,
        mask: Image.Image | None = None,
        added: Image.Image | None = None,
        removed: Image.Image | None = None,
    ) -> Reference | NoFigureFound:
        try:
            return self._prepare(picture, mask, added, removed)
        except NoFigureFound as error:
            return error

    def _start(
        self, source: Image.Image, mask: Image.Image, outcome: Reference | NoFigureFound
    ) -> None:
        draft_id = new_id()
        view = source.copy()
        view.thumbnail((VIEW_SIDE, VIEW_SIDE))
        for part, picture in (("source", source), ("mask", mask), ("view", view)):
            write_result(self._file(draft_id, part), png_bytes(picture))
        self._keep(draft_id, outcome, view.size)

    def _keep(
        self, draft_id: str, outcome: Reference | NoFigureFound, size: tuple[int, int]
    ) -> None:
        """Write the result of a draft, its record last, and delete the files of other drafts."""
        files = {self._file(draft_id, "mended"): png_bytes(outcome.mask.resize(size))}
        record: dict[str, Any] = {"id": draft_id, "width": size[0], "height": size[1]}
        if isinstance(outcome, Reference):
            files[self._folder / outcome.name] = outcome.content
            record |= {"prepared": outcome.name, "doubt": outcome.doubt}
        else:
            record["fault"] = str(outcome)
        for path, content in (files | {self._folder / _RECORD: DRAFT_FILE.dump(record)}).items():
            if path.is_dir():  # of somebody's making; no file can take its place
                remove(path)
            write_result(path, content)
        own = {path.name for path in self._folder.glob(f"{draft_id}.*.png")}
        self._clear(keep=frozenset({*own, *(path.name for path in files), _RECORD}))

    def _clear(self, keep: frozenset[str]) -> None:
        # The record goes first: a draft whose files are gone is damaged.
        for path in sorted(self._folder.iterdir(), key=lambda path: path.name != _RECORD):
            if path.name not in keep:
                remove(path)

    def _file(self, draft_id: str, part: str) -> Path:
        return self._folder / f"{Path(draft_id).name}.{part}.png"

    def _picture(self, draft_id: str, part: str) -> Image.Image:
        path = self._file(draft_id, part)
        try:
            return read_png(read_file(path, _REMEDY))
        except ValueError as error:
            raise ProjectError(f"{path} is damaged ({error}).", _REMEDY) from error


def _strokes(
    draft: Draft, content: bytes, size: tuple[int, int]
) -> tuple[Image.Image, Image.Image]:
    """Return what a page's strokes add and what they take away, in mode "L" and of this size.

    Raises:
        UserError: if they are not a PNG picture of the view's size with alpha.
    """
    from PIL import Image, ImageChops

    try:
        drawn = read_png(content)
        if drawn.mode != "RGBA" or drawn.size != draft.size:
            raise ValueError(f"{drawn.mode}, {drawn.width} x {drawn.height}")
    except ValueError as error:
        raise UserError(
            f"The page sent something that is not a mask ({error}).", "Reload the page."
        ) from error
    red, green, _, alpha = drawn.split()
    added, removed = (
        ImageChops.multiply(colour, alpha).resize(size, Image.Resampling.BILINEAR)
        for colour in (green, red)
    )
    return added, removed

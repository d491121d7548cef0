"""`python -m storyboard export` and `import`: projects as files, and files as projects."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pipelines.errors import UserError
from pipelines.pictures import Reference
from storyboard.errors import ProjectError, UsageError
from storyboard.formats import FORMS, export_board, form_of, import_file
from storyboard.settings import Settings
from storyboard.storage.project import Project
from storyboard.storage.projects import Store

_SHOWN = 10  # projects in a message

_EXPORT = """\
Save a project as a file: as a ZIP with all pictures, takes and reference pictures, which opens
again as it was; as storyboard.json, or as a story file, with the words and settings alone. Pictures
in a ZIP carry their own frame's prompt alone; its README.txt says what else is inside.
"""
_IMPORT = """\
Make a project of a file: a ZIP or a storyboard.json that Throughline saved, or a story file (.yaml,
.yml, or .txt with a line `background#character#action` for each frame; blank lines begin another
storyboard, and so another project).
"""


def add_boards(add_parser: Callable[..., argparse.ArgumentParser]) -> None:
    """Add both commands to the command line's parser."""
    export = add_parser(
        "export",
        help="save a project as a ZIP, a storyboard.json or a story file",
        description=_EXPORT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    export.set_defaults(run=export_project)
    add = export.add_argument
    add(
        "project",
        metavar="PROJECT",
        help="its id (`board=` in the page's address), its title, or its folder",
    )
    add("--as", dest="form", choices=FORMS, help="the form; by the ending of FILE if left out")
    add("-o", "--out", metavar="FILE", type=Path, required=True, help="the file to write")
    add("--overwrite", action="store_true", help="replace FILE if it exists")
    bring = add_parser(
        "import",
        help="make a project of a ZIP, a storyboard.json or a story file",
        description=_IMPORT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    bring.set_defaults(run=import_project)
    bring.add_argument("file", metavar="FILE", type=Path, help="the file")


def export_project(options: argparse.Namespace) -> None:
    """Run `export`.

    Raises:
        UserError: if there is no such project, or it cannot be saved.
    """
    out: Path = options.out
    form = options.form or form_of(out)
    if form is None:
        raise UsageError(
            f"{out.name} has no ending that names a form.",
            f"Add --as {', --as '.join(FORMS[:-1])} or --as {FORMS[-1]}.",
        )
    if os.path.exists(out) and not options.overwrite:  # Path.exists fails at names too long
        raise UsageError(f"{out} exists already.", "Choose another name, or add --overwrite.")
    store = Store(Settings.from_environment(os.environ).projects)
    print(export_board(_find(store, options.project), form, out))


def import_project(options: argparse.Namespace) -> None:
    """Run `import`; print the id and the title of every new project.

    Raises:
        UserError: if the file cannot be opened.
    """
    store = Store(Settings.from_environment(os.environ).projects)

    def prepare(picture: Path) -> Reference:
        from storyboard.engine import prepare_reference

        return prepare_reference(picture)

    with store.presence:  # what it writes is no leftover
        imported = import_file(options.file, store, prepare=prepare)
    for note in imported.notes:
        print(note, file=sys.stderr)
    for project in imported.projects:
        print(f"{project.id}  {project.load().title}")


def _find(store: Store, name: str) -> Project:
    """Return a project by its id, its folder or its title."""
    if os.path.isfile(os.path.join(name, "storyboard.json")):  # as above
        folder = Path(name).resolve()
        return Store(folder.parent).open(folder.name)
    with suppress(ProjectError):  # a damaged project has no title, and an id all the same
        return store.open(name)
    infos = store.projects()
    found = [info for info in infos if info.title == name]
    if len(found) == 1:
        return store.open(found[0].id)
    if found:
        ids = ", ".join(info.id for info in found)
        raise UsageError(
            f"{len(found)} projects are called {name!r}.", f"Name one by its id: {ids}."
        )
    known = "; ".join(f"{info.id} ({info.title})" for info in infos[:_SHOWN])
    more = f"; and {len(infos) - _SHOWN} more" if len(infos) > _SHOWN else ""
    raise UserError(
        f"There is no project {name!r} in {store.root}.",
        f"The projects there: {known}{more}." if known else "There are none; is it the folder?",
    )

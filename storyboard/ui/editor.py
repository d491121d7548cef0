"""The storyboard editor: a custom Gradio component, shown by the scripts in `assets/ui`.

The browser owns `value`, the document that is edited. The server owns all other properties:
`setup`, `results` (takes), `progress`, `previews` (of frames that render), `edited`, `saved`,
`reference` (the character's picture), `notice`, `consent`, `projects` and `file` (a download);
updating them leaves text that a person is typing alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from pipelines.errors import UserError
from storyboard.settings import ROOT

ASSETS = ROOT / "assets" / "ui"

# Events that the scripts trigger, with the fields that they send; each runs the method of `Actions`
# with its name.
EVENTS: dict[str, tuple[str, ...]] = {
    "save": (),
    "generate": ("frames",),
    "follow": (),
    "cancel": (),
    "choose_take": ("frame", "take"),
    "archive": (),
    "projects": (),
    "open": ("project",),
    "new": (),
    "example": (),
    "upload_picture": ("path",),
    "edit_mask": ("draft", "strokes", "revision"),
    "find_figure": ("draft",),
    "use_picture": ("draft", "strokes"),
    "discard_picture": ("draft",),
    "reopen_picture": (),
    "set_reference": ("name",),
    "save_character": (),
    "load_character": ("path",),
    "give_consent": ("key", "frames", "draft"),
}

# Run in this order as one script: later files use names of earlier ones.
_SCRIPT_FILES = (
    "dom.js",
    "story.js",
    "character.js",
    "styles.js",
    "panel.js",
    "card.js",
    "viewer.js",
    "brush.js",
    "reference.js",
    "editor.js",
    "actions.js",
)
_SCRIPT = "\n".join((ASSETS / name).read_text(encoding="utf-8") for name in _SCRIPT_FILES)


class StoryboardEditor(gr.HTML):
    """The whole page below Gradio's frame.

    Args:
        value: the document; see `storyboard.api.document`.
        **properties: the server's properties; see the module.
    """

    def __init__(self, value: dict[str, Any] | None = None, **properties: Any) -> None:
        # Gradio makes a new object for every update, with the properties of the last one.
        fixed = {
            "elem_id": "throughline",
            "html_template": '<div class="tl" data-status="starting"></div>',
            "js_on_load": _SCRIPT,
            "apply_default_css": False,
        }
        super().__init__(value, **(properties | fixed))

    def __getattr__(self, name: str) -> Any:
        # Gradio takes every quoted word of the script for an event, properties of ours included.
        if name not in EVENTS:
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")
        return super().__getattr__(name)

    def publish(self, path: Path) -> dict[str, Any]:
        """Copy a file to where browsers can fetch it.

        Args:
            path: a file of ours; never one that a browser named.

        Returns:
            The copy's "path", in the form that Gradio turns into an address.
        """
        copy = self.move_resource_to_block_cache(path)
        return {"path": str(copy), "meta": {"_type": "gradio.FileData"}}

    def uploaded(self, sent: Any) -> Path:
        """Return the path of a file that a browser has uploaded.

        Args:
            sent: the path that the browser sent, unchecked.

        Raises:
            UserError: if it is not a file in the folder for uploads.
        """
        folder = Path(self.GRADIO_CACHE).resolve()
        path = Path(sent if isinstance(sent, str) else "").resolve()
        if not (path.is_relative_to(folder) and path.is_file()):
            raise UserError("The upload did not arrive.", "Choose the file again.")
        return path

    def api_info(self) -> dict[str, Any]:
        """Return the document's type, for Gradio's description of the API."""
        return {"type": "object"}

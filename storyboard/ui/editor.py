"""The storyboard editor: one custom Gradio component, drawn by the scripts in `assets/ui`.

The browser owns `value`, the document that is edited. The server owns everything else: `setup`,
`results` (takes), `progress`, `previews` (of frames that are being painted), `edited`, `saved`,
`reference` (the character's picture), `notice`, `consent`, `projects` and `file` (to be
downloaded); an update of those leaves the words that somebody is typing alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from pipelines.errors import UserError
from storyboard.settings import ROOT

ASSETS = ROOT / "assets" / "ui"

# What the scripts ask the server for; each is an event of the component.
EVENTS = (
    "save",
    "generate",
    "follow",
    "cancel",
    "choose",
    "archive",
    "projects",
    "open",
    "new",
    "example",
    "picture",
    "mend",
    "search",
    "use",
    "discard",
    "retouch",
    "refer",
    "save_character",
    "load_character",
    "consent",
)

# Run in this order as one script: each may use what those before it define.
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
        **properties: what the server tells; see the module.
    """

    def __init__(self, value: dict[str, Any] | None = None, **properties: Any) -> None:
        # Gradio makes a new object for every update, with the properties of those before.
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

    def publish(self, path: Path) -> str:
        """Put a copy of a file where browsers can fetch it.

        Args:
            path: a file of ours; never one that a browser named.

        Returns:
            The copy's path.
        """
        return str(self.move_resource_to_block_cache(path))

    def uploaded(self, sent: Any) -> Path:
        """The file that a browser has uploaded.

        Args:
            sent: its path as the browser was told it; anything may have been sent instead.

        Raises:
            UserError: if it is no file in the folder for uploads.
        """
        folder = Path(self.GRADIO_CACHE).resolve()
        path = Path(sent if isinstance(sent, str) else "").resolve()
        if not (path.is_relative_to(folder) and path.is_file()):
            raise UserError("The file did not arrive.", "Choose it once more.")
        return path

    def api_info(self) -> dict[str, Any]:
        """The document's type, for Gradio's description of the API."""
        return {"type": "object"}

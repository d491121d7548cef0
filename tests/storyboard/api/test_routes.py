"""Addresses of pictures, scripts and downloads, asked as a browser or a stranger does."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from storyboard.api.routes import PREFIX, make_routes, scripts_version
from storyboard.settings import ROOT
from storyboard.storage.character_file import load_character
from tests.pipelines.pictures import drawing
from tests.storyboard.api.backend import Backend, rendered, saved, stored_story, story

SCRIPTS = ROOT / "assets" / "ui"


@pytest.fixture
def client(backend: Backend) -> Iterator[TestClient]:
    with TestClient(Starlette(routes=make_routes(backend.store, SCRIPTS))) as client:
        yield client


@pytest.fixture
def made_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def at(address: dict[str, str]) -> str:
    return f"{PREFIX}/{address['at']}"


def picture(backend: Backend, document: dict[str, Any], path: Path) -> dict[str, Any]:
    """Upload a picture; return the page's reference."""
    drawing().save(path)
    reference: dict[str, Any] = backend.character.upload_picture(document["project"], path)[
        "reference"
    ]
    return reference


# ---- pictures


def test_pictures_of_takes_are_sent_from_their_project(
    backend: Backend, client: TestClient
) -> None:
    document = story(backend)
    answer = rendered(backend, document)
    for frame in document["frames"]:
        (take,) = answer["results"][frame["id"]]["takes"]
        for name in ("image", "mask"):
            sent = client.get(at(take[name]))
            assert sent.status_code == 200
            assert sent.headers["content-type"] == "image/png"
            assert sent.headers["x-content-type-options"] == "nosniff"
            assert "immutable" in sent.headers["cache-control"]
            assert "private" in sent.headers["cache-control"]
            assert Image.open(io.BytesIO(sent.content)).size == (64, 64)
        path = backend.store.open(document["project"]).image_path(take["id"])
        with Image.open(io.BytesIO(client.get(at(take["image"])).content)) as sent_picture:
            assert sent_picture.tobytes() == Image.open(path).tobytes()


def test_the_reference_and_its_draft_are_sent(
    backend: Backend, client: TestClient, tmp_path: Path
) -> None:
    document = stored_story(backend)
    draft = picture(backend, document, tmp_path / "drawn.png")["draft"]
    for name in ("view", "prepared"):
        sent = client.get(at(draft[name]))
        assert (sent.status_code, sent.headers["content-type"]) == (200, "image/png")
    used = backend.character.use_picture(document["project"], draft["id"], "")["reference"]["used"]
    sent = client.get(at(used["picture"]))
    assert sent.status_code == 200 and Image.open(io.BytesIO(sent.content)).mode == "RGB"
    # The draft is gone with its use.
    assert client.get(at(draft["view"])).status_code == 404


def test_a_picture_of_another_content_has_another_address(
    backend: Backend, client: TestClient, tmp_path: Path
) -> None:
    """A browser keeps what it has seen at an address for ever."""
    document = stored_story(backend)
    project, path = document["project"], tmp_path / "drawn.png"
    names = [picture(backend, document, path)["draft"][name]["at"] for name in ("view", "prepared")]
    drawing((20, 90, 200)).save(path)
    other = backend.character.upload_picture(project, path)["reference"]["draft"]
    assert {other["view"]["at"], other["prepared"]["at"]}.isdisjoint(names)


@pytest.mark.parametrize(
    "path",
    [
        "boards/{project}/storyboard.py",
        "boards/{project}/takes/{take}/take.json",
        "boards/{project}/takes/{take}/other.png",
        "boards/{project}/takes/{take}",
        "boards/{project}/takes/{take}/",
        "boards/{project}/takes/gone/image.png",
        "boards/{project}/takes/storyboard.json",
        "boards/{project}/takes/%2e%2e/image.png",
        "boards/{project}/takes/..%2f{take}/image.png",
        "boards/{project}/takes/{take}/image.png%00",
        "boards/{project}/takes/%00/image.png",
        "boards/{project}/draft/draft.json",
        "boards/{project}/draft/.hidden.png",
        "boards/{project}/draft/..",
        "boards/{project}/draft/%2e%2e",
        "boards/{project}/draft/..%2f..%2fsecret.png",
        "boards/{project}/draft/../../secret.png",
        "boards/{project}/draft/secret.png%00.png",
        "boards/{project}/draft/" + "x" * 300 + ".png",
        "boards/{project}/draft/%ff.png",
        "boards/{project}/draft/folder.png",
        "boards/{project}/other/secret.png",
        "boards/{project}/../secret.png",
        "boards/{project}/%2e%2e/secret.png",
        "boards/{project}/takes/secret.png",
        "boards/gone/takes/{take}/image.png",
        "boards/gone/draft/x.png",
        "boards/gone/storyboard.zip",
        "boards/gone/board.character",
        "boards/../projects/storyboard.zip",
        "boards/%2e%2e/storyboard.zip",
        "boards/{project}%0a/storyboard.zip",
        "boards/" + "x" * 300 + "/storyboard.zip",
        "boards",
        "nothing",
        "ui/../page.py",
        "ui/{version}/../package.json",
        "ui/{version}/%2e%2e/%2e%2e/app.py",
        "ui/{version}/..%2f..%2fREADME.md",
        "ui/{version}/",
        "ui/{version}/state",
        "ui/older/main.js",
    ],
)
def test_other_addresses_are_not_found_and_say_nothing_of_this_machine(
    backend: Backend, client: TestClient, path: str
) -> None:
    document = story(backend)
    take = rendered(backend, document)["results"][document["frames"][0]["id"]]["chosen"]
    project = backend.store.open(document["project"])
    for secret in (
        *(project.path / "secret.png", project.path.parent / "secret.png"),
        *(project.path / "draft" / ".hidden.png", project.path / "draft" / "folder.png" / "x.png"),
        *(project.path / "other" / "secret.png", project.path / "takes" / "secret.png"),
    ):
        secret.parent.mkdir(parents=True, exist_ok=True)
        secret.write_bytes(b"secret")
    version = scripts_version(SCRIPTS)
    address = path.format(project=project.id, take=take, version=version)
    answer = client.get(f"{PREFIX}/{address}")
    assert answer.status_code == 404
    assert b"secret" not in answer.content
    for words in (str(project.path.parent), "Traceback", "Error", "storyboard/"):
        assert words not in answer.text


def test_nothing_is_changed_by_an_address(backend: Backend, client: TestClient) -> None:
    document = story(backend)
    answer = rendered(backend, document)
    address = at(answer["results"][document["frames"][0]["id"]]["takes"][0]["image"])
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.request(method, address).status_code == 405
    assert client.get(address).status_code == 200


# ---- scripts


def test_scripts_are_sent_with_their_type_and_kept(client: TestClient) -> None:
    names = [path.relative_to(SCRIPTS).as_posix() for path in SCRIPTS.rglob("*.js")]
    assert "main.js" in names and "state/board.js" in names
    for name in names:
        sent = client.get(f"{PREFIX}/ui/{scripts_version(SCRIPTS)}/{name}")
        assert sent.status_code == 200
        assert sent.headers["content-type"].startswith("text/javascript")
        assert "immutable" in sent.headers["cache-control"]
        assert sent.content == (SCRIPTS / name).read_bytes()


def test_scripts_that_changed_have_another_address(tmp_path: Path) -> None:
    scripts = tmp_path / "ui"
    (scripts / "state").mkdir(parents=True)
    (scripts / "main.js").write_text("1")
    (scripts / "state" / "board.js").write_text("2")
    versions = [scripts_version(scripts)]
    (scripts / "state" / "board.js").write_text("3")
    versions.append(scripts_version(scripts))
    (scripts / "state" / "board.js").rename(scripts / "state" / "other.js")
    versions.append(scripts_version(scripts))
    assert len(set(versions)) == 3
    (scripts / "notes.txt").write_text("no script")
    assert scripts_version(scripts) == versions[-1]


def test_a_page_can_ask_whether_the_server_is_there(client: TestClient) -> None:
    for method in ("HEAD", "GET"):
        assert client.request(method, f"{PREFIX}/alive").status_code == 200


# ---- downloads


def test_the_archive_holds_frames_and_masks_in_order(
    backend: Backend, client: TestClient, made_in: Path
) -> None:
    document = story(backend)
    rendered(backend, document)
    answer = backend.actions.shelf.archive(document["project"])
    sent = client.get(at(answer["file"]))
    assert (sent.status_code, sent.headers["content-type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(sent.content)) as archive:
        names = archive.namelist()
        assert archive.testzip() is None
    assert [name for name in names if name.endswith(".png")] == [
        "01-waving-beach.png",
        "masks/01-waving-beach.png",
        "02-waving-beach.png",
        "masks/02-waving-beach.png",
    ]
    assert list(made_in.iterdir()) == []  # made for this answer, and deleted after it


def test_the_archive_is_the_one_of_now(backend: Backend, client: TestClient) -> None:
    document = story(backend)
    rendered(backend, document)
    address = at(backend.actions.shelf.archive(document["project"])["file"])
    document["frames"] = document["frames"][:1]
    saved(backend, document)
    sent = client.get(address)
    assert "immutable" not in sent.headers.get("cache-control", "")
    with zipfile.ZipFile(io.BytesIO(sent.content)) as archive:
        assert "02-waving-beach.png" not in archive.namelist()


def test_the_character_is_a_file_that_loads(
    backend: Backend, client: TestClient, made_in: Path, tmp_path: Path
) -> None:
    document = stored_story(backend)
    draft = picture(backend, document, tmp_path / "drawn.png")["draft"]
    backend.character.use_picture(document["project"], draft["id"], "")
    sent = client.get(at(backend.character.save_character(document["project"])["file"]))
    assert sent.status_code == 200
    assert list(made_in.iterdir()) == []
    kept = tmp_path / "kept.character"
    kept.write_bytes(sent.content)
    other = backend.store.open(stored_story(backend)["project"])
    character = load_character(kept).adopt(other.references)
    assert character.description == "a girl" and character.reference


def test_a_download_that_cannot_be_made_leaves_nothing(
    backend: Backend, client: TestClient, made_in: Path, caplog: pytest.LogCaptureFixture
) -> None:
    document = story(backend)
    rendered(backend, document)
    project = backend.store.open(document["project"])
    (project.path / "storyboard.json").write_text("{")
    answer = client.get(f"{PREFIX}/boards/{project.id}/storyboard.zip")
    # The project is there, so this is no 404.
    assert (answer.status_code, answer.text) == (
        500,
        "storyboard.zip cannot be made; the log says why.",
    )
    assert "is damaged" in caplog.text
    assert list(made_in.iterdir()) == []

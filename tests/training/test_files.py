"""Files and folders of a training, which are complete or not there."""

import pytest

from training.files import load_json, save_json, write_folder, write_whole


def broken(path):
    path.mkdir()
    (path / "half").write_text("half")
    raise KeyboardInterrupt


def test_an_interrupted_folder_is_not_there_and_is_written_again(tmp_path):
    folder = tmp_path / "weights"
    with pytest.raises(KeyboardInterrupt):
        write_folder(folder, broken)
    assert not folder.exists()
    write_folder(folder, lambda path: (path / "part").mkdir(parents=True))
    assert [path.name for path in tmp_path.rglob("*")] == ["weights", "part"]


def test_a_folder_replaces_an_old_one_only_when_it_is_complete(tmp_path):
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(KeyboardInterrupt):
        write_folder(folder, broken)
    assert (folder / "old").exists()
    write_folder(folder, lambda path: path.mkdir())
    assert not list(folder.iterdir())


def test_an_interrupted_file_leaves_the_old_one(tmp_path):
    save_json(tmp_path / "numbers.json", {"loss": 1})

    def half(path):
        path.write_text("{")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "numbers.json", half)
    assert load_json(tmp_path / "numbers.json") == {"loss": 1}

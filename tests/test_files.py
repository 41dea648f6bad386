import os

import pytest

from s2s_cli.files import replace_folder


def folder(path, content):
    path.mkdir()
    (path / "file").write_text(content)
    return path


def test_a_folder_is_replaced_whole_and_nothing_stays_beside_it(tmp_path):
    for content in ("first", "second"):
        replace_folder(folder(tmp_path / ".beside", content), tmp_path / "here")
        assert (tmp_path / "here" / "file").read_text() == content
        assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_what_was_there_is_there_again_where_it_cannot_be_replaced(tmp_path, monkeypatch):
    here, beside = folder(tmp_path / "here", "old"), folder(tmp_path / ".beside", "new")
    rename = os.replace

    def fails_for_the_new(source, target):
        if source == beside:
            raise OSError("no")
        rename(source, target)

    monkeypatch.setattr(os, "replace", fails_for_the_new)
    with pytest.raises(OSError, match="no"):
        replace_folder(beside, here)
    assert (here / "file").read_text() == "old"


def test_what_an_earlier_replacement_left_behind_is_kept_until_there_is_a_new_one(
    tmp_path, monkeypatch
):
    """A machine that stopped between the two renames leaves the old one beside its place."""
    left = folder(tmp_path / ".here.replaced", "old")
    beside = folder(tmp_path / ".beside", "new")
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("no")))
        with pytest.raises(OSError, match="no"):
            replace_folder(beside, tmp_path / "here")
    assert (left / "file").read_text() == "old"
    replace_folder(beside, tmp_path / "here")
    assert [path.name for path in tmp_path.iterdir()] == ["here"]

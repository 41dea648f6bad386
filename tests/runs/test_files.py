"""Files and folders are replaced as a whole, or not at all."""

import os

import pytest

from s2s_cli.files import output, recover_folder, replace_folder, write_text


def folder(path, content):
    path.mkdir()
    (path / "file").write_text(content)
    return path


def test_a_folder_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path):
    for content in ("first", "second"):
        replace_folder(folder(tmp_path / ".beside", content), tmp_path / "here")
        assert (tmp_path / "here" / "file").read_text() == content
        assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_a_folder_that_cannot_be_replaced_is_restored(tmp_path, monkeypatch):
    here, beside = folder(tmp_path / "here", "old"), folder(tmp_path / ".beside", "new")
    rename = os.replace

    def fail_for_the_new_one(source, target):
        if source == beside:
            raise OSError("no")
        rename(source, target)

    monkeypatch.setattr(os, "replace", fail_for_the_new_one)
    with pytest.raises(OSError, match="no"):
        replace_folder(beside, here)
    assert (here / "file").read_text() == "old"


def test_what_an_interrupted_replacement_left_is_there_until_the_next_one_succeeds(
    tmp_path, monkeypatch
):
    """A machine that stopped between the two renames leaves the old folder under another name."""
    left = folder(tmp_path / ".here.replaced", "old")
    beside = folder(tmp_path / ".beside", "new")
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("no")))
        with pytest.raises(OSError, match="no"):
            replace_folder(beside, tmp_path / "here")
    assert (left / "file").read_text() == "old"
    replace_folder(beside, tmp_path / "here")
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_an_interrupted_replacement_is_undone(tmp_path):
    folder(tmp_path / ".here.replaced", "old")
    recover_folder(tmp_path / "here")
    assert (tmp_path / "here" / "file").read_text() == "old"
    recover_folder(tmp_path / "here")
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_a_file_that_cannot_be_written_leaves_the_old_one_alone(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_text(path, "old\n")

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "new\n")
    assert path.read_text() == "old\n" and [p.name for p in tmp_path.iterdir()] == ["file"]


# Output files.


def test_an_output_file_may_be_the_input(tmp_path):
    path = tmp_path / "file"
    path.write_text("a\nb\n")
    with open(path) as lines, output(str(path)) as file:
        file.writelines(line.upper() for line in lines)
    assert path.read_text() == "A\nB\n"


def test_an_output_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), output(str(path)) as file:
        file.write(str(1 / 0))
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["file"]


def test_an_output_that_is_a_symbolic_link_is_written_through(tmp_path):
    (tmp_path / "folder").mkdir()
    real, link = tmp_path / "folder" / "real", tmp_path / "link"
    link.symlink_to(real)
    for text in ("first", "second"):
        with output(str(link)) as file:
            file.write(text)
        assert link.is_symlink() and real.read_text() == text
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["real"]

import os

from entrypoints import import_runs


def test_a_folder_that_can_only_be_read_is_one_line_with_the_way_out(call, tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / "my runs" / name).mkdir(parents=True)
        (tmp_path / "my runs" / name / "journal.jsonl").write_text("")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write wherever a disk lets it
    path = str(tmp_path / "my runs")
    code, lines = call(import_runs, "--path", path)
    assert code == 1
    (line,) = lines
    assert line.startswith("import_runs: path must be where this process can write")
    assert line.endswith(f"got {path}; `cp -r '{path}' copy` makes such a folder")

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile

from chordtool.cli import run
from chordtool.errors import ModelUnavailableError, UsageError
from chordtool.evaluation import Bootstrap, evaluate
from chordtool.evaluation.folders import Request, evaluate_folders
from chordtool.evaluation.report import to_csv, to_document, write_plot
from chordtool.evaluation.scores import QUALITY_GROUPS, STATISTICS
from chordtool.formats import read_segments
from chordtool.transcriber import Transcriber
from tests.clips import music
from tests.evaluation.made import song, write
from tests.tiny_student import tiny_student

QUICK = Bootstrap(50)


def test_folders_score_what_their_segments_score(labels: Path, estimates: Path) -> None:
    names = ("one", "two", "sub/three")
    expected = evaluate(
        {n: read_segments(labels / f"{n}.lab") for n in names},
        {n: read_segments(estimates / f"{n}.lab") for n in names},
        bootstrap=QUICK,
    )
    found = evaluate_folders(Request(labels, estimates=(estimates,), bootstrap=QUICK))
    assert found.comparison.systems["found"].intervals == expected.intervals
    assert found.failures == ()


def test_two_systems_fit_a_terminal_of_80_columns(
    labels: Path,
    estimates: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = shutil.copytree(estimates, estimates.with_name("other"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    both = ["--estimates", str(estimates), "--estimates", str(other)]
    assert run(["evaluate", "--labels", str(labels), *both, "--resamples", "50"]) == 0
    lines = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= 80
    # No row goes on in a second line, which has nothing in the first column.
    rows = [line.split()[0] for line in lines if line.startswith(" ") and line.strip()]
    assert rows[:2] == ["score,", "─" * len(rows[1])]
    assert rows[2 : 2 + len(STATISTICS)] == list(STATISTICS)
    qualities = rows[rows.index("maj") :]
    assert set(qualities) <= set(QUALITY_GROUPS)
    assert len(set(qualities)) == len(qualities)


def test_what_has_no_partner_is_told(labels: Path, estimates: Path) -> None:
    (estimates / "two.lab").unlink()
    write(estimates, "stranger", song(5))
    found = evaluate_folders(Request(labels, estimates=(estimates,), bootstrap=QUICK))
    assert found.without_partner == {"found": (labels / "two.lab",)}
    assert found.unused == {"found": (estimates / "stranger.lab",)}
    assert len(found.comparison.systems["found"].songs) == 2


def test_a_broken_file_fails_alone(labels: Path, estimates: Path) -> None:
    (labels / "one.lab").write_text("0 1 C\n0.5 2 G\n")
    (estimates / "two.lab").write_text("what is this\n")
    found = evaluate_folders(Request(labels, estimates=(estimates,), bootstrap=QUICK))
    assert [f.path for f in found.failures] == [labels / "one.lab", estimates / "two.lab"]
    assert [s.name for s in found.comparison.systems["found"].songs] == ["sub/three"]
    assert (found.unused, found.without_partner) == ({}, {})


def test_what_belongs_to_a_broken_file_is_not_taken_for_another_songs(
    labels: Path, estimates: Path
) -> None:
    write(labels, "sub/two", song(1))
    (labels / "two.lab").write_text("0 1 C\n0.5 2 G\n")
    found = evaluate_folders(Request(labels, estimates=(estimates,), bootstrap=QUICK))
    assert {s.name for s in found.comparison.systems["found"].songs} == {"one", "sub/three"}
    assert found.without_partner == {"found": (labels / "sub/two.lab",)}


def test_what_is_not_annotated_before_the_first_line_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "found").mkdir()
    (tmp_path / "labels/a.lab").write_text("2.0 4.0 C\n")
    (tmp_path / "found/a.lab").write_text("0.0 2.0 G\n2.0 4.0 C\n")
    request = Request(tmp_path / "labels", estimates=(tmp_path / "found",))
    assert evaluate_folders(request).comparison.systems["found"]["root"].value == 1.0


def test_the_best_of_several_label_files_of_a_song_is_taken(labels: Path, estimates: Path) -> None:
    (labels / "one.json").write_text("{}")
    (labels / "one.jams").write_text("{}")
    found = evaluate_folders(Request(labels, estimates=(estimates,), bootstrap=QUICK))
    assert found.failures == ()
    assert len(found.comparison.systems["found"].songs) == 3


def test_nothing_to_do_is_a_usage_error(tmp_path: Path, labels: Path, estimates: Path) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "strangers", "nobody", song(1))
    for request in (
        Request(labels),
        Request(tmp_path / "missing", estimates=(estimates,)),
        Request(tmp_path / "empty", estimates=(estimates,)),
        Request(labels, estimates=(tmp_path / "empty",)),
        Request(labels, estimates=(tmp_path / "strangers",)),
        Request(labels, models=("default",)),
    ):
        with pytest.raises(UsageError) as raised:
            evaluate_folders(request)
        assert raised.value.hint


@pytest.fixture
def recordings(tmp_path: Path, labels: Path) -> Path:
    folder = tmp_path / "audio"
    folder.mkdir()
    for seed, name in enumerate(("one", "two", "three")):
        soundfile.write(folder / f"{name}.flac", music(8.0, 22_050, 1, seed), 22_050)
    return folder


@pytest.fixture
def students(tmp_path: Path) -> tuple[str, str]:
    for seed in (0, 1):
        (tmp_path / f"student{seed}.onnx").write_bytes(tiny_student(seed=seed))
    return str(tmp_path / "student0.onnx"), str(tmp_path / "student1.onnx")


def test_models_are_scored_on_what_they_hear(
    labels: Path, recordings: Path, students: tuple[str, str]
) -> None:
    request = Request(labels, models=students, audio=recordings, bootstrap=QUICK)
    told: list[tuple[str, int, int]] = []
    found = evaluate_folders(request, lambda *done: told.append(done))
    assert list(found.comparison.systems) == ["student0", "student1"]
    assert told == [(name, n, 3) for name in ("student0", "student1") for n in range(4)]
    heard = {
        name: Transcriber(students[0]).transcribe(recordings / f"{Path(name).name}.flac").segments
        for name in ("one", "two", "sub/three")
    }
    references = {name: read_segments(labels / f"{name}.lab") for name in heard}
    expected = evaluate(references, heard, bootstrap=QUICK)
    assert found.comparison.systems["student0"].intervals == expected.intervals


def test_worker_processes_hear_the_same(
    labels: Path, recordings: Path, students: tuple[str, str]
) -> None:
    alone, together = (
        evaluate_folders(
            Request(labels, models=students[:1], audio=recordings, n_jobs=n, bootstrap=QUICK)
        ).comparison.systems["student0"]
        for n in (1, 2)
    )
    assert alone.intervals == together.intervals


def test_a_recording_that_cannot_be_decoded_fails_alone(
    labels: Path, recordings: Path, students: tuple[str, str]
) -> None:
    (recordings / "two.flac").write_text("no music")
    found = evaluate_folders(Request(labels, models=students, audio=recordings, bootstrap=QUICK))
    assert [f.path.name for f in found.failures] == ["two.flac", "two.flac"]
    assert [s.name for s in found.comparison.systems["student1"].songs] == ["one", "sub/three"]


# -- reports --------------------------------------------------------------------------------


def test_the_document_is_json_and_holds_the_scores(labels: Path, estimates: Path) -> None:
    found = evaluate_folders(Request(labels, estimates=(estimates, labels), bootstrap=QUICK))
    document = json.loads(json.dumps(to_document(found), allow_nan=False))
    first, second = document["systems"]
    scores = found.comparison.systems["found"]
    assert first["scores"]["majmin"]["value"] == scores["majmin"].value
    assert first["qualities"]["sus"]["low"] == scores.qualities["sus"].low
    assert first["confusion"]["seconds"] == scores.confusion.tolist()
    assert [row["song"] for row in first["per_song"]] == ["one", "sub/three", "two"]
    assert second["scores"]["mean"]["value"] == 1.0
    gain = document["differences"]["labels"]["root"]["value"]
    assert gain == pytest.approx(1 - scores["root"].value)


def test_an_unknown_value_is_null(tmp_path: Path) -> None:
    for name in ("labels", "found"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.lab").write_text("0 1 C:dim\n")
    found = evaluate_folders(Request(tmp_path / "labels", estimates=(tmp_path / "found",)))
    document = json.loads(json.dumps(to_document(found), allow_nan=False))
    assert document["systems"][0]["scores"]["majmin"]["value"] is None
    (row,) = csv.DictReader(io.StringIO(to_csv(found)))
    assert (row["root"], row["majmin"]) == ("1.0", "")


def test_the_csv_has_a_row_for_each_song_and_system(labels: Path, estimates: Path) -> None:
    found = evaluate_folders(Request(labels, estimates=(estimates, labels), bootstrap=QUICK))
    rows = list(csv.DictReader(io.StringIO(to_csv(found))))
    assert len(rows) == 6
    for row, score in zip(rows, found.comparison.systems["found"].songs, strict=False):
        assert row["song"] == score.name
        assert float(row["tetrads"]) == score.metrics[4]
        assert float(row["seg"]) == score.segmentation[2]


@pytest.mark.parametrize("suffix", [".svg", ".html"])
def test_the_plot_shows_every_system_and_score(
    labels: Path, estimates: Path, tmp_path: Path, suffix: str
) -> None:
    strange = estimates.with_name("a <b> & 'c'")
    estimates.rename(strange)
    found = evaluate_folders(Request(labels, estimates=(strange, labels), bootstrap=QUICK))
    path = tmp_path / f"plot{suffix}"
    write_plot(found, path)
    text = path.read_text()
    tree = ElementTree.fromstring(text[text.index("<svg") :])
    titles = [node.text or "" for node in tree.iter("{http://www.w3.org/2000/svg}title")]
    scores = found.comparison.systems["a <b> & 'c'"]
    assert any(
        t.startswith(f"a <b> & 'c', majmin: {100 * scores['majmin'].value:.2f} %") for t in titles
    )
    assert "labels, acqa: 100.00 % (100.00 to 100.00)" in titles
    assert "sus heard as sus: 100.0 %" in titles


def test_a_plot_that_cannot_be_written_is_an_error(
    labels: Path, estimates: Path, tmp_path: Path
) -> None:
    found = evaluate_folders(Request(labels, estimates=(estimates,), bootstrap=QUICK))
    with pytest.raises(UsageError, match="no name for a plot"):
        write_plot(found, tmp_path / "plot.png")
    from chordtool.errors import FormatError

    with pytest.raises(FormatError):
        write_plot(found, tmp_path / "missing/plot.svg")
    (tmp_path / "device.svg").symlink_to("/dev/null")
    with pytest.raises(FormatError, match="no file"):
        write_plot(found, tmp_path / "device.svg")
    assert (tmp_path / "device.svg").is_symlink()


# -- the command ----------------------------------------------------------------------------


def test_the_table_shows_scores_ranges_and_differences(
    labels: Path, estimates: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["evaluate", "--labels", str(labels), "--estimates", str(estimates)]
    status = run([*call, "--estimates", str(labels), "--resamples", "50"])
    shown = capsys.readouterr()
    assert status == 0
    assert shown.err == ""
    scores = evaluate_folders(Request(labels, estimates=(estimates,), bootstrap=QUICK))
    root = scores.comparison.systems["found"]["root"]
    assert f"{100 * root.value:.1f} [{100 * root.low:.1f}, {100 * root.high:.1f}]" in shown.out
    assert "labels - found" in shown.out
    assert f"{100 - 100 * root.value:+.2f}" in shown.out
    assert "hdim7" in shown.out
    assert "3 songs" in shown.out


def test_json_and_csv_go_to_standard_output_alone(
    labels: Path, estimates: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (estimates / "two.lab").write_text("broken")
    call = ["evaluate", "--labels", str(labels), "--estimates", str(estimates)]
    assert run([*call, "--json"]) == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out)["songs"] == 2
    assert "two.lab" in shown.err
    assert run([*call, "--csv"]) == 1
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0].startswith("system,song,seconds,root,")
    assert len(shown.out.splitlines()) == 3


def test_a_call_that_makes_no_sense_is_one_sentence_and_a_hint(
    labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["evaluate", "--labels", str(labels)]) == 2
    assert run(["evaluate", "--labels", str(tmp_path / "no"), "--model", "default"]) == 2
    assert run(["evaluate"]) == 2
    call = ["evaluate", "--labels", str(labels), "--estimates", str(labels)]
    assert run([*call, "--json", "--csv"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["error", "hint"] * 4


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_label_file_that_may_not_be_read_fails_alone(labels: Path, estimates: Path) -> None:
    (labels / "one.lab").chmod(0)
    found = evaluate_folders(Request(labels, estimates=(estimates,), bootstrap=QUICK))
    assert [f.path for f in found.failures] == [labels / "one.lab"]


def test_every_number_of_a_song_is_finite_or_unknown(labels: Path, estimates: Path) -> None:
    found = evaluate_folders(Request(labels, estimates=(estimates,), bootstrap=QUICK))
    for score in found.comparison.systems["found"].songs:
        assert np.all((score.metrics >= 0) & (score.metrics <= 1))
        assert score.confusion.sum() <= score.seconds + 1e-9


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_pipes_and_folders_among_labels_are_left_out(labels: Path, estimates: Path) -> None:
    os.mkfifo(labels / "pipe.lab")
    os.mkfifo(estimates / "one.jams")
    (labels / "folder.lab").mkdir()
    found = evaluate_folders(Request(labels, estimates=(estimates,), bootstrap=QUICK))
    assert found.failures == ()
    assert len(found.comparison.systems["found"].songs) == 3


def test_names_that_are_no_text_are_shown_and_written(
    labels: Path,
) -> None:
    if sys.platform != "linux":
        pytest.skip("file names are text elsewhere")
    (labels / "one.lab").rename(labels / os.fsdecode(b"caf\xe9.lab"))
    odd = labels.with_name(os.fsdecode(b"[bold]\x1b[31m\xe9[-x]"))
    labels.rename(odd)
    call = [sys.executable, "-m", "chordtool", "evaluate", "--labels", odd, "--estimates", odd]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    shown = subprocess.run(call, check=True, env=environment, capture_output=True).stdout
    assert b"[bold]" in shown
    assert b"\x1b" not in shown
    table = subprocess.run([*call, "--csv"], check=True, env=environment, capture_output=True)
    assert b",caf\xe9," in table.stdout


def test_scores_are_shown_though_the_plot_cannot_be_written(
    labels: Path, estimates: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["evaluate", "--labels", str(labels), "--estimates", str(estimates), "--plot"]
    assert run([*call, str(tmp_path / "missing" / "plot.svg")]) == 1
    shown = capsys.readouterr()
    assert "tetrads" in shown.out
    assert "cannot be written" in shown.err


def test_what_cannot_be_evaluated_is_said_before_models_listen(
    labels: Path, recordings: Path, students: tuple[str, str], tmp_path: Path
) -> None:
    def heard(name: str, done: int, total: int) -> None:
        raise AssertionError(f"{name} listens")

    request = Request(labels, models=students, audio=recordings, bootstrap=QUICK)
    with pytest.raises(UsageError, match="not a folder"):
        evaluate_folders(replace(request, estimates=(tmp_path / "none",)), heard)
    with pytest.raises(ModelUnavailableError):
        evaluate_folders(replace(request, models=(*students, "nobody")), heard)
    call = ["evaluate", "--labels", str(labels), "--audio", str(recordings), "--model", students[0]]
    assert run([*call, "--plot", str(tmp_path / "plot.png")]) == 2


@pytest.mark.parametrize("option", ["--labels", "--estimates", "--audio", "--split", "--plot"])
def test_a_folder_whose_name_is_empty_is_misuse(
    option: str, labels: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(labels)
    call = ["evaluate", "--labels", str(labels), "--estimates", str(labels)]
    assert run([*call, option, ""]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"'{option}': it names nothing" in shown.err

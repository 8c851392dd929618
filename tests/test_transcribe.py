"""The installed console script on real audio, as a musician runs it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from chordtool.formats.lab import read_lab
from chordtool.vocabulary import majmin_class_of
from tests.memory import measured

ROOT = Path(__file__).resolve().parents[1]
CLIP = ROOT / "examples/clip.mp3"
PROGRAM = Path(sys.executable).with_name("chordtool")
UNTIDY = "Traceback (most recent call last)"


def chordtool(
    *arguments: str | Path | bytes, stdin: bytes | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    found = subprocess.run(
        [PROGRAM, *arguments], input=stdin, capture_output=True, cwd=cwd, timeout=120, check=False
    )
    assert UNTIDY.encode() not in found.stderr, found.stderr.decode()
    return found


def tiles(data: bytes, seconds: float) -> None:
    segments = read_lab(data).segments
    assert segments[0].start == 0
    assert segments[-1].end == pytest.approx(seconds, abs=0.002)
    for before, after in pairwise(segments):
        assert before.end == after.start


def agreement(data: bytes, reference: Path) -> float:
    """Share of the time with the same root and third as the reference, by major and minor."""
    found, truth = read_lab(data).segments, read_lab(reference.read_bytes()).segments
    same = sum(
        max(0.0, min(a.end, b.end) - max(a.start, b.start))
        for a in found
        for b in truth
        if majmin_class_of(a.label) == majmin_class_of(b.label)
    )
    return same / truth[-1].end


def silence(path: Path, seconds: float = 2.0, **options: object) -> Path:
    soundfile.write(path, np.zeros(int(seconds * 22_050), np.float32), 22_050, **options)
    return path


def test_one_song_goes_to_standard_output() -> None:
    found = chordtool("transcribe", CLIP)
    assert found.returncode == 0
    assert found.stderr == b""
    tiles(found.stdout, soundfile.info(CLIP).duration)
    assert agreement(found.stdout, CLIP.with_suffix(".lab")) > 0.8


def test_standard_input_is_the_same_song() -> None:
    assert chordtool("transcribe", "-", stdin=CLIP.read_bytes()).stdout == (
        chordtool("transcribe", CLIP).stdout
    )


def test_the_song_path_imports_neither_torch_nor_librosa_nor_scipy() -> None:
    program = (
        "import sys\nfrom chordtool.cli import run\n"
        f"assert run(['transcribe', {str(CLIP)!r}]) == 0\n"
        "heavy = {'torch', 'librosa', 'scipy', 'onnx', 'numba', 'mir_eval', 'rich', 'av'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert found.returncode == 0, found.stderr.decode()


def test_the_small_vocabulary_holds_major_and_minor_only() -> None:
    found = chordtool("transcribe", CLIP, "--vocabulary", "majmin")
    labels = {s.label for s in read_lab(found.stdout).segments}
    assert labels
    assert all(label == "N" or set(label[1:]) <= set("#:min") for label in labels)


def test_many_recordings_go_to_a_folder_and_keep_their_places(tmp_path: Path) -> None:
    songs, out = tmp_path / "songs", tmp_path / "out"
    (songs / "album").mkdir(parents=True)
    shutil.copy(CLIP, songs / "one.mp3")
    silence(songs / "album/two.wav")
    found = chordtool("transcribe", songs, "-o", out)
    assert found.returncode == 0
    assert sorted(p.relative_to(out) for p in out.rglob("*.lab")) == [
        Path("album/two.lab"),
        Path("one.lab"),
    ]
    assert (out / "one.lab").read_bytes() == chordtool("transcribe", CLIP).stdout
    assert found.stdout == b""


def test_results_do_not_depend_on_the_number_of_jobs(tmp_path: Path) -> None:
    for k in range(3):
        shutil.copy(CLIP, tmp_path / f"{k}.mp3")
    silence(tmp_path / "silence.flac")
    one, two = tmp_path / "one", tmp_path / "two"
    assert chordtool("transcribe", tmp_path, "-o", one, "-j", "1").returncode == 0
    assert chordtool("transcribe", tmp_path, "-o", two, "-j", "2").returncode == 0
    names = sorted(p.name for p in one.iterdir())
    assert names == ["0.lab", "1.lab", "2.lab", "silence.lab"]
    for name in names:
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_a_bad_file_is_reported_and_the_others_come_out(tmp_path: Path) -> None:
    shutil.copy(CLIP, tmp_path / "good.mp3")
    (tmp_path / "empty.mp3").write_bytes(b"")
    (tmp_path / "text.mp3").write_text("these are not the sounds you are looking for\n" * 100)
    found = chordtool("transcribe", tmp_path, "-o", tmp_path / "out")
    assert found.returncode == 1
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["good.lab"]
    report = found.stderr.decode()
    assert "empty.mp3" in report
    assert "text.mp3" in report
    assert "1 done, 2 failed" in report


@pytest.mark.parametrize(
    ("name", "content"), [("empty.wav", b""), ("text.mp3", b"hello " * 1000), ("dot.flac", b"fLaC")]
)
def test_a_broken_file_is_one_sentence(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    found = chordtool("transcribe", tmp_path / name)
    assert found.returncode == 1
    assert found.stdout == b""
    assert found.stderr.startswith(b"error: ")
    assert name in found.stderr.decode()
    assert len(found.stderr.decode().splitlines()) <= 2


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    found = chordtool("transcribe", tmp_path / "nowhere.mp3")
    assert found.returncode in (1, 2)
    assert b"nowhere.mp3" in found.stderr


def test_a_folder_without_audio_is_one_sentence(tmp_path: Path) -> None:
    found = chordtool("transcribe", tmp_path, "-o", tmp_path / "out")
    assert found.returncode in (1, 2)
    assert found.stderr.startswith(b"error: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("samples", [1, 100, 2047, 2048, 50_000])
def test_the_shortest_recordings_have_chords_to_their_end(tmp_path: Path, samples: int) -> None:
    path = tmp_path / "short.wav"
    soundfile.write(path, np.full(samples, 0.1, np.float32), 44_100, subtype="FLOAT")
    found = chordtool("transcribe", path, "-f", "json")
    assert found.returncode == 0
    assert chordtool("transcribe", path).returncode == 0


def test_silence_has_no_chord(tmp_path: Path) -> None:
    found = chordtool("transcribe", silence(tmp_path / "silence.wav", 5.0))
    assert [s.label for s in read_lab(found.stdout).segments] == ["N"]


def test_samples_that_are_no_numbers_do_not_matter(tmp_path: Path) -> None:
    samples, rate = soundfile.read(CLIP, dtype="float32")
    samples[1000:1010] = np.nan
    samples[5000] = np.inf
    soundfile.write(tmp_path / "nan.wav", samples, rate, subtype="FLOAT")
    found = chordtool("transcribe", tmp_path / "nan.wav")
    assert found.returncode == 0
    tiles(found.stdout, len(samples) / rate)


def test_many_channels_at_a_high_rate(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).normal(size=(192_000, 8)).astype(np.float32) * 0.1
    soundfile.write(tmp_path / "wide.wav", samples, 192_000)
    found = chordtool("transcribe", tmp_path / "wide.wav")
    assert found.returncode == 0
    tiles(found.stdout, 1.0)


def test_a_truncated_file_gives_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "cut.mp3").write_bytes(CLIP.read_bytes()[:160_000])
    found = chordtool("transcribe", tmp_path / "cut.mp3")
    assert found.returncode == 0
    assert 5 < read_lab(found.stdout).seconds < 19


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9.wav"
    shutil.copy(silence(tmp_path / "plain.wav"), name)
    (tmp_path / "plain.wav").unlink()
    assert chordtool("transcribe", name).returncode == 0
    assert chordtool("transcribe", tmp_path, "-o", tmp_path / "out").returncode == 0
    assert [os.fsencode(p.name) for p in (tmp_path / "out").iterdir()] == [b"caf\xe9.lab"]
    os.truncate(name, 0)
    assert chordtool("transcribe", name).returncode == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_one_sentence(tmp_path: Path) -> None:
    target = tmp_path / "locked"
    target.mkdir(mode=0o500)
    found = chordtool("transcribe", CLIP, "-o", target / "x.lab")
    assert found.returncode == 1
    assert b"cannot be written" in found.stderr


def test_a_target_below_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = chordtool("transcribe", CLIP, "-o", tmp_path / "file/x.lab")
    assert found.returncode == 1
    assert b"cannot be written" in found.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_one_sentence(unbuffered: str) -> None:
    env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        found = subprocess.run(
            [PROGRAM, "transcribe", CLIP], stdout=full, stderr=subprocess.PIPE, env=env, check=False
        )
    assert found.returncode == 1
    assert not any(word in found.stderr.decode() for word in (UNTIDY, "Exception ignored"))


def test_a_reader_that_leaves_is_no_drama(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    found = subprocess.run(
        [PROGRAM, "transcribe", CLIP], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert found.returncode != 0
    assert found.stderr == b""


def test_existing_results_are_kept_unless_told_otherwise(tmp_path: Path) -> None:
    target = tmp_path / "clip.lab"
    target.write_text("mine")
    found = chordtool("transcribe", CLIP, "-o", target)
    assert found.returncode == 1
    assert b"--overwrite" in found.stderr
    assert target.read_text() == "mine"
    assert chordtool("transcribe", CLIP, "-o", target, "--skip-existing").returncode == 0
    assert target.read_text() == "mine"
    assert chordtool("transcribe", CLIP, "-o", target, "--overwrite").returncode == 0
    tiles(target.read_bytes(), soundfile.info(CLIP).duration)
    found = chordtool("transcribe", CLIP, "-o", target, "--skip-existing", "--overwrite")
    assert found.returncode == 2


def test_two_recordings_with_one_result_do_not_overwrite_each_other(tmp_path: Path) -> None:
    shutil.copy(CLIP, tmp_path / "song.mp3")
    silence(tmp_path / "song.wav")
    found = chordtool("transcribe", tmp_path, "-o", tmp_path / "out")
    assert found.returncode == 1
    assert b"song.wav" in found.stderr
    assert (tmp_path / "out/song.lab").read_bytes() == chordtool("transcribe", CLIP).stdout


def test_several_recordings_need_a_folder(tmp_path: Path) -> None:
    silence(tmp_path / "a.wav")
    found = chordtool("transcribe", CLIP, tmp_path / "a.wav")
    assert found.returncode == 2
    assert b"-o DIR" in found.stderr


@pytest.mark.parametrize(
    ("name", "advice"), [("both.lab", b"-o DIR/"), ("both.jsonl", b"> both.jsonl")]
)
def test_several_recordings_do_not_become_one_file(
    tmp_path: Path, name: str, advice: bytes
) -> None:
    silence(tmp_path / "a.wav")
    silence(tmp_path / "b.wav")
    found = chordtool("transcribe", "a.wav", "b.wav", "-o", name, cwd=tmp_path)
    assert found.returncode == 2
    assert name.encode() in found.stderr
    assert advice in found.stderr
    assert not (tmp_path / name).exists()
    (tmp_path / name).mkdir()
    assert chordtool("transcribe", "a.wav", "b.wav", "-o", name, cwd=tmp_path).returncode == 0
    assert (tmp_path / name / "a.lab").is_file()


def test_a_slash_says_that_a_folder_is_meant_whatever_its_name(tmp_path: Path) -> None:
    silence(tmp_path / "a.wav")
    silence(tmp_path / "b.wav")
    done = chordtool("transcribe", "a.wav", "b.wav", "-o", "all.lab/", cwd=tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "all.lab" / "b.lab").is_file()


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (["--model", "nonesuch"], 3, b"nonesuch"),
        (["--model", "missing.onnx"], 3, b"missing.onnx"),
        (["--format", "nonesuch"], 2, b"nonesuch"),
        (["--jobs", "many"], 2, b"many"),
        (["--frobnicate"], 2, b"--frobnicate"),
    ],
)
def test_misuse_has_its_exit_code(arguments: list[str], status: int, word: bytes) -> None:
    found = chordtool("transcribe", CLIP, *arguments)
    assert found.returncode == status
    assert word in found.stderr
    assert found.stdout == b""


def test_an_interrupt_ends_with_130_and_leaves_no_half_file(tmp_path: Path) -> None:
    songs = tmp_path / "songs"
    songs.mkdir()
    for k in range(60):
        shutil.copy(CLIP, songs / f"{k}.mp3")
    process = subprocess.Popen(
        [PROGRAM, "transcribe", songs, "-o", tmp_path / "out", "-j", "1"], stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("out/*.lab")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, report = process.communicate(timeout=60)
    assert process.returncode == 130
    assert UNTIDY.encode() not in report
    results = list((tmp_path / "out").iterdir())
    assert 0 < len(results) < 60
    for result in results:
        assert result.suffix == ".lab"
        tiles(result.read_bytes(), soundfile.info(CLIP).duration)


def test_a_long_recording_costs_little_memory(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    # Three hours of music-like noise, small on disk.
    rate, minutes = 8_000, 180
    block = (np.random.default_rng(0).normal(size=rate * 60) * 3000).astype(np.int16)
    with soundfile.SoundFile(tmp_path / "long.wav", "w", rate, 1, "PCM_16") as file:
        for _ in range(minutes):
            file.write(block)
    program = (
        "import sys\nfrom chordtool.cli import run\n"
        "status = run(['transcribe', sys.argv[1]])\n"
        "print(peak_bytes(), file=sys.stderr)\n"
        "sys.exit(status)"
    )
    found = measured(program, tmp_path / "long.wav")
    tiles(found.stdout.encode(), minutes * 60)
    # The mono signal alone is 0.95 GB at 22,050 Hz.
    assert int(found.stderr.split()[-1]) < 1_600_000 * 1024


@pytest.mark.parametrize("group", [[], ["models"], ["corpus"]])
def test_without_a_command_there_is_help_and_no_empty_error(group: list[str]) -> None:
    found = chordtool(*group)
    assert found.returncode == 2
    assert b"Commands" in found.stdout or b"Songs" in found.stdout
    assert found.stderr == b""


def test_the_program_says_its_version() -> None:
    assert chordtool("--version").stdout.startswith(b"chordtool ")
    found = subprocess.run(
        [sys.executable, "-m", "chordtool", "--version"], capture_output=True, check=False
    )
    assert found.stdout.startswith(b"chordtool ")


@pytest.mark.parametrize("model", ["default", "lv"])
def test_nothing_is_left_in_the_users_home(
    model: str, clips: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """ONNX Runtime would leave an identifier of the machine there, and report it."""
    home = tmp_path / "home"
    home.mkdir()
    # A bare environment: where tests run, it keeps quiet by itself.
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    if model != "default":
        environment["CHORDTOOL_MODELS"] = str(request.getfixturevalue("shared") / "teachers")
    done = subprocess.run(
        [sys.executable, "-m", "chordtool", "transcribe", str(clips / "clip.wav"), "-m", model],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [str(p) for p in home.rglob("*")] == []

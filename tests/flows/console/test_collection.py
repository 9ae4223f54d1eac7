"""`derain SOURCE DEST`: a run of derain-batch in this process, without a Prefect server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn
from urllib.request import url2pathname

import numpy as np
import pytest

from flows.console import collection
from flows.console.app import run
from infra.catalog.delta.attempts import CatalogError
from infra.settings import Settings
from infra.storage.lease import lease_of
from infra.tracking.registry import Registry
from models.shipped import shipped_networks
from tests.support.servers.deployments import put_photos
from tests.support.servers.server_processes import PATIENCE, ROOT, wait_for

MODEL = ["--model", "student-small"]

pytestmark = pytest.mark.usefixtures("here")


def outputs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_folder_is_derained_and_the_last_lines_say_where_everything_is(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "rainy" / "notes.txt").write_text("")
    assert run(["rainy", "out", *MODEL]) == 0
    said = capsys.readouterr()
    summary, where, report = said.out.splitlines()
    assert summary.startswith("3 derained, 0 rejected, 0 pending")
    assert "1 left out (1 .txt)" in summary
    assert where == f"outputs: {here / 'out'}"
    assert Path(url2pathname(report.removeprefix("report: file://"))).is_file()
    assert sorted(outputs(here / "out")) == sorted(p.name for p in (here / "rainy").glob("*.png"))
    meanwhile = said.err.splitlines()
    assert meanwhile[0] == f"derain: reading {here / 'rainy'}"
    assert meanwhile[1] == "derain: 3 of 3 images are pending"
    assert meanwhile[-2].startswith("derain: 3 of 3 images, ")
    assert meanwhile[-2].endswith(" images/s")


def test_a_handful_needs_no_server_and_no_workers(here: Path) -> None:
    assert loaded(here, "rainy", "out", *MODEL) == "0 ['torch', 'distributed']"
    assert len(outputs(here / "out")) == 3
    assert not (here / ".prefect").exists()


def test_with_nothing_to_do_nothing_heavy_is_loaded_and_nothing_written(here: Path) -> None:
    run(["rainy", "out"])
    reports = outputs(here / "var" / "reports")
    assert loaded(here, "rainy", "out") == "0 []"
    assert outputs(here / "var" / "reports") == reports


def test_with_nothing_to_do_a_registered_champion_is_found_without_anything_heavy(here: Path) -> None:
    run(["rainy", "out"])
    shipped = shipped_networks()[0].read()
    Registry(Settings(workspace=str(here / "var"))).register_shipped(shipped.weights, shipped.config)
    assert loaded(here, "rainy", "out") == "0 []"


def loaded(here: Path, *words: str) -> str:
    """Run a command in another process; return its exit code and the heavy packages that it imported."""
    script = (
        "import sys; from flows.console.app import run; code = run(sys.argv[1:]);"
        "heavy = ('torch', 'prefect', 'mlflow', 'distributed', 'botocore');"
        "print(code, [name for name in heavy if name in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=here,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(here)},
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout.splitlines()[-1]


def test_a_second_run_takes_up_only_what_is_new(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["rainy", "out", *MODEL])
    first = sorted((here / "rainy").iterdir())[0]
    (here / "rainy" / "new.png").write_bytes(first.read_bytes())
    capsys.readouterr()
    assert run(["rainy/", "./out/", *MODEL]) == 0
    assert "new.png" in outputs(here / "out")
    said = capsys.readouterr().out
    assert said.startswith("1 derained, ")
    assert "3 done before" in said


def test_files_and_globs_choose_what_is_derained(here: Path) -> None:
    first, second, third = sorted(path.name for path in (here / "rainy").iterdir())
    assert run([f"rainy/{first}", f"rainy/{second}", "some", *MODEL]) == 0
    assert sorted(outputs(here / "some")) == [first, second]
    assert run(["rainy", "more", "--include", f"{second},{third}", "--exclude", second, *MODEL]) == 0
    assert sorted(outputs(here / "more")) == [third]


def test_a_plan_derains_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rainy", "out", "--plan-only"]) == 0
    assert "3 pending" in capsys.readouterr().out
    assert not (here / "out").exists()


def test_a_second_run_with_another_model_says_what_it_leaves_and_how_to_redo_it(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["rainy", "out", *MODEL])
    capsys.readouterr()
    assert run(["rainy", "out", "--model", "student-base"]) == 0
    line = capsys.readouterr().out.splitlines()[0]
    assert "3 done before (by student-small" in line
    assert "--redo stale derains these again with student-base" in line


def test_a_run_that_another_one_keeps_out_is_one_line_and_1(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with lease_of(Settings(_env_file=None), str(here / "out"), "another-run"):
        assert run(["rainy", "out", *MODEL]) == 1
    assert "another-run" in capsys.readouterr().err.splitlines()[-1]
    assert not (here / "out").exists()


def test_a_rejected_image_has_its_reason_in_the_last_lines_and_in_status(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "rainy" / "empty.png").write_bytes(b"")
    assert run(["rainy", "out", *MODEL]) == 0
    printed = capsys.readouterr().out
    assert "1 rejected (1 zero bytes)" in printed
    assert "\nrejected: empty.png (zero bytes)\n" in printed
    assert run(["status", "rainy", "out", *MODEL]) == 0
    said = capsys.readouterr().out
    assert "3 done (" in said
    assert "1 rejected (1 zero bytes)" in said
    assert "rejected  empty.png: zero bytes" in said


def test_of_many_rejected_images_the_first_are_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(7):
        (here / "rainy" / f"empty-{number}.png").write_bytes(b"")
    assert run(["rainy", "out", *MODEL]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("rejected: "))
    assert line.startswith("rejected: empty-0.png (zero bytes), empty-1.png (zero bytes)")
    assert line.endswith("empty-4.png (zero bytes), 2 more, which derain status lists")


def test_a_catalog_that_cannot_be_read_afterwards_does_not_fail_the_run(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: object, **__: object) -> NoReturn:
        raise CatalogError("no catalog")

    monkeypatch.setattr(collection, "_rejected_line", unreadable)
    (here / "rainy" / "empty.png").write_bytes(b"")
    assert run(["rainy", "out", *MODEL]) == 0
    printed = capsys.readouterr()
    assert "outputs: " in printed.out
    assert "report: " in printed.out


def test_a_destination_that_was_never_written_to_is_noticed(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["rainy", "derained", *MODEL])
    capsys.readouterr()
    assert run(["status", "rainy", "derainde", *MODEL]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("3 objects: 0 done, ")
    assert said[1:] == [
        f"{here / 'derainde'}: nothing was ever written there; did you mean {here / 'derained'}?"
    ]
    assert run(["status", "rainy", "derained", *MODEL]) == 0
    assert "ever written" not in capsys.readouterr().out


def test_status_during_a_first_run_names_that_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(workspace=str(here / "var"), _env_file=None)
    with lease_of(settings, str(here / "out"), "the-first"):
        assert run(["status", "rainy", "out", *MODEL]) == 0
    counts, being_written = capsys.readouterr().out.splitlines()
    assert counts.startswith("3 objects: 0 done, ")
    assert being_written.startswith(f"{here / 'out'} is being written: run the-first on ")


def test_status_during_a_later_run_names_that_run_too(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["rainy", "out", *MODEL])
    capsys.readouterr()
    with lease_of(Settings(workspace=str(here / "var"), _env_file=None), str(here / "out"), "second"):
        assert run(["status", "rainy", "out", *MODEL]) == 0
    assert f"{here / 'out'} is being written: run second on " in capsys.readouterr().out


def test_photographs_that_are_not_read_are_named_with_what_converts_them(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "rainy" / "a.heic").write_bytes(b"")
    (here / "rainy" / "b.CR3").write_bytes(b"")
    assert run(["rainy", "out", *MODEL]) == 0
    line = capsys.readouterr().out.splitlines()[0]
    assert "2 left out (1 .cr3, 1 .heic)" in line
    assert ".heic not read (convert to JPEG or PNG, for example with heif-convert)" in line
    assert ".cr3 not read (convert to JPEG or PNG, for example with darktable-cli)" in line


def test_status_counts_what_the_globs_choose(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, *others = sorted(path.name for path in (here / "rainy").iterdir())
    assert run(["rainy", "out", "--exclude", one, *MODEL]) == 0
    capsys.readouterr()
    assert run(["status", "rainy", "out", "--exclude", one, *MODEL]) == 0
    assert capsys.readouterr().out.startswith("3 objects: 2 done (2 by student-small")
    assert run(["status", *(f"rainy/{name}" for name in others), "out", *MODEL]) == 0
    assert " 0 pending" in capsys.readouterr().out


def test_a_source_without_a_destination_in_the_settings_is_refused_in_words_of_the_command(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERAIN_SOURCE", str(here / "rainy"))
    for command, example in (([], "derain SOURCE DEST"), (["status"], "derain status SOURCE DEST")):
        assert run(command) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line == (
            f"derain: DERAIN_SOURCE is {here / 'rainy'}, but DERAIN_DESTINATION is not set: set it too, or name"
            f" both places, as in {example}"
        )


def test_status_of_nothing_is_refused_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DERAIN_SOURCE", raising=False)
    before = sorted(tmp_path.rglob("*"))
    assert run(["status"]) != 0
    assert "derain status SOURCE DEST: which folder?" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_frames_become_an_array(here: Path) -> None:
    import zarr

    frames = np.random.default_rng(1).integers(0, 256, (2, 16, 24, 3), dtype=np.uint8)
    zarr.save_array(str(here / "rainy.zarr"), frames)
    assert run(["rainy.zarr", "derained.zarr", *MODEL]) == 0
    assert zarr.open_array(str(here / "derained.zarr")).shape == frames.shape


@pytest.mark.slow
class TestTyped:
    """Tests of the command in a separate process."""

    def test_many_images_go_to_workers_and_ctrl_c_ends_it_with_130(self, here: Path) -> None:
        put_photos(here / "many", 400)
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & would ignore it
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.console", "many", "out", *MODEL],
            cwd=here,
            env={**os.environ, "PYTHONPATH": str(ROOT), "DERAIN_WORKERS": "1", "DERAIN_SHARD_IMAGES": "1"},
            start_new_session=True,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        signal.signal(signal.SIGINT, before)
        wait_for(lambda: len(list((here / "out").glob("*.png"))) > 5, "no outputs")
        os.killpg(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130, stderr
        assert stderr.splitlines()[-1] == "derain: interrupted; run it again to continue"
        assert "Traceback" not in stderr
        assert "derain: starting workers" in stderr.splitlines()

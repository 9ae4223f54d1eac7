"""derain-batch as a command: its help, its exit codes, and one clear line for every refusal."""

from __future__ import annotations

import json
import logging
import os
import signal
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from flows.derain_batch import derain_batch
from flows.running import command_line
from flows.running.command_line import command_of
from tasks.curation.judged_shards import JUDGED_FOLDER
from tests.support.help_texts import assert_help_explains_every_parameter
from tests.support.servers.deployments import put_photos
from tests.support.servers.prefect_server import PrefectServer
from tests.support.servers.server_processes import PATIENCE, wait_for
from tests.support.servers.typed import started, typed
from tests.support.worlds.pools import rainy_crops, write_pool


def test_help_explains_every_parameter_in_the_words_of_the_docstring() -> None:
    assert_help_explains_every_parameter(derain_batch)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--quality", "0"], "--quality"),
        (["--quality", "101"], "--quality"),
        (["--quality", "best"], "--quality"),
        (["--limit", "0"], "--limit"),
        (["--export", "gif"], "--export"),
        (["--redo", "all"], "--redo"),
        (["--sauce", "x"], "--sauce"),
        (["./rainy"], "./rainy"),
    ],
    ids=" ".join,
)
def test_a_usage_error_names_the_option_and_exits_with_2(words: list[str], named: str) -> None:
    shown = CliRunner().invoke(command_of(derain_batch), words)
    assert shown.exit_code == 2
    (line,) = [line for line in shown.stderr.splitlines() if line.startswith("Error: ")]
    assert named in line


@pytest.mark.parametrize(
    ("name", "message", "is_shown"),
    [
        ("derain-batch", "Finished in state Completed('2 derained')", False),
        ("derain-batch", "Finished in state Failed('no source')", False),
        ("derain-batch", "2 of 9 images", True),
        ("curate", "Finished in state Completed('a stage of it')", True),
    ],
)
def test_only_the_end_of_the_command_itself_is_not_logged(
    name: str, message: str, is_shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = logging.getLogger("prefect.flow_runs")
    monkeypatch.setattr(log, "filters", [])
    monkeypatch.setattr(command_line, "command_of", lambda *_: lambda: None)
    command_line.run(derain_batch)
    place = ("prefect/flow_engine.py", 1)
    record = log.makeRecord(log.name, logging.INFO, *place, message, (), None, extra={"flow_name": name})
    assert bool(log.filter(record)) == is_shown


@pytest.mark.slow
class TestTyped:
    """Tests of `python -m flows.derain_batch …` in a shell."""

    @pytest.fixture
    def environment(self, server: PrefectServer, tmp_path: Path) -> dict[str, str]:
        return {**server.environment, "DERAIN_WORKSPACE": str(tmp_path / "workspace"), "DERAIN_WORKERS": "1"}

    def test_a_run_ends_with_its_summary_and_0(self, environment: dict[str, str], tmp_path: Path) -> None:
        names = put_photos(tmp_path / "rainy", 2)
        ended = typed(
            environment, "--source", str(tmp_path / "rainy"), "--destination", str(tmp_path / "out")
        )
        assert ended.returncode == 0, ended.stderr
        (line,) = ended.stdout.splitlines()
        assert line.startswith("2 derained, 0 rejected, 0 pending")
        report = Path(line.rpartition("report: ")[2])
        assert report.parent == tmp_path / "workspace" / "reports"
        assert report.is_file()
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
        assert _unexpected(ended.stderr) == []
        assert "Beginning flow run" in ended.stderr
        assert "2 derained, 0 rejected, 0 pending" not in ended.stderr  # the line is on stdout only

    def test_a_run_works_on_an_unusual_machine(self, environment: dict[str, str], tmp_path: Path) -> None:
        """The terminal only shows ASCII, a proxy is gone, and Prefect's database is of another version."""
        names = put_photos(tmp_path / "雨" / "rainy", 1)
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / "prefect.db").write_bytes(b"this was a database once " * 100)
        strange = {
            "DERAIN_WORKSPACE": str(tmp_path / "雨" / "workspace"),
            "PREFECT_HOME": str(tmp_path / "home"),
            "PYTHONIOENCODING": "ascii",
            "HTTP_PROXY": "http://127.0.0.1:9",
            "TMPDIR": str(tmp_path),
        }
        environment = {**environment, **strange}
        del environment["PREFECT_API_URL"], environment["NO_PROXY"]
        places = ["--source", str(tmp_path / "雨" / "rainy"), "--destination", str(tmp_path / "雨" / "out")]
        ended = typed(environment, *places)
        assert ended.returncode == 0, ended.stderr
        (line,) = ended.stdout.splitlines()
        assert line.startswith("1 derained, 0 rejected, 0 pending")
        assert f"report: {tmp_path}/\\u96e8/workspace/reports/" in line
        assert [path.name for path in (tmp_path / "雨" / "out").iterdir()] == names
        (warning,) = _unexpected(ended.stderr)
        assert f"{tmp_path / 'home' / 'prefect.db'} is of another version of Prefect" in warning

    def test_a_missing_source_is_one_line_and_1(self, environment: dict[str, str], tmp_path: Path) -> None:
        ended = typed(environment, "--source", str(tmp_path / "none"), "--destination", str(tmp_path / "out"))
        assert (ended.returncode, ended.stdout) == (1, "")
        (line,) = _unexpected(ended.stderr)
        assert line.startswith(f"derain-batch: {tmp_path / 'none'}: ")
        assert not (tmp_path / "out").exists()

    def test_a_refusal_is_one_line_and_starts_no_server(
        self, environment: dict[str, str], tmp_path: Path
    ) -> None:
        environment = {**environment, "PREFECT_HOME": str(tmp_path / "prefect")}
        del environment["PREFECT_API_URL"]
        ended = typed(environment, "--source", str(tmp_path / "none"), "--destination", str(tmp_path / "out"))
        assert (ended.returncode, ended.stdout) == (1, "")
        (line,) = ended.stderr.splitlines()
        assert line.startswith(f"derain-batch: {tmp_path / 'none'}: ")
        assert not list((tmp_path / "prefect").glob("*.db"))

    def test_a_misspelt_network_is_one_line_with_the_nearest_name(self, environment: dict[str, str]) -> None:
        ended = typed(environment, "--model", "student-smal")
        assert ended.returncode == 1
        (line,) = ended.stderr.splitlines()
        assert line.endswith("did you mean student-small?")

    def test_a_silent_prefect_server_is_one_line_and_1(self, environment: dict[str, str]) -> None:
        ended = typed({**environment, "PREFECT_API_URL": "http://me:hunter2@127.0.0.1:9/api"})
        assert (ended.returncode, ended.stdout) == (1, "")
        (line,) = ended.stderr.splitlines()
        assert "hunter2" not in line
        assert line.startswith("derain-batch: http://***@127.0.0.1:9/api: no Prefect server answers there")

    def test_ctrl_c_ends_it_soon_and_leaves_nothing_behind(
        self, environment: dict[str, str], tmp_path: Path
    ) -> None:
        """The temporary Prefect server is in another process group, but ends with the run."""
        put_photos(tmp_path / "rainy", 400)
        environment = {**environment, "DERAIN_SHARD_IMAGES": "1", "DERAIN_WAVE_SHARDS": "1"}
        del environment["PREFECT_API_URL"]
        places = ["--source", str(tmp_path / "rainy"), "--destination", str(tmp_path / "out")]
        process = started(environment, *places)
        wait_for(lambda: len(list((tmp_path / "out").glob("*.png"))) > 5, "no outputs")
        family = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130
        assert stderr.splitlines()[-1] == "derain-batch: interrupted; run it again to continue"
        assert psutil.wait_procs(family, timeout=PATIENCE)[1] == []
        (lease,) = (tmp_path / "workspace" / "leases").iterdir()
        assert json.loads(lease.read_text())["released"]

    def test_ctrl_c_in_a_flow_of_flows_is_one_line(self, environment: dict[str, str], tmp_path: Path) -> None:
        """Prefect reports to the temporary server that the inner flow crashed."""
        write_pool(tmp_path / "workspace", rainy_crops(4, side=160))
        del environment["PREFECT_API_URL"]
        process = started(environment, "--preset", "smoke", flow="retrain")
        judged = tmp_path / "workspace" / JUDGED_FOLDER
        wait_for(lambda: any(path.is_file() for path in judged.rglob("*")), "curate judges nothing")
        os.killpg(process.pid, signal.SIGINT)
        stdout, stderr = process.communicate(timeout=PATIENCE)
        assert (process.returncode, stdout) == (130, "")
        assert all(word not in stderr for word in ("Traceback", "ERROR", "Error logging")), stderr
        assert _unexpected(stderr) == ["retrain: interrupted; run it again to continue"]


def _unexpected(stderr: str) -> list[str]:
    """Return the lines other than Prefect's about flow and task runs."""
    return [line for line in stderr.splitlines() if "| Flow run" not in line and "| Task run" not in line]

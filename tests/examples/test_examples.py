"""The examples in the documents run and print the described results."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from infra.catalog.derained import Catalog
from infra.catalog.promotions import Ledger, Promotion
from tests.support.samples.photographs import photograph
from tests.support.samples.records import record
from tests.support.worlds.batch import ROOT
from tests.support.worlds.pools import rainy_crops, write_pool

pytestmark = pytest.mark.slow


ELSEWHERE = ("slurm_cluster.py", "my_net.py", "derain_with_mlflow.py")
"""Examples tested in tests/containers, tests/models/networks and tests/tasks/promotion."""


def run(
    example: str, *arguments: object, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, f"examples/{example}", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, env=env)


def test_every_example_is_tried():
    here = Path(__file__).read_text()
    assert [path.name for path in (ROOT / "examples").glob("*.py") if f'"{path.name}"' not in here] == []


def test_the_catalog_is_counted_by_status_and_reason(tmp_path: Path):
    rejected = replace(record("b.jpg"), status="rejected", reason="truncated JPEG", output_key=None)
    Catalog(str(tmp_path)).commit([record("a.jpg"), rejected], replace=False)
    ended = run("query_the_catalog.py", env=os.environ | {"DERAIN_WORKSPACE": str(tmp_path)})
    assert ended.returncode == 0, ended.stderr
    assert "truncated JPEG" in ended.stdout


def test_duckdb_counts_the_same_without_a_network(tmp_path: Path):
    rejected = replace(record("b.jpg"), status="rejected", reason="truncated JPEG", output_key=None)
    Catalog(str(tmp_path)).commit([record("a.jpg"), record("c.jpg"), rejected], replace=False)
    home = {"HOME": str(tmp_path), **dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")}
    environment = os.environ | home | {"DERAIN_WORKSPACE": str(tmp_path)}
    ended = run("query_with_duckdb.py", env=environment)  # no extension is installed or available
    assert ended.returncode == 0, ended.stderr
    assert "truncated JPEG" in ended.stdout
    assert run("query_with_duckdb.py", tmp_path, env=os.environ | home).stdout == ended.stdout
    assert not (tmp_path / ".duckdb").exists()


def test_the_pool_is_a_torch_dataset(tmp_path: Path):
    write_pool(tmp_path, rainy_crops())
    ended = run("torch_dataset.py", tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "3, 512, 512" in ended.stdout


def test_the_champion_of_a_day_is_found(tmp_path: Path):
    began = datetime(2026, 3, 1, tzinfo=UTC)
    row = Promotion("derain-student", 0, "adopted", None, "7", "first", (), None, "run-1", began)
    Ledger(str(tmp_path)).append(row)
    ended = run("champion_on_a_day.py", tmp_path, "2026-03-08")
    assert ended.stdout.strip() == "7", ended.stderr


@pytest.mark.parametrize(("challenger", "code"), [(30.5, 0), (29.0, 1)])
def test_a_gate_of_ones_own_refuses_what_is_worse_at_night(tmp_path: Path, challenger: float, code: int):
    rows = [
        {"key": "night/1.png", "scene": "night/1", "role": "champion", "psnr_y": 30.0},
        {"key": "night/1.png", "scene": "night/1", "role": "challenger", "psnr_y": challenger},
        {"key": "day/1.png", "scene": "day/1", "role": "champion", "psnr_y": 30.0},
        {"key": "day/1.png", "scene": "day/1", "role": "challenger", "psnr_y": 0.0},
    ]
    pl.DataFrame(rows).write_parquet(tmp_path / "evaluation.parquet")
    ended = run("gate_of_your_own.py", tmp_path / "evaluation.parquet")
    assert ended.returncode == code, ended.stderr
    assert "1 night scenes" in ended.stdout


def test_an_array_is_derained(tmp_path: Path):
    Image.fromarray(photograph("coffee", side=96)).save(tmp_path / "rainy.png")
    ended = run("derain_an_array.py", tmp_path / "rainy.png", tmp_path / "derained.png")
    assert ended.returncode == 0, ended.stderr
    assert np.asarray(Image.open(tmp_path / "derained.png")).shape == (96, 96, 3)

from __future__ import annotations

import csv
import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.common.peak_memory import peak_mib
from benchmarks.speed import run, techniques
from benchmarks.speed.prenet import PReNet
from benchmarks.speed.run import Contender, SpeedRow, agreement, measure, summarise, write
from benchmarks.speed.techniques import CUDA_GRAPHS, TECHNIQUES, Variant, forward_of, picture, variants
from models.networks.descriptor import count_gmac, count_parameters

CPU = torch.device("cpu")


def contenders(size: int = 16) -> list[Contender]:
    eager = [
        variant for variant in variants(["student-base"], CPU, [1, 2]) if "compiled" not in variant.technique
    ]
    return [Contender(variant, forward_of(variant, CPU), picture(variant, size, CPU)) for variant in eager]


def test_prenet_is_as_large_as_published():
    assert count_parameters(PReNet()) == 168_963


def test_prenet_derains_any_size():
    with torch.inference_mode():
        assert PReNet()(torch.rand(2, 3, 9, 14)).shape == (2, 3, 9, 14)


def test_multiplications_of_every_stage_are_counted():
    assert count_gmac(PReNet(), 16) == pytest.approx(6 * 16 * 16 * (168_963 - 32 * 15 - 3) / 1e9)


def test_the_variants_begin_with_prenet_at_every_batch():
    both = list(variants(["student-tiny"], CPU, [1, 8]))
    assert [(variant.network, variant.technique) for variant in both[:2]] == [
        ("prenet", "fp32"),
        ("prenet", TECHNIQUES[2]),
    ]
    assert [
        variant.technique for variant in both if variant.network == "student-tiny" and variant.batch == 8
    ] == list(TECHNIQUES)
    on_gpu = [variant.technique for variant in variants(["student-tiny"], torch.device("cuda"), [1])][2:]
    assert on_gpu == ["fp32", "tf32", *TECHNIQUES[1:], CUDA_GRAPHS]


def test_fp32_is_not_rounded_as_tf32_is(monkeypatch: pytest.MonkeyPatch):
    class Looks(torch.nn.Module):
        def forward(self, rainy: Tensor) -> Tensor:
            seen.append(torch.backends.cudnn.allow_tf32)
            return rainy

    seen: list[bool] = []
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(techniques, "weights_of", lambda name: Looks())
    for technique in ("tf32", "fp32", "tf32"):
        forward_of(Variant("student-tiny", technique, 1), CPU)(torch.zeros(1))
    assert seen == [True, False, True]


def test_rows_are_ratios_to_prenet_within_a_repeat(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(run, "peak_mib", lambda *_: 7.0)
    compared = contenders()
    times = [[100, 50, 10, 4, 5, 200, 90, 40, 20, 8], [300, 100, 20, 10, 9, 200, 90, 50, 20, 8]]
    rows = summarise(compared, times, 16, CPU)
    assert [row.ratio_to_prenet for row in rows][:4] == [1, 2.5, 12.5, 27.5]
    assert [row.ratio_to_prenet for row in rows][5:] == [1, 2.22, 4.5, 10, 25]
    assert rows[5].images_per_second == 10  # two in 200 ms
    assert rows[2].psnr_to_fp32 == float("inf")  # compared with itself
    path = tmp_path / "results" / "speed.csv"
    write(rows, path)
    assert [row["network"] for row in read(path)] == ["prenet"] * 2 + ["student-base"] * 3 + [
        "prenet"
    ] * 2 + ["student-base"] * 3


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_rows_of_another_device_stay(tmp_path: Path):
    path = tmp_path / "speed.csv"
    for device, ms in (("gpu", 1.0), ("cpu", 9.0), ("cpu", 8.0)):
        write([row(device, ms)], path)
    assert [(each["device"], each["ms_median"]) for each in read(path)] == [("gpu", "1.0"), ("cpu", "8.0")]


def test_rows_of_another_batch_stay(tmp_path: Path):
    path = tmp_path / "speed.csv"
    for batch, ms in ((1, 1.0), (8, 2.0), (8, 3.0)):
        write([row("gpu", ms, batch)], path)
    assert [(each["batch"], each["ms_median"]) for each in read(path)] == [("1", "1.0"), ("8", "3.0")]


def test_batches_beyond_memory_are_left_out_and_reported(monkeypatch, capsys):
    def too_much(rainy: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(run, "peak_mib", lambda *_: 7.0)
    monkeypatch.setattr(run, "TIMED_SECONDS", 0.0)
    prenet, _, exact, rough, _ = contenders()[:5]
    compared = [replace(prenet, forward=too_much), replace(exact, forward=too_much), rough]
    (left,) = summarise(compared, measure(compared, 2), 16, CPU)
    assert left.technique == "bf16"
    assert left.ms_median > 0
    assert math.isnan(left.ratio_to_prenet)
    assert math.isnan(left.psnr_to_fp32)
    assert capsys.readouterr().out.count("left out") == 2


def test_networks_are_compiled_for_the_sizes_that_they_are_timed_on(monkeypatch: pytest.MonkeyPatch):
    reported: list[tuple[bool, str]] = []
    monkeypatch.setattr(torch, "compile", lambda network, dynamic, mode: reported.append((dynamic, mode)))
    for technique in (TECHNIQUES[3], CUDA_GRAPHS):
        forward_of(Variant("student-tiny", technique, 8), CPU)
    assert reported == [(False, "default"), (False, "reduce-overhead")]


def test_a_batch_is_written_before_the_next_one_is_built(tmp_path: Path, monkeypatch):
    def climb(networks: list[str], device: torch.device, batches: list[int]) -> list[Variant]:
        if batches == [2]:
            raise KeyboardInterrupt
        return [Variant("student-tiny", "fp32", *batches)]

    for name, value in (("variants", climb), ("peak_mib", lambda *_: 7.0), ("TIMED_SECONDS", 0.0)):
        monkeypatch.setattr(run, name, value)
    for name, value in run.ALLOCATOR.items():
        monkeypatch.setenv(name, value)
    out = tmp_path / "speed.csv"
    monkeypatch.setattr(
        sys, "argv", ["speed", "--size=16", "--batches", "1", "2", f"--out={out}", "--threads=1"]
    )
    forgotten: list[bool] = []
    monkeypatch.setattr(torch.compiler, "reset", lambda: forgotten.append(True))
    with pytest.raises(KeyboardInterrupt):
        run.main()
    assert forgotten == [True]
    assert [(each["network"], each["batch"]) for each in read(out)] == [("student-tiny", "1")]


def row(device: str, ms: float, batch: int = 1) -> SpeedRow:
    return SpeedRow("student-base", "fp32", 16, batch, ms, 1.0, 1.0, 1.0, 1.0, 40.0, 1, 1.0, 1, device)


def test_every_contender_is_timed_in_every_repeat(monkeypatch):
    monkeypatch.setattr(run, "TIMED_SECONDS", 0.0)
    times = measure(contenders()[:3], repeats=2)
    assert [len(repeat) for repeat in times] == [3, 3]
    assert all(one > 0 for repeat in times for one in repeat)


def test_bf16_is_near_fp32():
    exact, rough = (contender for contender in contenders(32)[2:4])
    assert rough.variant == Variant("student-base", "bf16", 1)
    assert 35 < agreement(rough, exact) < 80


@pytest.mark.slow
def test_memory_grows_with_the_picture():
    small, large = (peak_mib(Variant("student-base", "fp32", 1), size) for size in (128, 1024))
    assert large > small + 30

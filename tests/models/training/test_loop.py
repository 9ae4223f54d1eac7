from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from models.evaluation.validation import KINDS, render_validation, validate
from models.modelfile import build, read_model_file
from models.networks.architectures import build_network, preset
from models.rain.banks import load_training_data
from models.rain.recipes import RECIPES
from models.training import command as cli
from models.training import loop
from models.training.batches import batch_of
from models.training.loop import fit
from models.training.objectives import Supervised
from models.training.schedules import ema_decay
from models.training.state import State, update_average
from tests.support.worlds.rainy import small_world
from tests.support.worlds.trainings import (
    SIX_STEPS,
    command,
    curve,
    launched,
    trained,
)


def test_muon_trains_new_weights_and_adamw_given_ones():
    assert SIX_STEPS.by_muon
    assert not replace(SIX_STEPS, init="given.safetensors").by_muon
    assert not replace(SIX_STEPS, preset="afr-net-tiny").by_muon
    assert replace(SIX_STEPS, init="given.safetensors", optimizer="muon").by_muon
    assert not replace(SIX_STEPS, optimizer="adamw").by_muon


def test_each_group_has_its_own_rate(data: Path, out: Path):
    config = replace(SIX_STEPS, optimizer="muon", steps=3, warm_up=1, cool_down=0.0)
    rates = [group["lr"] for group in trained(config, data, out).optimizer.param_groups]
    assert rates == pytest.approx([config.muon_rate, config.learning_rate])


def test_the_curve_has_a_row_a_validation(data: Path, out: Path):
    trained(SIX_STEPS, data, out)
    rows = curve(out)
    assert [row["step"] for row in rows] == ["3", "6"]
    assert list(rows[0]) == ["step", "loss_psnr", *KINDS]
    assert all(float(row["loss_psnr"]) < 0 for row in rows)
    assert all(float(row["light"]) > 0 for row in rows)


def test_seeds_differ(data: Path, tmp_path: Path):
    first, second = (
        trained(replace(SIX_STEPS, seed=seed, steps=1), data, tmp_path / str(seed)) for seed in (1, 2)
    )
    assert not torch.equal(first.average.stem.weight, second.average.stem.weight)


def test_the_device_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def launched_on(device: str) -> Fabric:
        words = [f"--data={tmp_path}", f"--out={tmp_path}", f"--device={device}"]
        return cli.launched(cli.options("", "train").parse_args(words), "32-true")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="this machine has no CUDA device"):
        launched_on("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert launched_on("cpu").device.type == "cpu"


def test_the_best_average_is_kept_with_its_facts(data: Path, out: Path):
    state = trained(replace(SIX_STEPS, validate_every=1), data, out)
    student_file = read_model_file(out / "student-tiny.safetensors")
    rows = curve(out)
    best = max(rows, key=lambda row: overall(row))
    assert state.best == pytest.approx(overall(best), abs=0.01)
    assert f'"step": {best["step"]}'.encode() in student_file.config
    assert build(student_file).config == state.average.config


def overall(row: dict[str, str]) -> float:
    return sum(float(row[kind]) for kind in ("light", "heavy", "fine", "faint")) / 4 + 0.05 * float(
        row["none"]
    )


def test_one_step_moves_the_average_by_its_decay(data: Path, out: Path):
    state = trained(replace(SIX_STEPS, steps=1), data, out)
    start = loop.begin(launched(SIX_STEPS), SIX_STEPS, Supervised())
    for name, average in state.average.state_dict().items():
        begun, reached = start.network.state_dict()[name], state.network.state_dict()[name]
        torch.testing.assert_close(
            average, torch.lerp(begun, reached, 1 - ema_decay(SIX_STEPS.ema, 0)), msg=name
        )


def test_training_takes_rain_away(data: Path, out: Path):
    config = replace(SIX_STEPS, steps=100, batch=4, recipe="heavy", learning_rate=3e-3, validate_every=100)
    config = replace(config, save_seconds=1e9)
    state = trained(config, data, out)
    pairs = render_validation(load_training_data(data, held_out=True), 2)
    assert (
        validate(state.average, pairs).heavy
        > validate(build_network(preset("student-tiny")), pairs).heavy + 0.5
    )


def test_pixels_count_during_the_warm_up_and_psnr_per_photograph_afterwards(
    data: Path, out: Path, monkeypatch
):
    seen: list[set[str]] = []
    take = loop.step

    def step(*arguments: Any) -> dict[str, Tensor]:
        seen.append(set(terms := take(*arguments)))
        return terms

    monkeypatch.setattr(loop, "step", step)
    trained(replace(SIX_STEPS, warm_up=4), data, out)
    assert seen == [{"charbonnier", "frequency"}] * 4 + [{"psnr"}] * 2


def test_convolutions_compute_in_bf16_where_that_is_asked_for(data: Path, out: Path):
    config = replace(SIX_STEPS, precision="bf16-mixed", steps=1)
    fabric = launched(config)
    state = loop.begin(fabric, config, Supervised())
    dtypes = []
    state.network.stem.register_forward_hook(lambda *call: dtypes.append(call[-1].dtype))
    loop.step(fabric, config, state, batch_of(fabric, config, small_world(), 0))
    assert dtypes == [torch.bfloat16]


def test_the_average_takes_the_statistics_of_norms(data: Path, out: Path):
    state = State(nn.BatchNorm2d(2), nn.BatchNorm2d(2).requires_grad_(False), None, None)  # type: ignore[arg-type]
    state.network(torch.randn(4, 2, 3, 3) + 5)
    update_average(state, 0.9)
    assert torch.equal(state.average.running_mean, state.network.running_mean)
    assert state.average.running_mean.abs().min() > 0.1


class Reported:
    """A recorder that collects its records."""

    def __init__(self) -> None:
        self.values: dict[int, dict[str, float]] = {}
        self.pictures: list[tuple[int, str, tuple[int, ...]]] = []

    def scalars(self, step, values):
        self.values[step] = dict(values)

    def picture(self, step, name, picture):
        self.pictures.append((step, name, picture.shape))


def test_recorders_receive_every_validation(data: Path, out: Path):
    reported = Reported()
    fit(launched(SIX_STEPS), SIX_STEPS, data, out, (reported,))
    assert list(reported.values) == [3, 6]
    assert {"loss_psnr", *KINDS} == set(reported.values[6])
    assert [(step, name) for step, name, _ in reported.pictures[: len(KINDS)]] == [
        (3, kind) for kind in KINDS
    ]
    height, width, channels = reported.pictures[0][2]
    assert (channels, width % 3, height % 8) == (3, 0, 0)


@pytest.mark.slow
def test_compiled_training_is_that_of_the_uncompiled_network(data: Path, tmp_path: Path):
    plain = trained(replace(SIX_STEPS, steps=2), data, tmp_path / "plain")
    compiled = trained(replace(SIX_STEPS, steps=2, compile=True), data, tmp_path / "compiled")
    ends = [
        torch.cat([value.flatten() for value in state.average.parameters()]) for state in (plain, compiled)
    ]
    torch.testing.assert_close(*ends, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"preset": "huge"},
            "preset 'huge': unknown; choose from student-base, student-large, student-small",
        ),
        (
            {"recipe": "ligth"},
            f"recipe 'ligth': unknown; choose from {', '.join(RECIPES)}; did you mean light?",
        ),
        ({"recipe": "snow"}, "recipe 'snow': unknown; choose from mixed, light"),
        ({"optimizer": "sgd"}, "optimizer 'sgd': unknown; choose from auto, adamw, muon"),
        ({"init": "nowhere.safetensors"}, "nowhere.safetensors: no such file"),
        ({"warm_up": 0}, "warm_up 0: must be at least 1"),
        ({"validate_every": 0}, "validate_every 0: must be at least 1"),
        ({"steps": 0}, "steps 0: must be at least 1"),
        ({"learning_rate": -1.0}, "learning_rate -1.0: must be more than 0"),
        ({"learning_rate": math.nan}, "learning_rate nan: must be finite and more than 0"),
        ({"muon_rate": 0.0}, "muon_rate 0.0: must be more than 0"),
        ({"clip": -1.0}, "clip -1.0: must be more than 0"),
        ({"ema": 2.0}, "ema 2.0: must be 0 to 1"),
        ({"finish": 1.5}, "finish 1.5: must be a share of the steps, 0 to 1"),
        ({"seed": -1}, "seed -1: must be 0 to 4294967295"),
        ({"save_seconds": -1.0}, "save_seconds -1.0: must be at least 0"),
        ({"validation_photographs": 0}, "validation_photographs 0: must be at least 1"),
        ({"precision": "foo"}, "precision 'foo': unknown; choose from auto, bf16-mixed, 32-true, 16-mixed"),
    ],
)
def test_an_impossible_training_is_refused_in_one_line(
    data: Path, tmp_path: Path, monkeypatch, changes, message
):
    monkeypatch.setattr(sys, "argv", command(SIX_STEPS, data, tmp_path, **changes)[2:])
    with pytest.raises(SystemExit) as ended:  # Python prints the line and exits with 1
        cli.main()
    assert str(ended.value.code).startswith(message)
    assert "\n" not in str(ended.value.code)


def test_the_folder_of_the_tests_trains_on_every_kind_of_rain(data: Path):
    training = load_training_data(data, held_out=False)
    assert (training.layer_of >= 0).any()
    assert (training.layer_of < 0).any()
    assert training.streaks.pixels.max() > 50

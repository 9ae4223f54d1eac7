from __future__ import annotations

import csv
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from models.evaluation.validation import KINDS, ValidationScore, ValidationSet, render_validation, validate
from models.modelfile import build, pack, read_model_file, write_model_file
from models.networks.architectures import build_network, preset
from models.pairs import RainyPair
from models.rain.banks import load_training_data
from models.rain.recipes import RECIPES
from models.training import loop
from models.training.batches import batch_of
from models.training.config import TrainConfig
from models.training.divergence import Diverged
from models.training.loop import fit
from models.training.objectives import Objective, Supervised
from models.training.schedules import ema_decay
from models.training.state import CheckpointMismatch, State, restore, update_average
from tests.support.samples.networks import random_network
from tests.support.samples.train_configs import brief_training
from tests.support.worlds.rainy import small_world, write_training_folder
from tests.support.worlds.trainings import assert_same, command, flat, interrupted, launched, trained

CONFIG = brief_training(steps=6, batch=3, validate_every=3, validation_photographs=2)
NEVER_SAVED = replace(CONFIG, save_seconds=1e9)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_folder(tmp_path_factory.mktemp("data"))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    path = tmp_path / "out"
    path.mkdir()
    return path


@pytest.mark.parametrize("before_step", [1, 3, 5])
def test_interrupted_training_ends_as_uninterrupted(data: Path, tmp_path: Path, before_step):
    whole = trained(CONFIG, data, tmp_path / "whole")
    interrupted(CONFIG, data, tmp_path / "cut", before_step)
    assert_same(trained(CONFIG, data, tmp_path / "cut"), whole)
    for name in ("student-tiny.safetensors", "student-tiny.json", "curve.csv"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


class Gained(Objective):
    """A loss with a parameter and a statistic of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))
        self.register_buffer("brightness", torch.zeros(()))

    def forward(self, network: Any, config: TrainConfig, step: int, pair: RainyPair) -> dict[str, Tensor]:
        self.brightness.lerp_(pair.rainy.mean(), 0.5)
        error = self.gain * network(pair.rainy) - pair.clean + self.brightness
        return {"squared": error.square().mean()}


def test_what_an_objective_learns_is_trained_and_resumed_too(data: Path, tmp_path: Path):
    whole = trained(CONFIG, data, tmp_path / "whole", Gained())
    assert whole.objective.gain != 1
    assert whole.objective.brightness > 0
    interrupted(CONFIG, data, tmp_path / "cut", 3, Gained())
    assert_same(trained(CONFIG, data, tmp_path / "cut", Gained()), whole)


def test_what_an_objective_learns_is_learnt_by_all_processes_alike():
    class Twice:
        """A fabric of two processes; the other one has gradients of three."""

        def all_reduce(self, gradient: Tensor, reduce_op: str) -> Tensor:
            assert reduce_op == "mean"
            return (gradient + 3) / 2

    objective = Gained()
    loop.share_gradients(Twice(), objective)  # type: ignore[arg-type]
    assert objective.gain.grad == 1.5
    loop.share_gradients(Twice(), objective)  # type: ignore[arg-type]
    assert objective.gain.grad == 2.25


def test_processes_write_a_checkpoint_when_the_first_of_them_does():
    class Second:
        """The second process of two, whose clock says otherwise than that of the first."""

        world_size, asked = 2, 0

        def broadcast(self, ours: bool) -> bool:
            self.asked += 1
            return not ours

    second: Any = Second()
    config = replace(CONFIG, steps=100, save_seconds=60.0)
    assert [loop.due(second, config, loop.ASKED_EVERY, seconds) for seconds in (0, 99)] == [True, False]
    assert not loop.due(second, config, loop.ASKED_EVERY + 1, 99)
    assert second.asked == 2
    assert loop.due(second, config, 100, 0)
    assert [loop.due(rank(0, 1), config, 1, seconds) for seconds in (0, 99)] == [False, True]


def test_bf16_training_resumes_exactly_too(data: Path, tmp_path: Path):
    config = replace(CONFIG, precision="bf16-mixed", steps=4)
    whole = trained(config, data, tmp_path / "whole")
    interrupted(config, data, tmp_path / "cut", 2)
    assert_same(trained(config, data, tmp_path / "cut"), whole)


def test_training_by_muon_resumes_exactly_too(data: Path, tmp_path: Path):
    config = replace(CONFIG, optimizer="muon", precision="bf16-mixed")
    whole = trained(config, data, tmp_path / "whole")
    interrupted(config, data, tmp_path / "cut", 3)
    assert_same(trained(config, data, tmp_path / "cut"), whole)


def test_muon_trains_new_weights_and_adamw_given_ones():
    assert CONFIG.by_muon
    assert not replace(CONFIG, init="given.safetensors").by_muon
    assert not replace(CONFIG, preset="afr-net-tiny").by_muon
    assert replace(CONFIG, init="given.safetensors", optimizer="muon").by_muon
    assert not replace(CONFIG, optimizer="adamw").by_muon


def test_each_group_has_its_own_rate(data: Path, out: Path):
    config = replace(CONFIG, optimizer="muon", steps=3, warm_up=1, cool_down=0.0)
    rates = [group["lr"] for group in trained(config, data, out).optimizer.param_groups]
    assert rates == pytest.approx([config.muon_rate, config.learning_rate])


def test_shares_follow_the_lead_and_are_resumed_exactly(data: Path, tmp_path: Path):
    config = replace(CONFIG, adaptive_shares=True, steps=8, batch=8)
    whole = trained(config, data, tmp_path / "whole")
    assert sum(whole.shares.values()) == pytest.approx(0.71)
    assert whole.shares["recorded"] != RECIPES["mixed"].recorded
    interrupted(config, data, tmp_path / "cut", 5)
    resumed = trained(config, data, tmp_path / "cut")
    assert resumed.shares == whole.shares
    assert_same(resumed, whole)


def test_steps_lost_with_the_process_are_taken_again(data: Path, tmp_path: Path):
    whole = trained(NEVER_SAVED, data, tmp_path / "whole")
    interrupted(NEVER_SAVED, data, tmp_path / "cut", 5)
    assert not (tmp_path / "cut" / "checkpoint.pt").exists()
    assert_same(trained(NEVER_SAVED, data, tmp_path / "cut"), whole)
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")


def curve(out: Path) -> list[dict[str, str]]:
    with (out / "curve.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_the_curve_has_a_row_a_validation(data: Path, out: Path):
    trained(CONFIG, data, out)
    rows = curve(out)
    assert [row["step"] for row in rows] == ["3", "6"]
    assert list(rows[0]) == ["step", "loss_psnr", *KINDS]
    assert all(float(row["loss_psnr"]) < 0 for row in rows)
    assert all(float(row["light"]) > 0 for row in rows)


def test_seeds_differ(data: Path, tmp_path: Path):
    first, second = (
        trained(replace(CONFIG, seed=seed, steps=1), data, tmp_path / str(seed)) for seed in (1, 2)
    )
    assert not torch.equal(first.average.stem.weight, second.average.stem.weight)


@pytest.mark.parametrize(
    ("changed", "value"), [("batch", 4), ("learning_rate", 1e-4), ("seed", 9), ("recipe", "light")]
)
def test_other_hyper_parameters_are_refused_on_resume(data: Path, out: Path, changed, value):
    trained(replace(CONFIG, steps=1), data, out)
    before = (out / "checkpoint.pt").read_bytes()
    with pytest.raises(CheckpointMismatch, match=f"'{changed}': {value!r}"):
        trained(replace(CONFIG, **{changed: value}), data, out)
    assert (out / "checkpoint.pt").read_bytes() == before


def test_another_number_of_processes_is_refused_on_resume(data: Path, out: Path):
    trained(replace(CONFIG, steps=1), data, out)
    state = loop.begin(launched(CONFIG), CONFIG, Supervised())
    two: Any = SimpleNamespace(world_size=2, load=launched(CONFIG).load)
    with pytest.raises(CheckpointMismatch, match="'processes': 2"):
        restore(two, CONFIG, state, out / "checkpoint.pt")


def test_the_device_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def launched_on(device: str) -> Fabric:
        words = [f"--data={tmp_path}", f"--out={tmp_path}", f"--device={device}"]
        return loop.launched(loop.options("", "train").parse_args(words), "32-true")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="this machine has no CUDA device"):
        launched_on("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert launched_on("cpu").device.type == "cpu"


def test_steps_may_be_prolonged(data: Path, out: Path):
    trained(replace(CONFIG, steps=2), data, out)
    assert trained(replace(CONFIG, steps=5), data, out).step == 5
    assert trained(replace(CONFIG, steps=5), data, out).step == 5


def test_a_checkpoint_is_written_whole_or_not_at_all(data: Path, out: Path, monkeypatch):
    trained(replace(CONFIG, steps=2), data, out)
    before = (out / "checkpoint.pt").read_bytes()

    def full_disk(self: Fabric, path: Path, state: object) -> None:
        Path(path).write_bytes(before[:100])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Fabric, "save", full_disk)
        with pytest.raises(OSError, match="No space left"):
            trained(replace(CONFIG, steps=4), data, out)
    assert (out / "checkpoint.pt").read_bytes() == before
    assert trained(replace(CONFIG, steps=4), data, out).step == 4
    assert not list(out.glob("*.partial"))


def test_the_best_average_is_kept_with_its_facts(data: Path, out: Path):
    state = trained(replace(CONFIG, validate_every=1), data, out)
    student_file = read_model_file(out / "student-tiny.safetensors")
    rows = curve(out)
    best = max(rows, key=lambda row: overall(row))
    assert state.best == pytest.approx(overall(best), abs=0.01)
    assert f'"step": {best["step"]}'.encode() in student_file.config
    assert build(student_file).config == state.average.config


def overall(row: dict[str, str]) -> float:
    return sum(float(row[kind]) for kind in ("light", "heavy", "fine")) / 3 + 0.05 * float(row["none"])


def test_one_step_moves_the_average_by_its_decay(data: Path, out: Path):
    state = trained(replace(CONFIG, steps=1), data, out)
    start = trained(replace(CONFIG, steps=0), data, out.with_name("start"))
    for name, average in state.average.state_dict().items():
        begun, reached = start.network.state_dict()[name], state.network.state_dict()[name]
        torch.testing.assert_close(
            average, torch.lerp(begun, reached, 1 - ema_decay(CONFIG.ema, 0)), msg=name
        )


def test_training_takes_rain_away(data: Path, out: Path):
    config = replace(NEVER_SAVED, steps=100, batch=4, recipe="heavy", learning_rate=3e-3, validate_every=100)
    state = trained(config, data, out)
    pairs = render_validation(load_training_data(data, held_out=True), 2)
    assert (
        validate(state.average, pairs).heavy
        > validate(build_network(preset("student-tiny")), pairs).heavy + 0.5
    )


def test_batches_are_the_same_whenever_asked_for_and_split_over_ranks():
    world = small_world()
    config = replace(CONFIG, recipe="light", batch=4)
    whole = batch_of(rank(0, 1), config, world, 3)
    halves = [batch_of(rank(number, 2), replace(config, batch=2), world, 3) for number in (0, 1)]
    assert torch.equal(torch.cat([half.rainy for half in halves]), whole.rainy)
    assert torch.equal(batch_of(rank(0, 1), config, world, 3).rainy, whole.rainy)
    assert not torch.equal(batch_of(rank(0, 1), config, world, 4).rainy, whole.rainy)


def rank(number: int, world: int) -> Any:
    return SimpleNamespace(global_rank=number, world_size=world)


def test_the_last_part_has_large_crops():
    config = replace(CONFIG, steps=10, finish=0.2, batch=8)
    world = small_world()
    sizes = [tuple(batch_of(rank(0, 1), config, world, step).rainy.shape) for step in (7, 8)]
    assert sizes == [(8, 3, 32, 32), (2, 3, 64, 64)]


def test_pixels_count_during_the_warm_up_and_psnr_per_photograph_afterwards(
    data: Path, out: Path, monkeypatch
):
    seen: list[set[str]] = []
    take = loop.step

    def step(*arguments: Any) -> dict[str, Tensor]:
        seen.append(set(terms := take(*arguments)))
        return terms

    monkeypatch.setattr(loop, "step", step)
    trained(replace(CONFIG, warm_up=4), data, out)
    assert seen == [{"charbonnier", "frequency"}] * 4 + [{"psnr"}] * 2


def test_convolutions_compute_in_bf16_where_that_is_asked_for(data: Path, out: Path):
    config = replace(CONFIG, precision="bf16-mixed", steps=1)
    fabric = launched(config)
    state = loop.begin(fabric, config, Supervised())
    dtypes = []
    state.network.stem.register_forward_hook(lambda *call: dtypes.append(call[-1].dtype))
    loop.step(fabric, config, state, batch_of(fabric, config, small_world(), 0))
    assert dtypes == [torch.bfloat16]


def test_training_starts_from_given_weights(data: Path, out: Path):
    given, path = random_network("student-tiny"), out / "given.safetensors"
    write_model_file(pack(given, {}), path)
    state = trained(replace(CONFIG, init=str(path), steps=0), data, out)
    begun = build(read_model_file(path)).state_dict()
    assert all(torch.equal(value, begun[name]) for name, value in state.network.state_dict().items())


def test_training_begins_from_a_smaller_network(data: Path, out: Path):
    given, path = random_network("student-tiny"), out / "given.safetensors"
    write_model_file(pack(given, {}), path)
    state = trained(replace(CONFIG, init=str(path), preset="student-small", steps=0), data, out)
    rainy = a_pair().rainy
    torch.testing.assert_close(state.average(rainy), build(read_model_file(path))(rainy), rtol=0, atol=1e-6)


def test_a_start_that_a_network_cannot_grow_from_is_refused(data: Path, out: Path):
    path = out / "given.safetensors"
    write_model_file(pack(random_network("drd-net-tiny"), {}), path)
    with pytest.raises(CheckpointMismatch, match=r"student-tiny cannot begin from .*given.safetensors"):
        trained(replace(CONFIG, init=str(path)), data, out)


@pytest.mark.parametrize("name", ["afr-net-tiny", "drd-net-tiny"])
def test_any_network_trains_and_is_kept_under_its_name(data: Path, out: Path, name):
    state = trained(replace(CONFIG, preset=name, steps=2, validate_every=1), data, out)
    kept = build(read_model_file(out / f"{name}.safetensors"))
    assert kept.config == preset(name) == state.average.config
    assert {key for key, value in curve(out)[0].items() if key.startswith("loss_") and value} == {
        f"loss_{term}" for term in state.average.loss_terms(a_pair())
    }


def a_pair() -> Any:
    return batch_of(rank(0, 1), CONFIG, small_world(), 0)


def test_the_average_takes_the_statistics_of_norms(data: Path, out: Path):
    state = State(nn.BatchNorm2d(2), nn.BatchNorm2d(2).requires_grad_(False), None, None)  # type: ignore[arg-type]
    state.network(torch.randn(4, 2, 3, 3) + 5)
    update_average(state, 0.9)
    assert torch.equal(state.average.running_mean, state.network.running_mean)
    assert state.average.running_mean.abs().min() > 0.1


class Worse(Supervised):
    """A loss that a number makes not finite, and scores that fall."""

    def __init__(self, broken_at: int | None = None) -> None:
        super().__init__()
        self.broken_at = broken_at
        self.register_buffer("judged", torch.zeros(()))

    def forward(self, network: Any, config: TrainConfig, step: int, pair: RainyPair) -> dict[str, Tensor]:
        terms = super().forward(network, config, step, pair)
        return {name: term * float("nan") if step == self.broken_at else term for name, term in terms.items()}

    def judge(self, network: nn.Module, pairs: ValidationSet) -> ValidationScore:
        self.judged += 1
        kinds = 30 - self.judged.item()
        return ValidationScore(**dict.fromkeys(KINDS, kinds))


def test_a_loss_that_is_not_finite_stops_the_training_and_is_in_no_checkpoint(data: Path, out: Path):
    with pytest.raises(Diverged, match=r"step 5: not finite: psnr; training stopped, the best"):
        trained(CONFIG, data, out, Worse(broken_at=4))
    kept = torch.load(out / "checkpoint.pt", weights_only=True)
    assert kept["step"] == 4
    assert (out / "student-tiny.safetensors").exists()


def test_a_score_that_keeps_falling_stops_the_training(data: Path, out: Path):
    config = replace(CONFIG, steps=40, validate_every=2, patience=3)
    with pytest.raises(Diverged, match=r"step 8: the validation score has fallen 3 times in a row"):
        trained(config, data, out, Worse())
    assert b'"step": 2' in read_model_file(out / "student-tiny.safetensors").config


def test_falls_are_counted_across_a_resume(data: Path, out: Path):
    config = replace(CONFIG, steps=40, validate_every=2, patience=3)
    interrupted(config, data, out, 5, Worse())
    with pytest.raises(Diverged, match=r"step 8: .* 3 times"):
        trained(config, data, out, Worse())


class Reported:
    """A recorder that remembers."""

    def __init__(self) -> None:
        self.values: dict[int, dict[str, float]] = {}
        self.pictures: list[tuple[int, str, tuple[int, ...]]] = []

    def scalars(self, step, values):
        self.values[step] = dict(values)

    def picture(self, step, name, picture):
        self.pictures.append((step, name, picture.shape))


def test_recorders_receive_every_validation(data: Path, out: Path):
    reported = Reported()
    fit(launched(CONFIG), CONFIG, data, out, (reported,))
    assert list(reported.values) == [3, 6]
    assert {"loss_psnr", *KINDS} == set(reported.values[6])
    assert [(step, name) for step, name, _ in reported.pictures[:5]] == [(3, kind) for kind in KINDS]
    height, width, channels = reported.pictures[0][2]
    assert (channels, width % 3, height % 8) == (3, 0, 0)


@pytest.mark.slow
def test_compiled_training_is_that_of_the_uncompiled_network(data: Path, tmp_path: Path):
    plain = trained(replace(CONFIG, steps=2), data, tmp_path / "plain")
    compiled = trained(replace(CONFIG, steps=2, compile=True), data, tmp_path / "compiled")
    ends = [
        torch.cat([value.flatten() for value in state.average.parameters()]) for state in (plain, compiled)
    ]
    torch.testing.assert_close(*ends, rtol=0, atol=1e-3)


@pytest.mark.slow
def test_killed_training_ends_as_undisturbed(data: Path, tmp_path: Path):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    subprocess.run(command(CONFIG, data, undisturbed, steps=40), check=True, capture_output=True)
    process = subprocess.Popen(
        command(CONFIG, data, killed, steps=40), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not (killed / "checkpoint.pt").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    subprocess.run(command(CONFIG, data, killed, steps=40), check=True, capture_output=True)
    ends = [torch.load(out / "checkpoint.pt", weights_only=True) for out in (undisturbed, killed)]
    first, second = (flat(end) for end in ends)
    assert first.keys() == second.keys()
    assert all(
        torch.equal(first[name], second[name])
        if isinstance(first[name], Tensor)
        else first[name] == second[name]
        for name in first
    )
    assert curve(killed) == curve(undisturbed)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"preset": "huge"},
            "preset 'huge': there is no such one; there are student-base, student-large, student-small",
        ),
        ({"recipe": "snow"}, "recipe 'snow': there is no such one; there are mixed, light"),
        ({"optimizer": "sgd"}, "optimizer 'sgd': there is no such one; there are auto, adamw, muon"),
        ({"init": "nowhere.safetensors"}, "nowhere.safetensors: no such file"),
        ({"warm_up": 0}, "warm_up 0: at least 1"),
        ({"validate_every": 0}, "validate_every 0: at least 1"),
    ],
)
def test_what_cannot_be_trained_is_one_line(data: Path, tmp_path: Path, monkeypatch, changes, message):
    monkeypatch.setattr(sys, "argv", command(CONFIG, data, tmp_path, **changes)[2:])
    with pytest.raises(SystemExit) as ended:  # Python prints the line and exits with 1
        loop.main()
    assert str(ended.value.code).startswith(message)
    assert "\n" not in str(ended.value.code)


@pytest.mark.slow
def test_two_processes_train_one_network(data: Path, tmp_path: Path):
    run = subprocess.run(
        command(CONFIG, data, tmp_path / "two", devices=2, preset="afr-net-tiny", steps=4, finish=0.5),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "two" / "afr-net-tiny.safetensors").exists()
    assert torch.load(tmp_path / "two" / "checkpoint.pt", weights_only=True)["step"] == 4


def test_the_folder_of_the_tests_trains_on_every_kind_of_rain(data: Path):
    training = load_training_data(data, held_out=False)
    assert (training.layer_of >= 0).any()
    assert (training.layer_of < 0).any()
    assert training.streaks.pixels.max() > 50

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.evaluation.validation import KINDS
from models.modelfile import pack, read_model_file, write_model_file
from models.networks.base import Network
from models.pairs import RainyPair
from models.rain.recipes import RECIPES
from models.rain.synthesis import training_pairs
from models.rng import SampleRng
from models.training import loop
from models.training.config import TrainConfig
from models.training.fabric import launch_fabric
from models.training.loop import fit
from models.training.same_settings import CheckpointMismatch
from models.training.semi.collapse import Collapsed
from models.training.semi.config import SemiConfig
from models.training.semi.data import RealRain, Targets
from models.training.semi.objective import SemiSupervised, freeze_norms
from models.training.semi.rain_critic import RainCritic
from models.training.state import State
from tests.support.samples.networks import rainy_pair, random_network
from tests.support.samples.train_configs import brief_training
from tests.support.worlds.rainy import noise, small_world, write_training_folder
from tests.support.worlds.semi import bank_of, real_rain

TRAIN = brief_training(crop=48, warm_up=1, finish=0.0, validation_photographs=2)
EVERYTHING = SemiConfig(streak_contrast=0.1, background_contrast=0.1, watch_every=2)
NAMES = {"psnr", "rerain", "temporal", "streak_contrast", "background_contrast", "temporal_contrast"}


def critic() -> RainCritic:
    torch.manual_seed(0)
    return RainCritic().eval().requires_grad_(False)


def objective(config: SemiConfig, data: RealRain | None = None) -> SemiSupervised:
    torch.manual_seed(0)
    return SemiSupervised(config, data or real_rain(), critic())


def labelled(step: int = 0, count: int = 4) -> RainyPair:
    samples = torch.arange(step * count, (step + 1) * count)
    return training_pairs(small_world(), SampleRng(1, samples), RECIPES["heavy"], TRAIN.crop)


def terms_of(
    config: SemiConfig, network: nn.Module, data: RealRain | None = None, step: int = 0
) -> dict[str, Tensor]:
    return objective(config, data)(network, TRAIN, step, labelled(step))


def trainable(preset: str = "student-tiny") -> Network:
    return random_network(preset).train().requires_grad_(True)


def test_every_term_is_there_and_reaches_the_network():
    network = trainable()
    terms = terms_of(EVERYTHING, network, real_rain(with_targets=True), step=3)
    assert set(terms) == NAMES
    for name, term in terms.items():
        gradients = torch.autograd.grad(term, list(network.parameters()), retain_graph=True)
        assert all(gradient.any() for gradient in gradients), name


@pytest.mark.parametrize("preset", ["drd-net-tiny", "afr-net-tiny"])
def test_other_networks_train_with_it(preset: str):
    terms = terms_of(SemiConfig(streak_contrast=0.1), trainable(preset))
    assert {"rerain", "streak_contrast"} < set(terms)
    assert all(math.isfinite(term.item()) for term in terms.values())


def test_re_rain_and_temporal_backgrounds_are_on_and_contrast_is_off_unless_asked_for():
    assert set(terms_of(SemiConfig(), trainable())) == {"charbonnier", "frequency", "rerain"}
    with_targets = terms_of(SemiConfig(), trainable(), real_rain(with_targets=True))
    assert set(with_targets) == {"charbonnier", "frequency", "rerain", "temporal"}
    assert set(terms_of(SemiConfig(rerain=0.0), trainable())) == {"charbonnier", "frequency"}


def test_a_term_that_is_switched_on_changes_no_other():
    network = trainable()
    alone, several = terms_of(SemiConfig(), network), terms_of(EVERYTHING, network)
    assert all(torch.equal(term, several[name]) for name, term in alone.items())


def test_background_contrast_is_for_photographs_with_rain_in_them_and_as_far_as_targets_are_trusted():
    network = trainable()

    def contrast(rain: int, confidence: int) -> float:
        rainy, target = (noise(64, 72, 3, low=80, high=90) + more for more in (rain, 0))
        sure = torch.full((64, 72, 1), confidence, dtype=torch.uint8)
        backgrounds = Targets(bank_of([rainy]), bank_of([target]), bank_of([sure]))
        terms = terms_of(EVERYTHING, network, replace(real_rain(), temporal=backgrounds), step=1)
        return terms["temporal_contrast"].item()

    assert contrast(1, 255) == 0
    assert contrast(9, 255) > 0
    assert contrast(9, 51) == pytest.approx(contrast(9, 255) / 5, rel=1e-4)


def test_re_rain_takes_its_share_of_the_batch():
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[int] = []

        def forward(self, rainy: Tensor) -> Tensor:
            self.seen.append(len(rainy))
            return 0.9 * rainy

        def loss_terms(self, pair: RainyPair, reconstruction: Any = None) -> dict[str, Tensor]:
            return {"labelled": (self(pair.rainy) - pair.clean).abs().mean()}

    for share, counts in ((0.5, [2, 2]), (0.25, [3, 1]), (0.9, [1, 3])):
        network = Counting()
        terms = terms_of(SemiConfig(rerain_share=share), network, step=1)  # not measured at that step
        assert network.seen == counts
        assert set(terms) == {"labelled", "rerain"}


def test_targets_of_other_sizes_are_refused():
    rainy, other = bank_of([noise(32, 40, 3)]), bank_of([noise(40, 32, 3)])
    with pytest.raises(ValueError, match="confidence differ in number or size"):
        Targets(rainy, rainy, other)


def test_impossible_settings_are_refused():
    for setting, value in (
        ("rerain", -1.0),
        ("temporal", math.nan),
        ("rerain_share", 1.0),
        ("watch_every", 0),
    ):
        with pytest.raises(ValueError, match=f"{setting} {value}"):
            replace(SemiConfig(), **{setting: value})
    with pytest.raises(ValueError, match="needs a rain critic"):
        SemiSupervised(EVERYTHING, real_rain())


class Slides(Network):
    """Removes half of the rain at first, and drifts to another output."""

    def __init__(self, end: str) -> None:
        super().__init__()
        self.end, self.calls = end, 0

    def forward(self, rainy: Tensor) -> Tensor:
        self.calls += 1
        share = min(self.calls / 20, 1.0)
        ends = {"black": torch.zeros_like(rainy), "identity": rainy, "everything is rain": rainy - 0.4}
        return torch.lerp(rainy - 0.05, ends[self.end], share)

    def loss_terms(self, pair: RainyPair, reconstruction: Any = None) -> dict[str, Tensor]:
        return {"error": (self(pair.rainy) - pair.clean).abs().mean()}


def looks(semi: SemiSupervised, network: nn.Module, steps: int) -> None:
    pair = rainy_pair(TRAIN.crop, TRAIN.crop, 4)
    for step in range(steps):
        semi(network, TRAIN, step, pair)


@pytest.mark.parametrize("end", ["black", "identity", "everything is rain"])
def test_a_network_that_slides_away_is_a_collapse(end: str):
    semi = objective(SemiConfig(rerain=0.0, watch_every=1))
    with pytest.raises(Collapsed, match="collapse at step"):
        looks(semi, Slides(end), 60)


def test_an_unchanged_network_is_not_a_collapse():
    looks(objective(SemiConfig(rerain=0.0, watch_every=1)), random_network("student-tiny"), 10)


def test_norms_are_frozen_with_statistics_and_scales():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).train()
    before = network[1].running_mean.clone()
    freeze_norms(network)
    network(torch.rand(2, 3, 4, 4)).sum().backward()
    assert torch.equal(network[1].running_mean, before)
    assert network[1].weight.grad is None
    assert network[0].weight.grad is not None


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_folder(tmp_path_factory.mktemp("data"))


def trained(config: TrainConfig, data: Path, out: Path, semi: SemiSupervised) -> State:
    out.mkdir(exist_ok=True)
    fabric = launch_fabric("cpu", config.precision)
    return fit(fabric, config, data, out, objective=semi)


def flat(tree: Any, name: str = "") -> dict[str, Any]:
    if isinstance(tree, dict | list | tuple):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return {path: leaf for key, part in items for path, leaf in flat(part, f"{name}/{key}").items()}
    return {name: tree}


def test_an_interrupted_training_ends_as_an_uninterrupted_one(data: Path, tmp_path: Path):
    """All terms are on: the contrast head and the history of the collapse watch are part of the checkpoint."""
    start = tmp_path / "start.safetensors"
    write_model_file(pack(random_network("student-tiny"), {}), start)
    config = replace(TRAIN, precision="bf16-mixed", init=str(start))
    rain = real_rain(with_targets=True)
    trained(config, data, tmp_path / "whole", objective(EVERYTHING, rain))
    take = loop.step

    def step(fabric: Any, config: Any, state: State, pair: Any) -> Any:
        if state.step == 3:
            raise KeyboardInterrupt
        return take(fabric, config, state, pair)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "step", step)
        with pytest.raises(KeyboardInterrupt):
            trained(config, data, tmp_path / "cut", objective(EVERYTHING, rain))
    trained(config, data, tmp_path / "cut", objective(EVERYTHING, rain))
    ours, theirs = (flat(torch.load(tmp_path / name / "checkpoint.pt")) for name in ("cut", "whole"))
    assert ours.keys() == theirs.keys()
    assert any("streak_contrast" in name for name in ours)
    for name, value in ours.items():
        same = torch.equal(value, theirs[name]) if isinstance(value, Tensor) else value == theirs[name]
        assert same, name
    assert (tmp_path / "cut" / "curve.csv").read_text() == (tmp_path / "whole" / "curve.csv").read_text()


def test_other_terms_or_other_rain_are_refused_on_resume(data: Path, tmp_path: Path):
    short = replace(TRAIN, steps=1, validate_every=1)
    trained(short, data, tmp_path / "out", objective(SemiConfig()))
    facts = read_model_file(tmp_path / "out" / "student-tiny.safetensors").config
    assert b'"rerain": 1.0' in facts
    for other, words in (
        (objective(SemiConfig(rerain=0.5)), "rerain is 0.5 here and 1.0 in .*: use the same settings"),
        (objective(SemiConfig(), real_rain(with_targets=True)), "real_rain is .* here and .* in "),
    ):
        with pytest.raises(CheckpointMismatch, match=words):
            trained(short, data, tmp_path / "out", other)


def test_weights_are_chosen_on_real_rain_too(data: Path, tmp_path: Path):
    trained(
        replace(TRAIN, steps=2), data, tmp_path / "out", objective(SemiConfig(), real_rain(with_targets=True))
    )
    columns = (tmp_path / "out" / "curve.csv").read_text().splitlines()[0].split(",")
    assert columns[-len(KINDS) - 2 :] == [*KINDS, "rerained", "temporal"]

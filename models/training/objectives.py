"""Objectives of a training (`Objective`): the network's own loss on labelled pairs, or a replacement for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from models.evaluation.validation import Score, ValidationSet, validate
from models.networks.losses import psnr_terms
from models.pairs import RainyPair
from models.training.config import TrainConfig


class Objective(nn.Module, ABC):
    """The loss that a training minimises.

    Parameters of an objective are trained together with the network's, and its buffers are part of every
    checkpoint; none of them ships. Every process must build the same one, and its random numbers must depend on
    the seed and the step alone, so that a resumed training is exact.
    """

    @property
    def facts(self) -> dict[str, Any]:
        """Values that checkpoints and model files record; a training resumes only with the same ones."""
        return {}

    def trainable_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that are trained; others, such as those of a teacher, do not change."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    @abstractmethod
    def forward(self, network: Any, config: TrainConfig, step: int, pair: RainyPair) -> dict[str, Tensor]:
        """Return the named, weighted terms whose sum is minimised at a step.

        Parameters
        ----------
        network : module
            The network in training, wrapped by Fabric.
        config : TrainConfig
            Hyper-parameters.
        step : int
            Number of the step, from 0.
        pair : RainyPair
            Labelled crops of this step.
        """

    def score(self, network: nn.Module, pairs: ValidationSet) -> Score:
        """Score weights on the validation set; the training keeps the best ones."""
        return validate(network, pairs)


class Supervised(Objective):
    """The network's own loss on labelled pairs during the warm-up, then PSNR per photograph."""

    def forward(self, network: Any, config: TrainConfig, step: int, pair: RainyPair) -> dict[str, Tensor]:
        """Return the terms; see `Objective.forward`."""
        terms: dict[str, Tensor] = network.loss_terms(pair, psnr_terms if config.by_psnr(step) else None)
        return terms

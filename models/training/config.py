"""Hyper-parameters of a training (`TrainConfig`), stored in its checkpoints, model files and records."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from models.errors import unknown_name
from models.networks.architectures import architecture_of, presets
from models.rain.recipes import RECIPES
from models.training.ranges import COUNT, NOT_NEGATIVE, POSITIVE, SHARE, UNIT, Range, check_ranges

OPTIMIZERS = ("auto", "adamw", "muon")
MUON_TRAINS = ("student", "drd-net")
"""Architectures that Muon trains from new weights; an AFR-Net of dense blocks does not learn with it."""
PRECISIONS = ("auto", "bf16-mixed", "32-true", "16-mixed")
RANGES = {
    "steps": COUNT,
    "learning_rate": POSITIVE,
    "muon_rate": POSITIVE,
    "warm_up": COUNT,
    "cool_down": SHARE,
    "finish": SHARE,
    "ema": UNIT,
    "clip": POSITIVE,
    "seed": Range(high=2**32 - 1),  # Fabric replaces any other seed with 0
    "validate_every": COUNT,
    "validation_photographs": COUNT,
    "patience": COUNT,
    "save_seconds": NOT_NEGATIVE,
}
"""Valid values of the numbers."""


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Hyper-parameters of one training."""

    preset: str = "student-base"
    """Network and its size: <architecture>-<size>."""
    init: str = ""
    """Weights file to start from; without one, the weights are initialised at random."""
    recipe: str = "mixed"
    """Mixture of rain to train on."""
    adaptive_shares: bool = False
    """After each validation, train more on the kinds of rain on which the network leads least."""
    steps: int = 40_000
    """Length of the training in steps."""
    batch: int = 16
    """Crops per step and process."""
    crop: int = 128
    """Side of the crops in pixels, a multiple of 8."""
    optimizer: str = "auto"
    """Optimizer: adamw, muon, or auto, which uses Muon for new weights and AdamW for given ones, where each is
    faster."""
    learning_rate: float = 1e-3
    """Peak learning rate of AdamW; with Muon, of stem, heads, biases and gates."""
    muon_rate: float = 0.01
    """Peak learning rate of the kernels that Muon trains."""
    warm_up: int = 500
    """Steps in which the learning rate rises and the network's own loss is minimised instead of PSNR."""
    cool_down: float = 0.3
    """Last share of the steps, 0 to 1, in which the learning rate falls to 0 along a cosine."""
    finish: float = 0.1
    """Last share of the steps, 0 to 1, which use a quarter as many crops of twice the side."""
    ema: float = 0.999
    """Decay per step of the moving average of the weights, 0 to 1; the average is validated and saved."""
    clip: float = 0.5
    """Norm to which the gradients of one step are clipped."""
    seed: int = 1
    """Seed of weights, crops and rain."""
    validate_every: int = 1000
    """Steps between two validations."""
    validation_photographs: int = 20
    """Number of held-out photographs of each validation."""
    patience: int = 5
    """Number of consecutive validations, each worse than the one before, after which the training stops."""
    save_seconds: float = 120.0
    """Seconds between two checkpoints."""
    precision: str = "auto"
    """Precision, in Fabric's terms: bf16-mixed, 32-true, 16-mixed, or auto, which uses bf16-mixed on devices that
    compute in bf16 and 32-true elsewhere, where bf16 would be many times slower."""
    compile: bool = False
    """Compile the step with torch.compile if there is a compiler: faster, after about a minute."""

    def __post_init__(self) -> None:
        """Check the settings.

        Raises
        ------
        ValueError
            If a setting is invalid; the message names it, and the choices or the range.
        """
        for name, value, known in (
            ("preset", self.preset, presets()),
            ("recipe", self.recipe, RECIPES),
            ("optimizer", self.optimizer, OPTIMIZERS),
            ("precision", self.precision, PRECISIONS),
        ):
            if value not in known:
                raise ValueError(unknown_name(name, value, known))
        if self.crop % 8 or self.crop <= 0 or self.batch <= 0:
            raise ValueError(
                f"crop {self.crop}, batch {self.batch}: crop must be a positive multiple of 8, batch positive"
            )
        check_ranges(asdict(self), RANGES)

    @property
    def by_muon(self) -> bool:
        """Whether Muon trains the kernels."""
        if self.optimizer == "auto":
            return not self.init and architecture_of(presets()[self.preset]).name in MUON_TRAINS
        return self.optimizer == "muon"

    def by_psnr(self, step: int) -> bool:
        """Return whether a step minimises PSNR per photograph: in pixel losses, heavy rain dominates light rain."""
        return step >= self.warm_up or self.finishing(step)

    def finishing(self, step: int) -> bool:
        """Return whether a step belongs to the last part of the training, on large crops."""
        return step >= self.steps * (1 - self.finish)

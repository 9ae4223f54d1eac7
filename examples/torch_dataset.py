"""Train on the pool with PyTorch: `python examples/torch_dataset.py /absolute/path/of/workspace`."""

import sys

import polars as pl
import torch
from torch.utils.data import DataLoader, Dataset

from infra.catalog.pool import Pool


class PoolCrops(Dataset[torch.Tensor]):
    """Training crops of the pool, float32 in [0, 1], (3, 512, 512)."""

    def __init__(self, workspace: str) -> None:
        self.pool = Pool(workspace)
        self.crops: pl.DataFrame = self.pool.crops("train")

    def __len__(self) -> int:
        return self.crops.height

    def __getitem__(self, index: int) -> torch.Tensor:
        pixels = self.pool.pixels(self.crops[index : index + 1])[0]  # (512, 512, 3) uint8
        return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


crops = PoolCrops(sys.argv[1])
for batch in DataLoader(crops, batch_size=4, shuffle=True):
    print(f"{len(crops)} crops; a batch is {tuple(batch.shape)}")
    break

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from models.rain.banks import bank_of, load_training_data, sample
from tests.support.worlds.rainy import noise, small_world, write_training_folder

SMALL, LARGE = noise(5, 7, 3, seed=1), noise(12, 9, 3, seed=2)
BANK = bank_of([SMALL, LARGE])


def grid_of(x: Tensor, y: Tensor) -> Tensor:
    """Return all points of the columns x and rows y, (1, H, W, 2)."""
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    return torch.stack((columns, rows), dim=-1)[None].float()


def test_a_picture_comes_back_whole():
    assert len(BANK) == 2
    for number, picture in enumerate((SMALL, LARGE)):
        assert torch.equal(BANK.picture(number), picture.permute(2, 0, 1).float() / 255)


def test_whole_points_give_exact_pixels():
    for number, picture in enumerate((SMALL, LARGE)):
        grid = grid_of(torch.arange(picture.shape[1]), torch.arange(picture.shape[0]))
        assert torch.equal(sample(BANK, torch.tensor([number]), grid)[0], BANK.picture(number))


def test_every_sample_of_a_batch_has_its_own_picture():
    grid = grid_of(torch.arange(7), torch.arange(5)).expand(3, -1, -1, -1)
    drawn = sample(BANK, torch.tensor([1, 0, 1]), grid)
    assert torch.equal(drawn[0], BANK.picture(1)[:, :5, :7])
    assert torch.equal(drawn[1], BANK.picture(0))
    assert torch.equal(drawn[2], drawn[0])


def test_points_outside_are_mirrored_about_the_edge_pixels():
    grid = grid_of(torch.arange(-9, 20), torch.arange(-6, 13))
    padded = np.pad(SMALL.numpy(), ((6, 8), (9, 13), (0, 0)), mode="reflect")
    expected = torch.from_numpy(padded).permute(2, 0, 1).float() / 255
    assert torch.equal(sample(BANK, torch.tensor([0]), grid)[0], expected)


def test_points_between_pixels_are_bilinear():
    drawn = sample(BANK, torch.tensor([0]), torch.tensor([[[[2.25, 3.5]]]]))[0, :, 0, 0]
    near = BANK.picture(0)[:, 3:5, 2:4]
    expected = (0.75 * near[:, :, 0] + 0.25 * near[:, :, 1]).mean(1)
    torch.testing.assert_close(drawn, expected)


def test_a_picture_of_one_pixel():
    bank = bank_of([noise(1, 1, 1)])
    drawn = sample(bank, torch.tensor([0]), grid_of(torch.arange(-2, 3), torch.arange(-1, 2)))
    assert (drawn == bank.picture(0)).all()


def test_moving_keeps_everything():
    world = small_world()
    moved = world.to(torch.device("cpu"))
    assert torch.equal(moved.photographs.pixels, world.photographs.pixels)
    assert torch.equal(moved.layer_of, world.layer_of)


def test_a_training_folder_is_split(tmp_path: Path):
    root = write_training_folder(tmp_path)
    training, held_out = (load_training_data(root, held_out=which) for which in (False, True))
    assert (len(training.photographs), len(held_out.photographs)) == (9, 2)  # numbers 0 and 10 are held out
    assert held_out.layer_of.tolist() == [0, 1]
    assert training.layer_of.tolist() == [-1, 0, -1, 1, -1, 2, -1, 3, -1]
    assert (len(training.streaks), len(held_out.streaks)) == (2 * (4 + 1), 2 * (2 + 1))
    assert not shares_a_picture(training.photographs, held_out.photographs)
    assert not shares_a_picture(training.streaks, held_out.streaks)


def shares_a_picture(first, second) -> bool:
    pictures = [[bank.picture(i) for i in range(len(bank))] for bank in (first, second)]
    return any(torch.equal(one, other) for one in pictures[0] for other in pictures[1])


def test_layers_belong_to_their_photographs_and_come_at_half_size_too(tmp_path: Path):
    root = write_training_folder(tmp_path)
    training = load_training_data(root, held_out=False)
    with Image.open(root / "streaks" / "s2.png") as image:  # streaks.csv: for 02.png
        layer = torch.from_numpy(np.asarray(image).copy()).float() / 255
    assert torch.equal(training.layers.picture(0)[0], layer)
    halved = training.streaks.picture(len(training.streaks) // 2)[0]
    blocks = layer.reshape(36, 2, 40, 2).mean((1, 3))
    torch.testing.assert_close(halved, blocks, atol=0.5 / 255 + 1e-6, rtol=0)


def test_a_folder_without_recorded_layers(tmp_path: Path):
    root = write_training_folder(tmp_path)
    (root / "streaks.csv").unlink()
    training = load_training_data(root, held_out=False)
    assert (training.layer_of == -1).all()


def test_an_empty_folder_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        load_training_data(tmp_path, held_out=False)


def test_a_folder_is_read_once_until_it_changes(tmp_path: Path):
    root = write_training_folder(tmp_path)
    first = load_training_data(root, held_out=False)
    assert load_training_data(root, held_out=False) is first
    assert load_training_data(root, held_out=True) is not first
    added = root / "clean" / "zzz.png"
    Image.new("RGB", (80, 72), (10, 20, 30)).save(added)
    assert len(load_training_data(root, held_out=False).photographs) == len(first.photographs) + 1

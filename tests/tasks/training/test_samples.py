from __future__ import annotations

from pathlib import Path

from models.rain.banks import load_training_data, photographs_of
from models.training.distill.teacher_targets import read_photographs
from tasks.media.samples import PHOTOGRAPHS
from tasks.training.samples import HELD_OUT_PICTURE, PICTURES, make_training_samples


def test_the_held_out_picture_is_the_validation_split(tmp_path: Path):
    data, unlabelled = make_training_samples(str(tmp_path))
    names = {split: {name[3:-4] for name in photographs_of(data, held_out=split)} for split in (True, False)}
    assert names == {True: {HELD_OUT_PICTURE}, False: set(PICTURES)}
    assert not names[True] & set(PHOTOGRAPHS)
    assert not names[False] & set(PHOTOGRAPHS)
    for split in (True, False):
        loaded = load_training_data(data, held_out=split)
        assert loaded.streaks.pixels.max() > 30
    rainy = read_photographs(unlabelled)
    assert len(rainy) == len(PICTURES)
    dry = read_photographs(data / "clean")
    names = sorted(path.name for path in (data / "clean").iterdir())
    for path, pixels in zip(sorted(unlabelled.iterdir()), rainy, strict=True):
        assert (pixels.astype(int) - dry[names.index(path.name)]).mean() > 0.5


def test_existing_samples_stay(tmp_path: Path):
    data, _ = make_training_samples(str(tmp_path))
    path = next((data / "clean").iterdir())
    path.write_bytes(b"mine")
    make_training_samples(str(tmp_path))
    assert path.read_bytes() == b"mine"

"""`from models import derain`: paths, PIL images, arrays and batches, without a workspace."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from models import derain
from models.engine import Engine, choose_device, fast_dtype
from models.modelfile import build, read_model_file
from models.photographs import PhotographRefused
from models.pictures import upright_rgb
from models.shipped import WEIGHTS, NetworkUnknown, network_path, shipped_networks
from tests.support.servers.server_processes import ROOT

SMALL = "student-small"
RAINY = np.random.default_rng(3).integers(0, 256, (17, 26, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    device = choose_device("auto")
    network = build(read_model_file(WEIGHTS / f"{SMALL}.safetensors"))
    return Engine(network, device, fast_dtype(device)).derain(RAINY[None])[0]


def test_a_uint8_array_becomes_a_uint8_array(expected: np.ndarray) -> None:
    derained = derain(RAINY, SMALL)
    assert derained.dtype == np.uint8
    assert np.array_equal(derained, expected)
    assert not np.array_equal(derained, RAINY)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_float_array_keeps_its_dtype_and_range(dtype: type, expected: np.ndarray) -> None:
    derained = derain((RAINY / 255).astype(dtype), SMALL)
    assert derained.dtype == dtype
    assert np.array_equal((derained * 255).round().astype(np.uint8), expected)


def test_a_batch_becomes_a_batch(expected: np.ndarray) -> None:
    derained = derain(np.stack([RAINY, RAINY[::-1], RAINY]), SMALL)
    assert derained.shape == (3, *RAINY.shape)
    assert np.array_equal(derained[0], expected)
    assert np.array_equal(derained[2], expected)


def test_a_pil_image_becomes_an_upright_rgb_image(expected: np.ndarray) -> None:
    derained = derain(Image.fromarray(RAINY), SMALL)
    assert derained.mode == "RGB"
    assert np.array_equal(np.asarray(derained), expected)


def test_a_path_is_read_upright(tmp_path: Path, expected: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # as a camera held upright writes it: turned when it is shown
    turned = Image.fromarray(np.rot90(RAINY).copy())
    turned.save(tmp_path / "rainy.png", exif=exif)
    derained = derain(tmp_path / "rainy.png", SMALL)
    assert np.array_equal(np.asarray(derained), expected)
    assert derain(str(tmp_path / "rainy.png"), SMALL).size == (26, 17)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bits_of_grey_are_reduced_to_eight(suffix: str, tmp_path: Path) -> None:
    wide = np.asarray(Image.fromarray(RAINY).convert("L")).astype(np.uint16) * 257
    Image.fromarray(wide).save(tmp_path / f"grey.{suffix}")
    grey = Image.fromarray((wide >> 8).astype(np.uint8)).convert("RGB")
    assert np.array_equal(derain(tmp_path / f"grey.{suffix}", SMALL), derain(np.asarray(grey), SMALL))


@pytest.mark.parametrize(
    ("photometric", "bits"), [("minisblack", 12), ("minisblack", 16), ("miniswhite", 16)]
)
def test_wide_grey_of_a_tiff_is_read_by_its_own_scale(photometric: str, bits: int) -> None:
    levels = np.arange(2**bits, step=2 ** (bits - 8), dtype=np.uint16).reshape(16, 16)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, levels, photometric=photometric, bitspersample=bits, metadata=None)
    eight = (levels >> (bits - 8)).astype(np.uint8)
    wanted = 255 - eight if photometric == "miniswhite" else eight
    np.testing.assert_array_equal(np.asarray(upright_rgb(Image.open(buffer)))[..., 0], wanted)


def test_grey_into_which_alpha_is_multiplied_becomes_rgb() -> None:
    pixels = np.full((8, 8, 2), (50, 128), np.uint8)
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer, pixels, photometric="minisblack", extrasamples=["assocalpha"], planarconfig="contig", metadata=None
    )  # fmt: skip
    np.testing.assert_array_equal(np.asarray(upright_rgb(Image.open(buffer))), 50 * 255 // 128)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_colour_profile_and_exif_are_carried_and_the_orientation_is_applied(
    suffix: str, tmp_path: Path
) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(RAINY).save(path, icc_profile=profile, exif=exif)
    derained = derain(path, SMALL)
    derained.save(tmp_path / f"derained.{suffix}", **derained.info)
    with Image.open(tmp_path / f"derained.{suffix}") as saved:
        assert saved.info["icc_profile"] == profile
        assert saved.getexif().get(0x010F) == (None if suffix == "tif" else "a camera")
        assert saved.getexif().get(0x0112, 1) == 1
        assert saved.size == (17, 26)


def test_a_profile_of_grey_is_not_attached_to_colours(tmp_path: Path) -> None:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[16:20] = b"GRAY"
    Image.fromarray(RAINY).convert("L").save(tmp_path / "grey.png", icc_profile=bytes(profile))
    assert "icc_profile" not in derain(tmp_path / "grey.png", SMALL).info


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.zeros((4, 4), np.uint8), r"shape \(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), r"shape \(4, 4, 4\)"),
        (np.zeros((0, 4, 3), np.uint8), "at least one pixel"),
        (np.zeros((4, 4, 3), np.int64), "int64"),
        (np.full((4, 4, 3), 200.0), "divide by 255"),
        (np.full((4, 4, 3), np.nan), "NaN"),
        (7, "int: derain takes a path"),
        (Image.new("F", (8, 8)), r"floats \(mode F\) has no known range"),
        ("s3://bucket/x.jpg", r"s3://bucket/x\.jpg: derain takes local files"),
        (ROOT, "a folder; derain takes one file"),
    ],
)
def test_an_argument_that_is_not_a_photograph_is_refused_in_one_line(image: object, says: str) -> None:
    with pytest.raises(PhotographRefused, match=says) as refused:
        derain(image, SMALL)  # type: ignore[call-overload]
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_an_image_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(PhotographRefused, match=r"notes\.txt: not an image"):
        derain(tmp_path / "notes.txt", SMALL)


def test_a_truncated_image_is_refused_by_name(tmp_path: Path) -> None:
    Image.fromarray(np.tile(RAINY, (9, 9, 1))).save(tmp_path / "whole.jpg")
    (tmp_path / "half.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:-4000])
    with pytest.raises(PhotographRefused, match=r"half\.jpg: image file is truncated"):
        derain(tmp_path / "half.jpg", SMALL)


@pytest.mark.parametrize(("mode", "kind"), [("F", "floats"), ("I", "integers of 32 bits")])
def test_an_image_without_a_known_range_is_refused_by_name(mode: str, kind: str, tmp_path: Path) -> None:
    Image.new(mode, (8, 8)).save(tmp_path / "wide.tif")
    with pytest.raises(
        PhotographRefused, match=rf"^{tmp_path}/wide\.tif: an image of {kind} \(mode {mode}\)"
    ):
        derain(tmp_path / "wide.tif", SMALL)


def test_a_misspelt_network_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(NetworkUnknown, match=r"student-smal: .*did you mean student-small\?"):
        derain(RAINY, "student-smal")


def test_every_network_that_ships_has_a_name_and_weights() -> None:
    networks = shipped_networks()
    assert networks[0].name == "student-large"
    assert {"student-small", "afr-net-large", "drd-net-slim"} < {network.name for network in networks}
    assert all(network_path(network.name) == network.path for network in networks)
    assert all(network.path.is_file() for network in networks)


def test_importing_the_function_does_not_import_torch() -> None:
    script = (
        "import sys; from models import derain; print('torch' in sys.modules, 'PIL.Image' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == "False False"

"""Pictures of formats that are not read: the reason names the format and advises on converting it."""

import pytest

from tasks.codec import Export, ImageRejected, decode, dropped
from tasks.codec.conversion import RAW, way_out
from tests.support.samples.images import LIMIT, encoded, picture


def reason_of(data: bytes) -> str:
    with pytest.raises(ImageRejected) as caught:
        decode(data, LIMIT)
    return caught.value.reason


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (encoded(picture("RGB"), "ICO"), "icon"),
        (encoded(picture("RGB"), "TGA"), "Targa"),
        (encoded(picture("RGB"), "PCX"), "PCX"),
        (encoded(picture("RGB"), "SGI"), "SGI image"),
        (encoded(picture("RGB"), "DDS"), "DDS"),
        (encoded(picture("RGB"), "QOI"), "QOI"),
        (b"P7\nWIDTH 1\nHEIGHT 1\n", "PAM"),
        (b"Pf\n1 1\n-1.0\n\0\0\0\0", "PFM"),
        (b"gimp xcf v011\0", "GIMP image"),
        (bytes(128) + b"DICM\2\0", "DICOM"),
        (b"SIMPLE  =                    T", "FITS"),
    ],
)
def test_a_picture_of_an_unread_format_is_not_called_no_image(data, kind):
    assert reason_of(data) == f"not supported: {kind} ({way_out(kind)})"


def test_a_raw_file_of_canon_is_not_its_preview():
    preview = encoded(picture("RGB"), "TIFF")
    start = int.from_bytes(preview[4:8], "little")
    assert (
        reason_of(preview[:8] + b"CR\2\0" + preview[start:])
        == f"not supported: raw camera file ({way_out(RAW)})"
    )


def test_faults_of_a_tiff_are_not_written_to_the_terminal(capfd):
    turned_wrongly = encoded(picture("RGB"), "TIFF", tiffinfo={274: 9})
    assert decode(turned_wrongly, LIMIT).height == 24
    data = encoded(picture("RGB", height=300), "TIFF", compression="tiff_lzw")
    with pytest.raises(ImageRejected, match="damaged TIFF"):
        decode(data[: len(data) // 2] + bytes(len(data) // 2), LIMIT)
    assert capfd.readouterr().err == ""


def test_layers_of_a_tiff_are_said_to_be_dropped():
    data = encoded(picture("RGB"), "TIFF", tiffinfo={37724: b"Adobe Photoshop Document Data Block\0"})
    assert dropped(decode(data, LIMIT), Export("same")) == ("layers",)

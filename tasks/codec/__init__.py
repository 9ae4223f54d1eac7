"""The image codec: bytes of any photograph in, pixels for the network, bytes of its derained version out.

Pure functions; no storage. What becomes of each kind of input (`decode`, then `encode`):

=================================  ==========================================================================
orientation (EXIF, TIFF, AVIF)     applied to the pixels; the tag is removed, so no viewer turns them again
ICC profile                        kept where it describes the output: a CMYK profile is dropped with the CMYK
EXIF                               kept byte for byte, less orientation and thumbnail (which shows the rain);
                                   between TIFF and the others, what describes the photograph is carried over
XMP                                kept, its orientation put right; not where it describes what is dropped
IPTC, comment                      kept in JPEG, IPTC in TIFF as well
gAMA, cHRM, sRGB, cICP, texts      kept in PNG
GeoTIFF                            kept in TIFF, unless the picture was turned
gain map, further pictures, video  dropped; of a camera's JPEG with further pictures (MPO), the first is it
reduced copies and masks of a TIFF dropped
DPI                                kept, the axes exchanged where a quarter turn exchanges them
grey, 1 bit                        grey, eight bits
16 bits                            eight bits: the high byte, grey or colour (12-bit TIFF: the high eight)
palette                            RGB, or RGBA where an entry is transparent
CMYK, YCCK                         RGB, by plain arithmetic and without colour management
alpha (LA, RGBA, a tRNS colour)    kept untouched; forced to JPEG: composited on white
wide integers, floats, LAB         rejected
animations, pages, raw cameras     rejected
=================================  ==========================================================================

What becomes of each format (`Export`): "same" writes JPEG, PNG, WebP, TIFF and BMP back as they came: JPEG
with the source's chroma and progression, lossless WebP losslessly, compressed TIFF compressed, `quality` for
the lossy ones. From the others that can be read (GIF, AVIF, JPEG 2000, PPM), and where a picture is too large
for the format, only "png" and "jpeg" lead out, and the reason says so. The content decides what an image is,
never its name. A JPEG made of another format keeps full chroma (4:4:4).

What an output lacks is said by `dropped`, and in its row. A file that is valid, and of a kind that is not read,
is rejected as "not supported: ..."; "damaged" and "truncated" are said of damage alone.

Both directions are deterministic byte for byte. `decode` raises `ImageRejected` and nothing else for a fault
of the image; `MemoryError` is a fault of the machine and passes through.
"""

from __future__ import annotations

from tasks.codec.claims import claimed_pixels
from tasks.codec.decoding import decode
from tasks.codec.encoding import dropped, encode
from tasks.codec.exports import Export, require_exportable
from tasks.codec.keys import output_key
from tasks.codec.pictures import ImageRejected, Picture, PictureForm

__all__ = [
    "Export",
    "ImageRejected",
    "Picture",
    "PictureForm",
    "claimed_pixels",
    "decode",
    "dropped",
    "encode",
    "output_key",
    "require_exportable",
]

"""The image codec: decode photographs into pixels for the network, and encode their derained versions.

Pure functions without storage. What happens to each kind of input (`decode`, then `encode`):

=================================  ==========================================================================
orientation (EXIF, TIFF, AVIF)     applied to the pixels; the tag is removed, so no viewer turns them again
ICC profile                        kept where it describes the output: a CMYK profile is dropped with the CMYK
EXIF                               kept byte for byte, less orientation and thumbnail (which shows the rain);
                                   between TIFF and the others, what describes the photograph is carried over
XMP                                kept with its orientation corrected; dropped where it describes appended data
IPTC, comment                      kept in JPEG, IPTC in TIFF as well
gAMA, cHRM, sRGB, cICP, texts      kept in PNG
GeoTIFF                            kept in TIFF, unless the picture was turned
gain map, appended pictures, video dropped; the first picture of a camera's MPO is derained
further pages of a TIFF            reduced copies and masks are dropped; any other page rejects the file
DPI                                kept, the axes exchanged where a quarter turn exchanges them
grey, 1 bit                        grey, eight bits
16 bits                            eight bits: the high byte, grey or colour (12-bit TIFF: the high eight)
palette                            RGB, or RGBA where an entry is transparent
CMYK, YCCK                         RGB, by plain arithmetic and without colour management
alpha (LA, RGBA, a tRNS colour)    kept untouched; forced to JPEG: composited on white
wide integers, floats, LAB         rejected
animations, raw cameras, HEIC      rejected
=================================  ==========================================================================

What becomes of each format (`Export`): "same" writes JPEG, PNG, WebP, TIFF and BMP back as they came: JPEG
with the source's chroma and progression, lossless WebP losslessly, compressed TIFF compressed, `quality` for
the lossy ones. From the others that can be read (GIF, AVIF, JPEG 2000, PPM), and where a picture is too large
for the format, only "png" and "jpeg" lead out, and the reason says so. The content decides what an image is,
never its name. A JPEG made of another format keeps full chroma (4:4:4).

`dropped` names what an output lacks of its source, and so does its row. A valid file of a kind that is not read is
rejected as "not supported: ..."; only damage is called "damaged" or "truncated".

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

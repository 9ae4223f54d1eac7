"""The image codec: decode photographs into pixels for the network, and encode their derained versions.

Pure functions without storage. What happens to each kind of input (`decode`, then `encode`):

=================================  ==========================================================================
orientation (EXIF, TIFF, AVIF)     applied to the pixels; the tag is removed, so no viewer turns them again
ICC profile                        kept if it describes the output; a CMYK profile is dropped with the CMYK
EXIF                               kept byte for byte, without orientation and thumbnail (which shows the rain);
                                   between TIFF and other formats, tags about the photograph are copied
XMP                                kept with its orientation corrected; dropped if it describes appended data
IPTC, comment                      kept in JPEG, IPTC in TIFF as well
gAMA, cHRM, sRGB, cICP, texts      kept in PNG
GeoTIFF                            kept in TIFF, unless the picture was turned
gain map, appended pictures, video dropped, like sound, thermal data and signatures (C2PA); the first picture of
                                   a camera's MPO is derained
further pages of a TIFF            reduced copies and masks are dropped; any other page rejects the file
DPI                                kept; a quarter turn exchanges the two axes
grey, 1 bit                        grey, eight bits
16 bits                            eight bits: the high byte, grey or colour (12-bit TIFF: the high eight)
palette                            RGB, or RGBA if an entry is transparent
CMYK, YCCK                         RGB, by simple arithmetic without colour management
alpha (LA, RGBA, a tRNS colour)    kept unchanged; composited on white if the output is JPEG
wide integers, floats, LAB         rejected
animations, raw cameras, HEIC      rejected
=================================  ==========================================================================

`Export` determines the format of outputs. "same" writes JPEG, PNG, WebP, TIFF and BMP in the form of the source:
JPEG with the source's chroma subsampling and progression, lossless WebP losslessly, compressed TIFF compressed;
`quality` applies to lossy formats. Other formats that can be read (GIF, AVIF, JPEG 2000, PPM), and pictures that
are too large for their format, can only be written with "png" or "jpeg"; otherwise they are rejected with that
reason. The format is detected from the content, never from the name. A JPEG made from another format keeps full
chroma (4:4:4).

`dropped` and the row of an image name the contents of the source that its output lacks. A valid file of a kind that
is not read is rejected as "not supported: ..."; only damage is called "damaged" or "truncated".

Decoding and encoding are deterministic byte for byte. For a fault of the image, `decode` raises `ImageRejected` and
nothing else; `MemoryError` is a fault of the machine and passes through.
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

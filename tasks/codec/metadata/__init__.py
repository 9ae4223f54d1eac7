"""Metadata of photographs: reading it, correcting it where it describes the pixels, and passing it to outputs."""

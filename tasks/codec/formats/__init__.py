"""File structures of the output formats, and writers for cases that Pillow's writers do not cover."""

"""File structures of the formats that are written back, and writers where Pillow's lack something."""

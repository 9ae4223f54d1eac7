"""Metadata of photographs: what an output keeps, corrected where it describes the pixels."""

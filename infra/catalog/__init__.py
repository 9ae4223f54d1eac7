"""Delta tables under `<workspace>/catalog`, and the Zarr groups that their rows name."""

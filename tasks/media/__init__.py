"""Where images come from and go to: photographs under a URL, frames of Zarr arrays, manifests, samples."""

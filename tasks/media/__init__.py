"""Sources and destinations of images: photographs under a URL, frames of Zarr arrays, manifests, samples."""

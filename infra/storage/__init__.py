"""Storage in folders and buckets: objects, credentials, leases and Zarr stores."""

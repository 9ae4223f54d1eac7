"""Folders and buckets: objects, credentials, leases, Zarr stores."""

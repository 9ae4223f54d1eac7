"""Dask: connecting to workers, securing that connection, and closing it without failing finished work."""

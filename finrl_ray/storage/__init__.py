"""Folders in object stores."""

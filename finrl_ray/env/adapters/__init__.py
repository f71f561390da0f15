"""Envs of other packages in a search: what they are built with, and how their account is read."""

"""Inference: how much of a result is luck, and the verdict."""

"""One Ray head of our own for the tests of a file."""

from ray_head import ray_head as ray_head

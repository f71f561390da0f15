"""A logger whose entries a test can read."""

from stable_baselines3.common.logger import Logger


class KeptLogger(Logger):
    """A logger that keeps each dump."""

    def __init__(self) -> None:
        super().__init__(folder=None, output_formats=[])
        self.dumps: list[tuple[int, dict]] = []

    def dump(self, step: int = 0) -> None:
        self.dumps.append((step, dict(self.name_to_value)))
        super().dump(step)

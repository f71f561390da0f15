"""Entry point of `finrl-ray` and `python -m finrl_ray`."""

from finrl_ray.cli import main as command_line


def main() -> None:
    """Run the command line in a process that is for this command alone."""
    command_line.main(own_process=True)


if __name__ == "__main__":
    main()

"""Entry point of `finrl-ray` and `python -m finrl_ray`."""

from finrl_ray.cli.main import main

if __name__ == "__main__":
    main()

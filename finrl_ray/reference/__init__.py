"""The configuration described for people and for editors, from the dataclasses alone."""

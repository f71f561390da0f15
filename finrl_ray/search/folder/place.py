"""The local folder of a search, given its path or its URL."""

from pathlib import Path

from finrl_ray.storage.url import child_url, is_url


def local_folder(place: str | Path) -> tuple[Path, str]:
    """Return the local folder of a search, fetched if a URL is given, and that URL or ''."""
    if is_url(str(place)):
        # with Ray and Arrow, which a folder of this machine is read without
        from finrl_ray.search.folder.mirror import fetch_folder

        return fetch_folder(str(place))
    return Path(place).expanduser().absolute(), ""


def remote_of(storage_path: str, name: str) -> str:
    """Return the URL of a search's copy below `search.storage_path`; empty if that is a folder."""
    return child_url(storage_path, name) if is_url(storage_path) else ""

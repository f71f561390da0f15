"""URLs of folders in object stores: which there are, and what may stand in them."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from finrl_ray.errors import ConfigError
from finrl_ray.support.text import did_you_mean

_GCS = ("scheme", "endpoint_override", "retry_limit_seconds", "project_id")
URL_OPTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "s3": (
            "region",
            "scheme",
            "endpoint_override",
            "tls_ca_file_path",
            "force_virtual_addressing",
        ),
        "gs": _GCS,
        "gcs": _GCS,
    }
)
"""What may stand after the `?` of a URL, by its scheme; the words are pyarrow's."""
_SECRET = re.compile(r"secret|password|token|access_key|accesskey|credential", re.I)


def is_url(path: str) -> bool:
    """Return whether a search's place is a URL and not a folder."""
    return "://" in path


def child_url(url: str, name: str) -> str:
    """Return the URL of what is called `name` in the folder of a URL, its query kept."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}"))


def name_of(url: str) -> str:
    """Return the last part of a URL's path."""
    return urlsplit(url).path.rstrip("/").rpartition("/")[2]


def check_url(key: str, url: str) -> None:
    """Refuse a URL of another scheme, without a bucket, or with an option that does not exist.

    Raises
    ------
    ConfigError
        Naming `key`.
    """
    if not is_url(url):
        return
    parts = urlsplit(url)
    known = URL_OPTIONS.get(parts.scheme)
    if known is None:
        raise ConfigError(
            f"{key} must be a folder, or a URL that begins with "
            f"{', '.join(f'{scheme}://' for scheme in URL_OPTIONS)}, got {parts.scheme}://...; a "
            "disk that all nodes see is given by its folder"
        )
    if not parts.netloc or parts.fragment:
        place = url.partition("?")[0]
        raise ConfigError(f"{key} must be like {parts.scheme}://bucket/folder, got {place}")
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if name not in known:
            raise ConfigError(
                f"{key} has an option {name!r} after the '?', but {parts.scheme}:// knows "
                f"{', '.join(known)}.{did_you_mean(name, known)}"
            )


def require_no_secret(key: str, url: str) -> None:
    """Refuse a storage URL that carries a secret: it would be kept in files, pickles and logs.

    Raises
    ------
    ConfigError
        Naming `key` and what to remove; the secret is not in it.
    """
    if "://" not in url:
        return
    parts = urlsplit(url)
    carried = ["a user or password before '@'"] if "@" in parts.netloc else []
    carried += [f"{n}=" for n, _ in parse_qsl(parts.query, True) if _SECRET.search(n)]
    if carried:
        raise ConfigError(
            f"{key} must hold no secret, because it is written into files and logs, but the URL "
            f"has {', '.join(carried)}; leave it out and set the storage's own variables "
            "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, GOOGLE_APPLICATION_CREDENTIALS), or "
            "give the machines a role"
        )

"""URLs of folders in object stores."""

import pytest

from finrl_ray.errors import ConfigError
from finrl_ray.storage.url import require_no_secret


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3://AKIAX:hunter2@bucket/runs", "a user or password"),
        ("s3://bucket/runs?access_key=AKIAX&secret_key=hunter2", "access_key=, secret_key="),
        ("s3://bucket/runs?session_token=hunter2", "session_token="),
    ],
)
def test_a_storage_url_with_a_secret_is_refused_without_showing_it(url, words) -> None:
    with pytest.raises(ConfigError, match=r"search\.storage_path must hold no secret") as caught:
        require_no_secret("search.storage_path", url)
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "AKIAX" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["runs", "/data/a@b", "s3://b/x?region=r&endpoint_override=http://h:1", "gs://b/x"]
)
def test_a_storage_without_a_secret_is_none_of_our_business(url) -> None:
    require_no_secret("search.storage_path", url)

"""One configuration trained and judged, without Ray."""

"""Every key of the YAML file: type, default, check; reading, writing, describing it."""

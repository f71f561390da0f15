"""The keys of the config file as a page, as JSON Schema, and the texts that both show."""

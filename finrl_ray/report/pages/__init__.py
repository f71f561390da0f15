"""The pages of reports: sections, blocks, HTML."""

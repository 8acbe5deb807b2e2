"""The approval bridge: a person decides inside an automated pipeline, and git keeps the record."""

"""From an upload to a registered model version."""

"""The values that a reply holds."""

"""The command `client`."""

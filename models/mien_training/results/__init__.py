"""Result files: how they were made, and reading them."""

"""The user's model store: published weights, fetched or imported."""

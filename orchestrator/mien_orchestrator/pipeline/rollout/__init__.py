"""Models beside the stable ones: requests that name a model, canaries and shadows."""

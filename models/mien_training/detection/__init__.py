"""Train the face detector."""

"""Train the age, gender and emotion models."""

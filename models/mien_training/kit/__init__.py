"""Train on a graphics card in minutes: a large teacher, then a served model that learns from its answers."""

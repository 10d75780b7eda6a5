"""Train on a GPU in minutes: a large teacher, then a served model by distillation."""

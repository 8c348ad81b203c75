"""Following one reading through the pipeline."""

"""PostgreSQL: the tables, their migrations, writing batches and reading ranges."""

"""Generation of tokens: what two or more tasks share of it, and nothing else."""

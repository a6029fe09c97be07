"""What tasks share that name classes: labels, metrics, ranking."""

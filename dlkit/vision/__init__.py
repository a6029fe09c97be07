"""What tasks share that read images."""

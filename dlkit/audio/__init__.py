"""Sound: the column, reading of files in the graph, resampling, log-mel features, and the sources of recordings."""

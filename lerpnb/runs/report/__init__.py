"""Report: the page of one run."""

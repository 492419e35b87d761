"""Report: a run's executed notebook as one page to share."""

"""The line's kin: other ways to combine checkpoints. One path a file, each citing its paper."""

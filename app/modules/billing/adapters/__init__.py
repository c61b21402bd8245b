"""Where the entities meet what is not theirs: rows, and the payment provider."""

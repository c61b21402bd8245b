"""What a hostile network does: crowds that leave in the middle, and input that no client of ours would send."""

"""Dead letters: reading them with how they stand, replaying, dismissing and deleting them."""

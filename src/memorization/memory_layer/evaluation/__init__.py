"""What a trained memory answers, and which slots it uses for it."""

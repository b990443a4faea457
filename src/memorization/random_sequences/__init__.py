"""What the families that memorize random binary sequences share: conditions, training, measures, figures."""

"""What the tables of the attack say: rates, differences, fits, membership, forecasts. No torch."""

"""The task, modular equations: data, model, training and what is measured of them."""

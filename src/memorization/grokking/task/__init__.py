"""The task of the family: equations, the model, its training, and what a training did."""

"""What is inside a model: its layers and who shares them, and the values in them for a sentence."""

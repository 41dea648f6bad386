"""What goes wrong with trainings, done on purpose: kills, stops, damaged files, a full disk."""

"""What every stage stands on: programs, guests, the console, errors. Knows nothing of images."""

"""Made sounds whose perfect answer is known."""

"""What networks learn from: audio files, and crops of them with gain, noise and rooms."""

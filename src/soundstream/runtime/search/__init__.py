"""How an encoder finds codes: those of latents, those of levels, and those that sound best when they are decoded."""

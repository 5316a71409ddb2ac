"""Speed, memory and the number of calls that a core carries."""

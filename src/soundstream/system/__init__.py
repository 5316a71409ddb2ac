"""What the machine and the installation offer: files, threads, optional packages."""

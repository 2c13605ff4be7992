"""What hosted backends share: retries, mapped errors, creations that are sent once, downloads, archives."""

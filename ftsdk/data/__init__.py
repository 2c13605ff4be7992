"""Read, recognise, check and convert training rows."""

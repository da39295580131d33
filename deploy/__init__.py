"""What Carillon runs on: the image, the local stack, the stand-in providers."""

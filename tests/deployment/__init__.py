"""Tests of the image, the manifests, and of what happens when processes are replaced."""

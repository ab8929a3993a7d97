"""Writes the photograph of the demonstration, which scikit-image ships."""

from __future__ import annotations

import sys

import skimage.data
from PIL import Image

if __name__ == "__main__":
    Image.fromarray(skimage.data.coffee()).save(sys.argv[1])

"""Sobel edges of a gray image, or of every image of a folder, with OpenCV.

    python benchmarks/programs/opencv_sobel.py SOURCE OUT

Needs opencv-python-headless, and nothing of dlnotes.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

KERNEL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32)


def main() -> None:
    """Filter SOURCE, a file or a folder, into OUT, of the same kind."""
    source, out = map(Path, sys.argv[1:])
    for file in sorted(source.iterdir()) if source.is_dir() else [source]:
        image = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        if image is None:
            raise SystemExit(f"{file} is no image")
        edges = cv2.filter2D(image, -1, KERNEL, borderType=cv2.BORDER_REPLICATE)
        cv2.imwrite(str(out / file.name if source.is_dir() else out), edges)


if __name__ == "__main__":
    main()

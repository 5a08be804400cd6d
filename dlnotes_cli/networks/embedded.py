"""The convolutional layers of the network `small`, which is part of dlnotes, and the images that it reads.

Model files of `transfer` name it, so these layers do not change: other layers need another name.
"""

EMBEDDED_NAME = "small"
FEATURES = "; ".join(
    """
Conv2d(3, 24, 3, padding=1); ReLU(); AvgPool2d(2)
Conv2d(24, 48, 3, padding=1); ReLU()
Conv2d(48, 64, 3, padding=1); ReLU(); AvgPool2d(2)
Conv2d(64, 96, 3, padding=1); ReLU()
Conv2d(96, 96, 3, padding=1); ReLU(); AvgPool2d(2)
Conv2d(96, 192, 3, padding=1); ReLU()
Conv2d(192, 192, 3, padding=1); ReLU()
Conv2d(192, 320, 1); ReLU()
AdaptiveAvgPool2d(1); Flatten()
""".strip().splitlines()
)  # images (N, 3, H, W) to features (N, CHANNELS)
CHANNELS = 320
TRANSFER_SIDE = 64  # pixels that `transfer` resizes images to by default
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels in 0..1

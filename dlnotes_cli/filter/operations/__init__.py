"""Operations on windows of pixels that are no convolution: `filter --op`."""

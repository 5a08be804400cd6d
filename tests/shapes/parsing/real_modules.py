"""Modules in the styles people write them: notebooks, libraries, papers. Each is run by torch in the tests."""

BASIC_BLOCK = '''
import torch
from torch import nn, Tensor
from typing import Optional

def same_size(inputs: int, outputs: int, step: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size at step 1."""
    return nn.Conv2d(inputs, outputs, kernel_size=3, stride=step, padding=1, bias=False)

class Residual(nn.Module):
    growth: int = 1

    def __init__(self, inputs: int, outputs: int, step: int = 1, shortcut: Optional[nn.Module] = None) -> None:
        super().__init__()
        norm = nn.BatchNorm2d
        self.first = same_size(inputs, outputs, step)
        self.first_norm = norm(outputs)
        self.act = nn.ReLU(inplace=True)
        self.second = same_size(outputs, outputs)
        self.second_norm = norm(outputs)
        self.shortcut = shortcut
        self.step = step

    def forward(self, image: Tensor) -> Tensor:
        kept = image
        y = self.act(self.first_norm(self.first(image)))
        y = self.second_norm(self.second(y))
        if self.shortcut is not None:
            kept = self.shortcut(image)
        y += kept
        return self.act(y)
'''
DOWNSAMPLE = """
model = Residual(8, 16, 2, nn.Sequential(nn.Conv2d(8, 16, 1, stride=2, bias=False), nn.BatchNorm2d(16)))
print(model)
"""
BOTTLENECK = """
class Narrow(nn.Module):
    growth = 4

    def __init__(self, inputs, width, stride=1):
        super(Narrow, self).__init__()
        self.reduce = nn.Conv2d(inputs, width, 1, bias=False)
        self.reduce_norm = nn.BatchNorm2d(width)
        self.filter = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.filter_norm = nn.BatchNorm2d(width)
        self.expand = nn.Conv2d(width, width * self.growth, 1, bias=False)
        self.expand_norm = nn.BatchNorm2d(width * self.growth)
        self.relu = nn.ReLU(inplace=True)
        if stride != 1 or inputs != width * self.growth:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, width * Narrow.growth, 1, stride, bias=False),
                nn.BatchNorm2d(width * self.growth),
            )
        else:
            self.shortcut = None

    def forward(self, x):
        kept = x if self.shortcut is None else self.shortcut(x)
        out = self.relu(self.reduce_norm(self.reduce(x)))
        out = self.relu(self.filter_norm(self.filter(out)))
        out = self.expand_norm(self.expand(out))
        return self.relu(out + kept)

class Stages(nn.Module):
    def __init__(self, block, counts, outputs=10):
        super().__init__()
        self.channels = 16
        self.stem = nn.Conv2d(3, 16, 7, 2, 3, bias=False)
        self.early = self._stage(block, 8, counts[0])
        self.late = self._stage(block, 12, counts[1], stride=2)
        self.squeeze = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(12 * block.growth, outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def _stage(self, block, width, count, stride=1):
        members = []
        members.append(block(self.channels, width, stride))
        self.channels = width * block.growth
        for _ in range(1, count):
            members.append(block(self.channels, width))
        return nn.Sequential(*members)

    def forward(self, x):
        x = self.late(self.early(self.stem(x)))
        x = self.squeeze(x)
        x = torch.flatten(x, 1)
        return self.fc(x)

model = Stages(Narrow, [2, 1])
"""
UNET = """
class DoubleConv(nn.Module):
    def __init__(self, in_ch, out_ch):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(in_ch, out_ch, 3, padding=1), nn.BatchNorm2d(out_ch), nn.ReLU(inplace=True),
            nn.Conv2d(out_ch, out_ch, 3, padding=1), nn.ReLU(inplace=True),
        )

    def forward(self, x):
        return self.net(x)

class UNet(nn.Module):
    def __init__(self, in_ch=3, classes=2, width=8):
        super().__init__()
        self.down1 = DoubleConv(in_ch, width)
        self.down2 = DoubleConv(width, 2 * width)
        self.bottom = DoubleConv(2 * width, 4 * width)
        self.pool = nn.MaxPool2d(2)
        self.up2 = nn.ConvTranspose2d(4 * width, 2 * width, kernel_size=2, stride=2)
        self.dec2 = DoubleConv(4 * width, 2 * width)
        self.up1 = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.dec1 = DoubleConv(2 * width, width)
        self.out = nn.Conv2d(width, classes, 1)

    def forward(self, x):
        skip1 = self.down1(x)
        skip2 = self.down2(self.pool(skip1))
        x = self.bottom(self.pool(skip2))
        x = torch.cat([self.up2(x), skip2], dim=1)
        x = self.dec2(x)
        x = torch.cat((skip1, self.up1(x)), 1)
        return self.out(self.dec1(x))
"""
PADDED_UP = '''
class Grow(nn.Module):
    """Enlarge, pad to the size of the skip connection, join."""

    def __init__(self, width, interpolate=True):
        super().__init__()
        if interpolate:
            self.enlarge = nn.Upsample(scale_factor=2, mode='bilinear', align_corners=True)
        else:
            self.enlarge = nn.ConvTranspose2d(width, width, kernel_size=2, stride=2)
        self.mix = nn.Conv2d(2 * width, width, 3, padding=1)

    def forward(self, small, large):
        small = self.enlarge(small)
        # rows and columns that are missing
        rows = large.size()[2] - small.size()[2]
        columns = large.size()[3] - small.size()[3]
        small = F.pad(small, [columns // 2, columns - columns // 2,
                              rows // 2, rows - rows // 2])
        return self.mix(torch.cat([large, small], dim=1))

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.down, self.up = nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), Grow(4)

    def forward(self, x):
        large = self.first(x)
        small = self.down(large)
        resized = F.interpolate(small, size=large.shape[2:], mode="bilinear", align_corners=False)
        return self.up(small, large) + resized
'''
VGG = """
from typing import Any, cast, Dict, List, Union

plans: Dict[str, List[Union[str, int]]] = {
    "small": [4, "pool", 8, "pool", 16, 16, "pool"],
}

def stack(plan: List[Union[str, int]], normalize: bool = False) -> nn.Sequential:
    modules: List[nn.Module] = []
    width = 3
    for step in plan:
        if step == "pool":
            modules += [nn.MaxPool2d(kernel_size=2, stride=2)]
        else:
            conv = nn.Conv2d(width, step, kernel_size=3, padding=1)
            if normalize:
                modules += [conv, nn.BatchNorm2d(step), nn.ReLU(inplace=True)]
            else:
                modules += [conv, nn.ReLU(inplace=True)]
            width = step
    return nn.Sequential(*modules)

class Plain(nn.Module):
    def __init__(self, body: nn.Module, outputs: int = 10, initialize: bool = True, drop: float = 0.5):
        super().__init__()
        self.body = body
        self.squeeze = nn.AdaptiveAvgPool2d((3, 3))
        self.head = nn.Sequential(nn.Linear(16 * 3 * 3, 32), nn.ReLU(True), nn.Dropout(p=drop), nn.Linear(32, outputs))
        if initialize:
            for module in self.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                    if module.bias is not None:
                        nn.init.constant_(module.bias, 0)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        features = self.squeeze(self.body(image))
        features = torch.flatten(features, 1)
        return self.head(features)

model = Plain(stack(plans["small"], normalize=True), outputs=7)
"""
LSTM_CLASSIFIER = """
class Classifier(nn.Module):
    def __init__(self, vocab=50, embed=8, hidden=6, classes=3):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.lstm = nn.LSTM(embed, hidden, num_layers=2, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(2 * hidden, classes)

    def forward(self, x):
        x = self.embedding(x)
        x, _ = self.lstm(x)
        x = x[:, -1]
        return self.fc(x)
"""
HIDDEN_CLASSIFIER = """
class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 8)
        self.rnn = nn.LSTM(8, 6, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(12, 3)

    def forward(self, text):
        output, (hidden, cell) = self.rnn(self.embedding(text))
        hidden = torch.cat((hidden[-2, :, :], hidden[-1, :, :]), dim=1)
        return self.fc(hidden)
"""
COURSE_MLP = """
import torch.nn as nn
import torch.nn.functional as F

## Two hidden layers
class Digits(nn.Module):
    def __init__(self):
        super(Digits, self).__init__()
        # widths
        wide = 512
        narrow = 512
        self.enter = nn.Linear(28 * 28, wide)
        self.middle = nn.Linear(wide, narrow)
        self.leave = nn.Linear(narrow, 10)
        self.drop = nn.Dropout(0.2)

    def forward(self, images):
        # one row per image
        rows = images.view(-1, 28 * 28)
        rows = self.drop(F.relu(self.enter(rows)))
        rows = F.relu(self.middle(rows))
        rows = self.drop(rows)
        return self.leave(rows)

# the network to measure
model = Digits()
print(model)
"""
COURSE_CNN = """
# three convolutions, two linear layers
class Photos(nn.Module):
    def __init__(self):
        super(Photos, self).__init__()
        # 32x32 -> 16x16 -> 8x8 -> 4x4
        self.a = nn.Conv2d(3, 16, 3, padding=1)
        self.b = nn.Conv2d(16, 32, 3, padding=1)
        self.c = nn.Conv2d(32, 64, 3, padding=1)
        self.halve = nn.MaxPool2d(2, 2)
        self.enter = nn.Linear(64 * 4 * 4, 500)
        self.leave = nn.Linear(500, 10)
        self.drop = nn.Dropout(0.25)

    def forward(self, y):
        y = self.halve(F.relu(self.a(y)))
        y = self.halve(F.relu(self.b(y)))
        y = self.halve(F.relu(self.c(y)))
        y = y.view(-1, 64 * 4 * 4)
        y = self.drop(y)
        y = self.drop(F.relu(self.enter(y)))
        return self.leave(y)

model = Photos()
print(model)

# code of the training that follows in a notebook
if has_gpu:
    model.cuda()

loss = nn.CrossEntropyLoss()
steps = optim.SGD(model.parameters(), lr=0.01)
"""
CHAR_RNN = """
class Writer(nn.Module):

    def __init__(self, alphabet, width=256, depth=2,
                       drop=0.5, rate=0.001):
        super().__init__()
        self.drop_rate = drop
        self.depth = depth
        self.width = width
        self.rate = rate

        # both directions of the vocabulary
        self.alphabet = alphabet
        self.letter = dict(enumerate(self.alphabet))
        self.index = {letter: i for i, letter in self.letter.items()}

        self.memory = nn.LSTM(len(self.alphabet), width, depth,
                              dropout=drop, batch_first=True)
        self.drop = nn.Dropout(drop)
        self.scores = nn.Linear(width, len(self.alphabet))

    def forward(self, text, state=None):
        steps, state = self.memory(text, state)
        steps = self.drop(steps)
        # one row per character
        rows = steps.contiguous().view(-1, self.width)
        return self.scores(rows), state

    def start(self, samples):
        like = next(self.parameters()).data
        return tuple(like.new(self.depth, samples, self.width).zero_() for _ in range(2))

width = 16
net = Writer("abcdefgh", width, depth=3)
"""
SENTIMENT_RNN = """
class Opinion(nn.Module):
    def __init__(self, words=40, outputs=1, features=8, width=6, depth=2):
        super().__init__()
        self.width = width
        self.words = nn.Embedding(words, features)
        self.memory = nn.LSTM(features, width, depth, dropout=0.5, batch_first=True)
        self.drop = nn.Dropout(0.3)
        self.score = nn.Linear(width, outputs)
        self.squash = nn.Sigmoid()

    def forward(self, review, state=None):
        samples = review.size(0)
        review = review.long()
        steps, state = self.memory(self.words(review), state)
        rows = steps.contiguous().view(-1, self.width)
        chances = self.squash(self.score(self.drop(rows)))
        chances = chances.view(samples, -1)
        chances = chances[:, -1] # the last word has read the whole review
        return chances, state
"""
SQUEEZE_EXCITATION = """
class Gate(nn.Module):
    def __init__(self, width, ratio=4):
        super().__init__()
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.weigh = nn.Sequential(
            nn.Linear(width, width // ratio, bias=False), nn.ReLU(inplace=True),
            nn.Linear(width // ratio, width, bias=False), nn.Sigmoid())

    def forward(self, image):
        n, width, _, _ = image.size()
        weights = self.weigh(self.mean(image).view(n, width)).view(n, width, 1, 1)
        return image * weights.expand_as(image)

model = nn.Sequential(nn.Conv2d(3, 8, 3), Gate(8), nn.Conv2d(8, 4, 3))
"""
DENSE_AND_SHARED = """
class Dense(nn.Module):
    def __init__(self, growth=4, blocks=3):
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(3 + growth * i, growth, 3, padding=1) for i in range(blocks)])
        self.shared = nn.Conv2d(3 + growth * blocks, 3 + growth * blocks, 1)
        self.head = nn.Linear(3 + growth * blocks, 5)

    def forward(self, x):
        features = [x]
        for conv in self.convs:
            features.append(F.relu(conv(torch.cat(features, 1))))
        x = torch.cat(features, dim=1)
        for _ in range(2):
            x = x + self.shared(x)
        x = x.mean([2, 3])
        return self.head(x) * 0.5
"""
BRANCHES = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 4, 1)
        self.b = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1))
        self.c = nn.MaxPool2d(3, stride=1, padding=1)

    def branch(self, x, scale=2):
        y = self.b(x) / scale
        return y

    def forward(self, x):
        out = [self.a(x), self.branch(x), self.c(x)]
        y = torch.cat(out, 1)
        return y[:, 2:7]
"""
"""Name, code, shape of one sample."""
MODULES = [
    ("basic block", BASIC_BLOCK + "\nmodel = Residual(8, 8)\n", (8, 9, 9)),
    ("basic block, downsample", BASIC_BLOCK + DOWNSAMPLE, (8, 9, 9)),
    ("bottleneck", BOTTLENECK.partition("class Stages")[0] + "\nmodel = Narrow(32, 8)\n", (32, 8, 8)),
    (
        "bottleneck, downsample",
        BOTTLENECK.partition("class Stages")[0] + "\nmodel = Narrow(16, 8, 2)\n",
        (16, 8, 8),
    ),
    ("resnet", BOTTLENECK, (3, 32, 32)),
    ("u-net", UNET, (3, 16, 24)),
    ("u-net with padding", PADDED_UP, (3, 15, 17)),
    ("vgg", VGG, (3, 32, 32)),
    ("lstm classifier", LSTM_CLASSIFIER, (7,)),
    ("classifier on the hidden state", HIDDEN_CLASSIFIER, (7,)),
    ("course mlp", COURSE_MLP, (1, 28, 28)),
    ("course cnn", COURSE_CNN, (3, 32, 32)),
    ("char-rnn", CHAR_RNN, (5, 8)),
    ("sentiment rnn", SENTIMENT_RNN, (9,)),
    ("squeeze and excitation", SQUEEZE_EXCITATION, (3, 10, 10)),
    ("dense and shared", DENSE_AND_SHARED, (3, 8, 8)),
    ("branches", BRANCHES, (3, 8, 8)),
]

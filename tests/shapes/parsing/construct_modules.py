"""One module for each construct of Python or torch that a forward() may have. Each is run by torch in the tests."""

from textwrap import indent


def module(init: str, forward: str, *, before: str = "") -> str:
    """A class `Net` with these statements."""
    body = f"    def __init__(self):\n        super().__init__()\n{indent(init.strip(), ' ' * 8)}\n"
    return f"{before}\nclass Net(nn.Module):\n{body}\n    def forward(self, x):\n{indent(forward.strip(), ' ' * 8)}\n"


CONV = "self.conv = nn.Conv2d(4, 8, 3, padding=1)"
TWO = CONV + "\nself.other = nn.Conv2d(4, 8, 1)"
EXTENDED_SEQUENTIAL = """
class Grow(nn.Sequential):
    def __init__(self, inputs, more):
        super().__init__()
        self.add_module("mix", nn.Conv2d(inputs, more, 1))
        self.act = nn.ReLU()

    def forward(self, x):
        return torch.cat([x, super().forward(x)], dim=1)

class Halve(nn.Sequential):
    def __init__(self, inputs, outputs):
        super().__init__(nn.Conv2d(inputs, outputs, 1), nn.AvgPool2d(2))

class Wide(nn.Conv2d):
    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs, (1, 5), padding=(0, 2))

model = nn.Sequential()
for index, width in enumerate((4, 6, 8)):
    model.add_module("grow%d" % index, Grow(width, 2))
model.add_module("halve", Halve(10, 6))
model.append(Wide(6, 3))
"""
INHERITED = """
class Body(nn.Module):
    scale = 3

    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(4, width, 3)

    def forward(self, x):
        return self.conv(x)

class Head(Body):
    def __init__(self):
        super().__init__(5)
        self.out = nn.Conv2d(5, self.double, 1)

    @property
    def double(self):
        return 2 * self.scale

    def forward(self, x):
        return self.out(super().forward(x))
"""
ATTENTION = """
class Heads(nn.Module):
    def __init__(self, width=12, count=3):
        super().__init__()
        self.count = count
        self.enter = nn.Linear(width, 3 * width)
        self.leave = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        samples, steps, width = x.shape
        parts = self.enter(x).reshape(samples, steps, 3, self.count, width // self.count).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        weights = (query @ key.transpose(-2, -1) * 0.5).softmax(dim=-1)
        mixed = torch.matmul(weights, value).transpose(1, 2).reshape(samples, steps, -1)
        return self.norm(x + self.leave(mixed))
"""
PATCHES = """
class Patches(nn.Module):
    def __init__(self, width=6):
        super().__init__()
        self.cut = nn.Conv2d(4, width, 3, stride=3)
        self.label = nn.Parameter(torch.zeros(1, 1, width))
        self.place = nn.Parameter(0.02 * torch.randn(1, 10, width))
        self.register_buffer("shift", torch.ones(width))
        self.head = nn.Linear(width, 5)

    def forward(self, x):
        x = self.cut(x).flatten(2).transpose(1, 2) - self.shift
        x = torch.cat([self.label.expand(x.shape[0], -1, -1), x], dim=1) + self.place
        return self.head(x[:, 0])
"""
TIME_FIRST = """
class Steps(nn.Module):
    def __init__(self):
        super().__init__()
        self.memory = nn.LSTM(6, 5, num_layers=2)
        self.out = nn.Linear(5, 4)

    def forward(self, x):
        _, (last, _) = self.memory(x.permute(1, 0, 2))
        return self.out(last[-1])
"""
FUNCTIONS = """
from functools import partial

same = partial(nn.Conv2d, kernel_size=3, padding=1)

class Net(nn.Module):
    def __init__(self, norm=partial(nn.BatchNorm2d, eps=1e-3)):
        super().__init__()
        width = 4

        def block(outputs):
            return nn.Sequential(same(width, outputs), norm(outputs))

        act = lambda slope: nn.LeakyReLU(slope)
        self.first = block(6)
        self.act = act(0.1)
        stack, size = [], 9
        while size > 2:
            stack.append(nn.Conv2d(6, 6, 3, stride=2, padding=1))
            size //= 2
        self.stack = nn.Sequential(*stack)
        for index in (1, 2):
            setattr(self, "tail{}".format(index), nn.Conv2d(6, 6, 1))

    def forward(self, x):
        x = self.stack(self.act(self.first(x)))
        for index in (1, 2):
            x = getattr(self, f"tail{index}")(x)
        return x
"""
SIZE_OF_WEIGHTS = module(
    "rows, columns = weights.shape[2:]\n"
    "self.conv = nn.Conv2d(4, 2, kernel_size=(rows, columns), bias=False)\n"
    "self.conv.weight = nn.Parameter(weights)",
    "return self.conv(x)",
    before="weights = torch.ones(2, 4, 3, 2)\n",
)
"""Name, code, shape of one sample."""
CONSTRUCTS = [
    ("sequential extended", EXTENDED_SEQUENTIAL, (4, 8, 8)),
    ("forward of a base", INHERITED, (4, 9, 9)),
    ("attention", ATTENTION, (7, 12)),
    ("parameters", PATCHES, (4, 9, 9)),
    ("time first", TIME_FIRST, (9, 6)),
    ("functions as values", FUNCTIONS, (4, 9, 9)),
    ("size of weights", SIZE_OF_WEIGHTS, (4, 9, 9)),
    ("chunk", module(CONV, "a, b = self.conv(x).chunk(2, dim=1)\nreturn a * torch.sigmoid(b)"), (4, 9, 9)),
    ("split", module(CONV, "a, b = torch.split(self.conv(x), [2, 6], dim=1)\nreturn b"), (4, 9, 9)),
    ("split by size", module(CONV, "a, b, c = self.conv(x).split(3, 1)\nreturn torch.cat((c, a), 1)"), (4, 9, 9)),
    ("stack", module(TWO, "return torch.stack([self.conv(x), self.other(x)], dim=1).sum(dim=1)"), (4, 9, 9)),
    ("maximum of two", module(TWO, "return torch.max(self.conv(x), self.other(x))"), (4, 9, 9)),
    ("maximum", module(CONV, "x, _ = torch.max(self.conv(x), dim=1, keepdim=True)\nreturn x.max(dim=2)[0]"), (4, 9, 9)),
    ("minimum", module(CONV, "return self.conv(x).min(dim=3).values"), (4, 9, 9)),
    ("expand_as", module(CONV, "x = self.conv(x)\nreturn x.mean((2, 3), keepdim=True).expand_as(x)"), (4, 9, 9)),
    ("expand", module(CONV, "return x[:, :1].expand(-1, 8, x.size(2), x.size(3)) + self.conv(x)"), (4, 9, 9)),
    ("repeat", module(CONV, "return self.conv(x).repeat(1, 2, 1, 3)"), (4, 9, 9)),
    ("bmm", module("self.fc = nn.Linear(6, 6)", "return torch.bmm(self.fc(x), x.transpose(1, 2))"), (5, 6)),
    (
        "indices of pooling",
        module(
            CONV + "\nself.pool = nn.MaxPool2d(2, return_indices=True)", "x, at = self.pool(x)\nreturn self.conv(x)"
        ),
        (4, 9, 9),
    ),
    (
        "scaled by a parameter",
        module(CONV + "\nself.gain = nn.Parameter(torch.zeros(1))", "return self.gain * self.conv(x)"),
        (4, 9, 9),
    ),
]

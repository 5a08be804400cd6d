"""The functions of torch, torch.nn.functional and tensors that are known, by what they do to a shape."""

_POOLS = {f"{kind}_pool{rank}d": f"{name}Pool{rank}d" for kind, name in (("max", "Max"), ("avg", "Avg"),
          ("adaptive_avg", "AdaptiveAvg"), ("adaptive_max", "AdaptiveMax")) for rank in (1, 2, 3)}  # fmt: skip
LAYER_OF_FUNCTION = {  # functions with the arguments of their layer, after the input
    "relu": "ReLU", "relu_": "ReLU", "relu6": "ReLU6", "leaky_relu": "LeakyReLU", "elu": "ELU", "selu": "SELU",
    "gelu": "GELU", "silu": "SiLU", "mish": "Mish", "tanh": "Tanh", "sigmoid": "Sigmoid", "softplus": "Softplus",
    "softmax": "Softmax", "log_softmax": "LogSoftmax", "logsigmoid": "LogSigmoid", "hardtanh": "Hardtanh",
    "hardswish": "Hardswish", "hardsigmoid": "Hardsigmoid", "celu": "CELU", "glu": "GLU",
    "pixel_shuffle": "PixelShuffle", "interpolate": "Upsample", "upsample": "Upsample", **_POOLS,
}  # fmt: skip
DROPOUTS = {"dropout": "Dropout", "dropout1d": "Dropout1d", "dropout2d": "Dropout2d", "dropout3d": "Dropout3d"}
PADS = {"constant": "Constant", "reflect": "Reflection", "replicate": "Replication", "circular": "Circular"}
SHARED_POSITIONS = 4  # positional arguments that max_pool2d and MaxPool2d have in common
ELEMENTWISE = {
    "exp", "log", "log1p", "sqrt", "rsqrt", "abs", "neg", "square", "sin", "cos", "clamp", "pow", "sign", "erf",
    "normalize", "zeros_like", "ones_like", "rand_like", "randn_like", "empty_like", "cumsum",
}  # fmt: skip
UNCHANGED = {
    "contiguous", "float", "double", "half", "long", "int", "to", "cuda", "cpu", "detach", "clone", "requires_grad_",
    "type", "bfloat16",
}  # fmt: skip
REDUCTIONS = {"mean", "sum", "prod", "amax", "amin", "std", "var", "logsumexp"}
ARITHMETIC = {"add", "sub", "mul", "div", "add_", "sub_", "mul_", "div_"}
ON_DIMENSIONS = {"permute", "transpose", "squeeze", "unsqueeze", "expand", "repeat"}
JOINS = {"cat", "concat", "concatenate", "stack"}
PRODUCTS = {"matmul", "bmm", "mm"}
PARTS = {"chunk", "split", "unbind"}

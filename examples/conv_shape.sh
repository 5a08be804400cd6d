#!/bin/sh
# Calculate shapes, parameters, cost, memory and receptive field of a stack of layers, without building it.
# Look at: the notes, which correct the course's quiz; the formulas that --explain prints; the last line.
set -eu
out=${1:-runs/example-conv-shape}
mkdir -p "$out"
dlnotes conv-shape --input 3x130x130 "Conv2d(3, 10, 3); MaxPool2d(4, 4); Conv2d(10, 20, 5, padding=2); MaxPool2d(2)"
dlnotes conv-shape -W 130 -F 3 -S 1 -P 0 -K 10 -D 3 --explain
dlnotes conv-shape -W 130 -F 3 --solve padding --want 130

# A file with a class is executed, as python FILE does; its module runs once with shapes and no values.
cat > "$out/net.py" <<'PYTHON'
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1)
        self.pool = nn.MaxPool2d(2, 2)
        self.fc = nn.Linear(16 * 16 * 16, 10)

    def forward(self, x):
        x = self.pool(F.relu(self.conv(x)))
        return self.fc(x.view(-1, 16 * 16 * 16))
PYTHON
dlnotes conv-shape --input 3x32x32 "$out/net.py:Net" --csv -

# In a script: the input size of a linear layer.
features=$(printf 'nn.Conv2d(3, 16, 5),\nnn.MaxPool2d(2)\n' | dlnotes conv-shape --input 3x64x64 - --field values)
echo "Linear($features, 10)"

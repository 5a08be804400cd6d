#!/bin/sh
# Answer HTTP requests with an exported classifier, and stop the server.
# Look at: the answer, which has the classes of `predict`, and the refusal of a file that is not an image.
set -eu
out=${1:-runs/example-serve}
dlnotes train-mlp --hidden 64 --epochs 15 --out "$out" --overwrite --quiet
dlnotes export "$out" --overwrite --quiet
dlnotes serve "$out/model.onnx" --port 0 > "$out/url.txt" 2> "$out/requests.txt" &
server=$!
while ! grep -q http "$out/url.txt"; do
  kill -0 "$server"
  sleep 0.1
done
python3 - "$(cat "$out/url.txt")" "$out/predictions.png" "$out/url.txt" <<'END'
import sys
import urllib.error
import urllib.request

url, *paths = sys.argv[1:]
for path in paths:
    request = urllib.request.Request(f"{url}/predict", open(path, "rb").read(), {"Content-Type": "image/png"})
    try:
        print(urllib.request.urlopen(request).read().decode())
    except urllib.error.HTTPError as error:
        print(error.code, error.read().decode())
END
kill "$server"
wait "$server" || [ $? -eq 143 ]
cat "$out/requests.txt"

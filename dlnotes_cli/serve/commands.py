"""`dlnotes serve`."""

from dlnotes_cli.serve.options import ServeConfig
from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import command
from dlnotes_cli.shell.show import show


@command(
    panel="Use",
    task="serve.server:Server",
    also=("serve.server:Listening -> Listening",),
    examples=(
        "dlnotes serve runs/digits",
        "dlnotes serve runs/digits/model.onnx --port 8080 --top 1",
    ),
)
def serve(config: ServeConfig) -> None:
    """Answer HTTP requests with a trained classifier until Ctrl-C or SIGTERM.

    POST /predict takes one or more images, as form files or one as the body, or the rows of a table as JSON, and
    answers as predict --json does. GET /health describes the model; /docs and /openapi.json describe the interface.
    Requests that are running when the server is stopped are finished.
    """
    from dlnotes_cli.serve.server import Listening, Server

    with Server(config) as server:
        show(Listening(server.url, server.classifier.path), config)
        output.flush()
        server.run()

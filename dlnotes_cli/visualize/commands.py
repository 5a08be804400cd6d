"""`dlnotes visualize layers`, `filters`, `activations`, `maximize`, `dream`, `patches`, `neighbors`, `embedding`."""

from typing import TYPE_CHECKING

from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import command
from dlnotes_cli.visualize.options import (
    ActivationsConfig,
    DreamConfig,
    EmbeddingConfig,
    FiltersConfig,
    LayersConfig,
    MaximizeConfig,
    NeighborsConfig,
    PatchesConfig,
)

if TYPE_CHECKING:
    from dlnotes_cli.visualize.patches import PatchesResult

_PANEL = "Understand"


@command(
    panel=_PANEL,
    task="visualize.layers:list_layers -> LayersResult",
    examples=("dlnotes visualize layers", "dlnotes visualize layers squeezenet1_1 --weights none --json"),
)
def layers(config: LayersConfig) -> None:
    """List the layers of a network: name, type, output shape, parameters and receptive field in pixels.

    Layers that run more than once are left out: they have no single output.
    """
    from dlnotes_cli.visualize.layers import list_layers

    result = list_layers(config)
    if config.json:
        output.document(config.command, result.as_json())
        return
    rows = [
        (layer.name, layer.type, _shape(layer.output), f"{layer.parameters:,}", _shape(layer.receptive_field) or "?")
        for layer in result.layers
    ]
    numeric = ("output", "parameters", "receptive field")
    output.table(("layer", "type", *numeric), rows, numeric)


@command(
    panel=_PANEL,
    task="visualize.filters:show_filters -> FiltersResult",
    examples=("dlnotes visualize filters", "dlnotes visualize filters small --layer conv2 --top 12 --sheet conv2.png"),
)
def filters(config: FiltersConfig) -> None:
    """Show the weights of a layer as images, those with the largest norm first.

    The first layer's kernels are color images; a deeper kernel is a grid with one square for each input channel.
    Of an MLP, these are the weights of each hidden unit for every pixel.
    """
    from dlnotes_cli.visualize.filters import show_filters

    result = show_filters(config)
    if config.json:
        output.document(config.command, result.as_json())
        return
    if not config.quiet:
        columns = ("unit", "norm", "min", "max", "mean")
        rows = [(i.unit, *(f"{value:.4f}" for value in (i.norm, i.min, i.max, i.mean))) for i in result.filters]
        output.table(columns, rows, columns)
        output.line()
        shown = f"{len(rows)} of {output.counted(result.units, 'filter')} of {result.layer.name}"
        output.line(f"{shown}, {_shape(result.kernel)} weights each")
    output.line(result.sheet)


@command(
    panel=_PANEL,
    task="visualize.activations:show_activations -> ActivationsResult",
    examples=(
        "dlnotes visualize activations",
        "dlnotes visualize activations small --layer relu1 --sheet relu1.png --json",
    ),
)
def activations(config: ActivationsConfig) -> None:
    """Show the feature maps of an image: how much each position activates each unit, with the mean and maximum.

    The maps have the size of the layer's output. Without --layer there is one strip for each layer that has maps.
    """
    from dlnotes_cli.visualize.activations import show_activations

    result = show_activations(config)
    if config.json:
        output.document(config.command, result.as_json())
        return
    if not config.quiet:
        rows = [
            (found.layer.name, _shape(found.layer.shape), unit.unit, f"{unit.mean:.4f}", f"{unit.max:.4f}")
            for found in result.layers
            for unit in found.shown
        ]
        numeric = ("shape", "unit", "mean", "max")
        output.table(("layer", *numeric), rows, numeric)
        output.line()
        output.line(f"{result.image}: {result.predicted}, probability {result.probability:.4f}")
    _print_paths(result.sheet, result.out)


@command(
    panel=_PANEL,
    task="visualize.maximize:maximize -> MaximizeResult",
    examples=(
        "dlnotes visualize maximize --unit cat,ship --steps 32",
        "dlnotes visualize maximize small --layer relu3 --unit 1,2 --sheet units.png",
    ),
)
def maximize(config: MaximizeConfig) -> None:
    """Find the image that excites a unit most, by gradient ascent from an almost gray image.

    The image is optimized as a spectrum with uncorrelated colors, while it is shifted, zoomed and rotated at random
    (Olah et al. 2017). A unit of the output layer is a class.
    """
    from dlnotes_cli.visualize.maximize import maximize as task

    result = task(config)
    if config.json:
        output.document(config.command, result.as_json())
        return
    if not config.quiet:
        rows = [
            (u.unit, u.name, f"{u.start:.4f}", f"{u.end:.4f}", f"{u.growth:.1f}x" if u.growth else "-")
            for u in result.units
        ]
        output.table(("unit", "name", "start", "end", "growth"), rows, ("unit", "start", "end", "growth"))
        output.line()
    _print_paths(*(unit.file for unit in result.units), result.sheet)


@command(
    panel=_PANEL,
    task="visualize.dream:dream -> DreamResult",
    examples=(
        "dlnotes visualize dream --octaves 2 --steps 3",
        "dlnotes visualize dream --layer relu4 --octaves 2 --steps 3 --out relu4.jpg",
    ),
)
def dream(config: DreamConfig) -> None:
    """Amplify what a layer finds in an image (DeepDream), or with --guide what resembles another image.

    Large images are processed in tiles at random shifts. Size and transparency are kept; the result is upright.
    """
    from dlnotes_cli.visualize.dream import dream as task

    result = task(config)
    if config.json:
        output.document(config.command, result.as_json())
        return
    if not config.quiet:
        height, width = result.size
        output.line(f"{result.layer.name} of {result.network.name}, {width}x{height}")
        output.line(f"mean square of the activations  {result.start:.4g} to {result.end:.4g}")
    _print_paths(result.out, result.sheet)


@command(
    panel=_PANEL,
    task="visualize.patches:find_patches -> PatchesResult",
    examples=(
        "dlnotes visualize patches --top 4",
        "dlnotes visualize patches --data digits --layer relu2 --sheet relu2.png",
    ),
)
def patches(config: PatchesConfig) -> None:
    """Find the nine image patches that excite each unit most, cut to its receptive field (Zeiler and Fergus 2014).

    Next to each patch is the unit's gradient. Deep layers still show features, parts of objects, not classes: what
    classifies is the output layer.
    """
    from dlnotes_cli.visualize.gradients import CAVEAT
    from dlnotes_cli.visualize.patches import find_patches

    result = find_patches(config)
    if config.json:
        output.document(config.command, result.as_json())
    else:
        _show_patches(config, result)
    if config.gradient != "none":
        output.note(CAVEAT)


def _show_patches(config: PatchesConfig, result: "PatchesResult") -> None:
    if not config.quiet:
        rows = [
            (
                unit.name,
                f"{patch.activation:.4f}",
                patch.class_name or "-",
                patch.file,
                " ".join(f"{x:.0f}" for x in patch.box),
            )
            for unit in result.units
            for patch in unit.patches
        ]
        output.table(("unit", "activation", "class", "image", "box"), rows, ("activation",))
        output.line()
        size, count = _shape(result.receptive_field), output.counted(result.images, "image")
        output.line(f"{result.layer.name} sees {size} pixels; {count} of {result.data}")
    _print_paths(result.sheet)


@command(
    panel=_PANEL,
    task="visualize.neighbors:find_neighbors -> NeighborsResult",
    examples=(
        "dlnotes visualize neighbors",
        "dlnotes visualize neighbors --data digits --count 3 --sheet three.png",
    ),
)
def neighbors(config: NeighborsConfig) -> None:
    """Find the images of a data set that are nearest to given images in feature space, by cosine distance.

    A feature vector does not encode the content alone: texture, color and background count too.
    """
    from dlnotes_cli.visualize.neighbors import find_neighbors

    result = find_neighbors(config)
    if config.json:
        output.document(config.command, result.as_json())
        return
    if not config.quiet:
        rows = [
            (str(found.query.path), neighbor.file, neighbor.class_name or "-", f"{neighbor.distance:.4f}")
            for found in result.results
            for neighbor in found.neighbors
        ]
        output.table(("image", "neighbor", "class", "distance"), rows, ("distance",))
        output.line()
        images = output.counted(result.images, "image")
        output.line(f"{output.counted(result.features, 'feature')} of {result.layer.name}, {images} of {result.data}")
        if result.typical is not None:
            median, rare = result.typical.median, result.typical.percentile_99
            output.line(f"nearest distance within the data: median {median:.4f}, 99th percentile {rare:.4f}")
            for found in result.results:
                if found.is_unlike_data:
                    why = result.typical.explain_unlike(found.neighbors[0].distance)
                    output.line(f"{found.query.path} is {why}")
    _print_paths(result.sheet)


@command(
    panel=_PANEL,
    task="visualize.embedding:embed -> EmbeddingResult",
    examples=(
        "dlnotes visualize embedding",
        "dlnotes visualize embedding --data digits --layer relu4 --sheet map.png",
    ),
)
def embedding(config: EmbeddingConfig) -> None:
    """Draw the images of a data set as points, by their features: similar images are close to each other.

    The features are those before the output layer, which classifies; they keep texture and background, not only the
    content. Those of a folder are cached.
    """
    from dlnotes_cli.visualize.embedding import embed

    result = embed(config)
    if config.json:
        output.document(config.command, result.as_json())
        return
    if not config.quiet:
        output.table(("class", "images"), list(result.counts.items()), ("images",))
        output.line()
        features = output.counted(result.features, "feature")
        output.line(f"{features} of {result.layer.name}, {result.method}: {' and '.join(result.axes)}")
    _print_paths(*result.outputs.values())


def _print_paths(*paths: str | None) -> None:
    for path in paths:
        if path is not None:
            output.line(path)


def _shape(sizes: tuple[int, ...] | None) -> str:
    return "x".join(map(str, sizes or ()))

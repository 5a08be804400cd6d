"""`dlnotes visualize layers`, `filters`, `activations`, `maximize`, `dream`, `patches`, `neighbors`, `embedding`."""

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


@command(
    panel=_PANEL,
    task="visualize.maximize:maximize -> MaximizeResult",
    examples=(
        "dlnotes visualize maximize --unit cat,ship",
        "dlnotes visualize maximize small --layer relu3 --unit 1,2 --sheet units.png",
    ),
)
def maximize(config: MaximizeConfig) -> None:
    """Find the image that excites a unit most, by gradient ascent from an almost gray image.

    The image is optimized as a spectrum with uncorrelated colors, while it is shifted, zoomed and rotated at random
    (Olah et al. 2017). A unit of the output layer is a class.
    """


@command(
    panel=_PANEL,
    task="visualize.dream:dream -> DreamResult",
    examples=(
        "dlnotes visualize dream",
        "dlnotes visualize dream --layer relu2 --octaves 3 --out relu2.jpg",
    ),
)
def dream(config: DreamConfig) -> None:
    """Amplify what a layer finds in an image (DeepDream), or with --guide what resembles another image.

    Large images are processed in tiles at random shifts. Size and transparency are kept; the result is upright.
    """


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


@command(
    panel=_PANEL,
    task="visualize.embedding:embed -> EmbeddingResult",
    examples=(
        "dlnotes visualize embedding",
        "dlnotes visualize embedding --layer relu4 --method pca --sheet map.png",
    ),
)
def embedding(config: EmbeddingConfig) -> None:
    """Draw the images of a data set as points, by their features: similar images are close to each other.

    The features are those before the output layer, which classifies; they keep texture and background, not only the
    content. Those of a folder are cached.
    """

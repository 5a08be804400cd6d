"""The closed table of named sets, with the addresses, sizes and checksums of their published files."""

from dataclasses import dataclass


@dataclass(frozen=True)
class NamedFile:
    """A published file: size and SHA-256 as downloaded, and the SHA-256 after decompression if it is a gzip file."""

    name: str
    size: int
    sha256: str
    content_sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class NamedSet:
    """A published data set; `shape` is (C, H, W), `counts` is the number of samples in each split.

    `urls` are the folders that `files` are downloaded from; the second is used if the first fails. The files of an IDX
    set are images and labels of the training split, then of the test split. A CIFAR set has an archive of `records`,
    of which the last is the test split, and a file of class names. A set without files is embedded.
    """

    name: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    counts: dict[str, int]
    urls: tuple[str, ...] = ()
    files: tuple[NamedFile, ...] = ()
    folder: str = ""  # of the IDX files below the root of torchvision, or of the unpacked archive
    records: tuple[str, ...] = ()  # files of CIFAR
    label_bytes: int = 1  # of a record of CIFAR; the last one is the label
    names_file: str = ""

    @property
    def copies(self) -> tuple[tuple[str, ...], ...]:
        """The names of the files of a copy, unpacked or as published."""
        published = tuple(file.name for file in self.files)
        return self.records or tuple(name.removesuffix(".gz") for name in published), published


def _files(text: str) -> tuple[NamedFile, ...]:
    cells = [iter(text.split())] * 4
    return tuple(NamedFile(name, int(size), *checksums) for name, size, *checksums in zip(*cells, strict=True))


_DIGITS = tuple("0123456789")
_CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR100_CLASSES = tuple(
    """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
    caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
    flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
    motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
    poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
    squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
    wardrobe whale willow_tree wolf woman worm
    """.split()  # noqa: SIM905  # a hundred names read better as text
)
_MNIST_FILES = _files("""
    train-images-idx3-ubyte.gz 9912422 440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609
    ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db
    train-labels-idx1-ubyte.gz 28881 3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c
    65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5
    t10k-images-idx3-ubyte.gz 1648877 8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6
    0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7
    t10k-labels-idx1-ubyte.gz 4542 f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6
    ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2
""")
_FASHION_FILES = _files("""
    train-images-idx3-ubyte.gz 26421880 3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84
    c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888
    train-labels-idx1-ubyte.gz 29515 a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845
    bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9
    t10k-images-idx3-ubyte.gz 4422102 346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073
    5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b
    t10k-labels-idx1-ubyte.gz 5148 67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5
    0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34
""")
_CIFAR10_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
_CIFAR100_SHA256 = "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"
_TORONTO = ("https://www.cs.toronto.edu/~kriz/",)
_SETS = (
    NamedSet(name="digits", classes=_DIGITS, shape=(1, 8, 8), counts={"all": 1797}),
    NamedSet(
        name="mnist", classes=_DIGITS, shape=(1, 28, 28), counts={"train": 60_000, "test": 10_000},
        urls=("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
        files=_MNIST_FILES, folder="MNIST/raw",
    ),
    NamedSet(
        name="fashion-mnist", classes=_CLOTHES, shape=(1, 28, 28), counts={"train": 60_000, "test": 10_000},
        urls=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        files=_FASHION_FILES, folder="FashionMNIST/raw",
    ),
    NamedSet(
        name="cifar10", classes=_CIFAR10_CLASSES, shape=(3, 32, 32), counts={"train": 50_000, "test": 10_000},
        urls=_TORONTO, files=(NamedFile("cifar-10-binary.tar.gz", 170_052_171, _CIFAR10_SHA256),),
        folder="cifar-10-batches-bin", names_file="batches.meta.txt",
        records=(*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"),
    ),
    NamedSet(
        name="cifar100", classes=_CIFAR100_CLASSES, shape=(3, 32, 32), counts={"train": 50_000, "test": 10_000},
        urls=_TORONTO, files=(NamedFile("cifar-100-binary.tar.gz", 168_513_733, _CIFAR100_SHA256),),
        folder="cifar-100-binary", names_file="fine_label_names.txt", records=("train.bin", "test.bin"),
        label_bytes=2,  # coarse, fine
    ),
)  # fmt: skip
NAMED: dict[str, NamedSet] = {named_set.name: named_set for named_set in _SETS}

"""Shapes: a procedural image-classification data set that needs no download.

Every picture shows one object to be named among clutter, on a clouded ground, under noise. Position, scale,
rotation and colours are all drawn at random, so only form tells the class. The decimal digits of a class are
its description: units the shape, tens the fill, hundreds the fill of the ground. Classes 0 to 9 are the plain
shapes, 10 to 19 the same ones striped, and so on up to 999.

Pixels are the same bit for bit on every machine: the random stream is the frozen legacy one of numpy, and the
arithmetic keeps to float64 operations that IEEE 754 rounds exactly (+ - * / sqrt, comparisons).
"""

from hashlib import sha256
from math import inf, sqrt

import numpy as np

_CHUNK_PIXELS = 1 << 14  # pixels rendered at once: few enough for every intermediate plane to stay in cache
_KNOTS = (3, 9)  # knots per side of the two octaves of clouds
_COLUMNS = 192  # random numbers an image may use besides its noise


def _length(x, y):
    return np.sqrt(x * x + y * y)


def _box(x, y, a, b):
    return np.maximum(np.abs(x) - a, np.abs(y) - b)


def _xor(a, b):
    return np.maximum(np.minimum(a, b), -np.maximum(a, b))


def _wave(x, period):
    """Distance from x to the nearest multiple of period: a triangle wave."""
    return np.abs(x - period * np.floor(x / period + 0.5))


def _polygon(x, y, cosines, apothem, pointed=False):
    """Distance to a polygon with these cosines of edge normals; `pointed` adds its points, to make a star."""
    first = second = -inf
    for cosine in cosines:
        sine = sqrt(1 - cosine * cosine)
        for normal_y in {sine, -sine}:  # a set, for a normal along x is its own mirror image
            edge = x * cosine + y * normal_y
            second = np.maximum(second, np.minimum(first, edge))
            first = np.maximum(first, edge)
    return (second if pointed else first) - apothem


def _heart(x, y):
    x, y = np.maximum(x, y) - 0.54, np.minimum(x, y)  # either half, seen from the centre of its lobe
    return np.where(x < 0, np.maximum(-0.54 - y, -_length(x, y - 0.54)), _length(x, y) - 0.54)


# Distance to the edge, negative inside, in a frame where an object is about two units wide.
_SHAPES = {
    "circle": lambda x, y: _length(x, y) - 0.9,
    "square": lambda x, y: _box(x, y, 0.8, 0.8),
    "triangle": lambda x, y: _polygon(x, y, (1, -0.5), 0.55),
    "star": lambda x, y: _polygon(x, y, (1, (sqrt(5) - 1) / 4, (-sqrt(5) - 1) / 4), 0.42, pointed=True),
    "cross": lambda x, y: np.minimum(_box(x, y, 1, 0.33), _box(x, y, 0.33, 1)),
    "ring": lambda x, y: np.abs(_length(x, y) - 0.7) - 0.25,
    "crescent": lambda x, y: np.maximum(_length(x, y) - 1, 0.75 - _length(x - 0.5, y)),
    "heart": _heart,
    "ellipse": lambda x, y: 0.5 * _length(x, 2 * y) - 0.5,
    "hexagon": lambda x, y: _polygon(x, y, (1, 0.5, -0.5, -1), 0.82),
}

# Distance to the second colour, in the same frame; d is the distance to the object's edge.
_FILLS = {
    "solid": lambda x, y, d: inf,
    "striped": lambda x, y, d: _wave(x, 0.6) - 0.15,
    "checkered": lambda x, y, d: _xor(_wave(x, 0.8) - 0.2, _wave(y, 0.8) - 0.2),
    "dotted": lambda x, y, d: _length(_wave(x, 0.5), _wave(y, 0.5)) - 0.16,
    "outlined": lambda x, y, d: -0.18 - d,
    "banded": lambda x, y, d: _wave(d, 0.36) - 0.09,
    "halved": lambda x, y, d: x,
    "quartered": lambda x, y, d: _xor(x, y),
    "latticed": lambda x, y, d: np.minimum(_wave(x, 0.5), _wave(y, 0.5)) - 0.07,
    "zigzag": lambda x, y, d: _wave(x + _wave(y, 0.8), 0.6) - 0.15,
}

_CLASSES = [(shape, fill, ground) for ground in _FILLS for fill in _FILLS for shape in _SHAPES]
MAX_CLASSES = len(_CLASSES)


def _check(field, value, low, high=inf):
    if not isinstance(value, (int, np.integer)) or not low <= value <= high:
        allowed = f"of at least {low}" if high == inf else f"from {low} to {high}"
        raise ValueError(f"{field} is {value!r}: expected an integer {allowed}")
    return int(value)


def class_names(classes):
    """Return a list of `classes` readable names, such as "circle" or "striped star on dotted ground".

    Raises ValueError unless `classes` is an integer from 2 to MAX_CLASSES.
    """
    classes = _check("classes", classes, 2, MAX_CLASSES)
    names = [f"{fill} {shape} on {ground} ground" for shape, fill, ground in _CLASSES[:classes]]
    return [name.removeprefix("solid ").removesuffix(" on solid ground") for name in names]


def _colour(hue, saturation, value):
    """Channels (n, 3, 1, 1) of a colour from its hue in turns and its saturation and value in [0, 1]."""
    sector = hue + np.array([0, 2 / 3, 1 / 3]).reshape(3, 1, 1)
    wheel = np.abs(6 * (sector - np.floor(sector)) - 3) - 1
    return value * (1 - saturation + saturation * np.clip(wheel, 0, 1))


def _clouds(knots, size):
    """Smooth maps (n, 1, size, size) through knots (n, k * k)."""
    k = round(sqrt(knots.shape[1]))
    at = (np.arange(size) + 0.5) / size * (k - 1)
    cell = at.astype(int)
    t = (at - cell) * (at - cell) * (3 - 2 * (at - cell))
    rows = knots.reshape(-1, 1, k, k)
    rows = rows[:, :, cell] + (rows[:, :, cell + 1] - rows[:, :, cell]) * t[:, None]
    return rows[..., cell] + (rows[..., cell + 1] - rows[..., cell]) * t


def _render(label, numbers, noise, size):
    """Pictures, uint8 (n, size, size, 3), from uniform numbers (n, _COLUMNS) and noise (n, 3, size, size)."""
    shape, fill, ground = _CLASSES[label]
    *knots, numbers = np.split(numbers, np.cumsum([k * k for k in _KNOTS]), axis=1)
    columns = iter(numbers.T[:, :, None, None, None])
    x = (np.arange(size) + 0.5) / size

    def draw(low, high):
        return low + (high - low) * next(columns)

    def frame(low, high, margin):
        """A random frame, its centre so many units inside the picture: the coordinates and the unit."""
        unit, u, v = draw(low, high), draw(-1, 1), draw(-1, 1)
        norm, inset = unit * (_length(u, v) + 1e-9), unit * margin
        dx = (x - inset - draw(0, 1) * (1 - 2 * inset)) / norm
        dy = (x[:, None] - inset - draw(0, 1) * (1 - 2 * inset)) / norm
        return dx * u + dy * v, dy * u - dx * v, unit

    def cover(distance, unit):
        return np.clip(0.5 - distance * (unit * size), 0, 1)  # the share of a pixel inside, for a soft edge

    def clutter(picture):
        px, py, unit = frame(0.02, 0.065, 0)
        stick = _length(np.maximum(np.abs(px) - draw(0, 4), 0), py) - 1
        return picture + cover(stick, unit) * (_colour(draw(0, 1), draw(0.2, 0.8), draw(0.2, 1)) - picture)

    def shade(turn, saturation, on_light, on_dark):
        return _colour(hue + draw(*turn), draw(*saturation), np.where(light, draw(*on_light), draw(*on_dark)))

    hue, light = draw(0, 1), draw(0, 1) < 0.5
    far = shade((-0.1, 0.1), (0.1, 0.45), (0.65, 0.85), (0.22, 0.4))
    near = shade((-0.1, 0.1), (0.1, 0.45), (0.8, 1), (0.1, 0.25))
    body = shade((0.2, 0.5), (0.5, 0.9), (0.25, 0.55), (0.75, 1))
    trim = shade((0.5, 0.8), (0.5, 0.9), (0.65, 0.95), (0.35, 0.6))

    broad, fine = [_clouds(k, size) for k in knots]
    clouds = broad + draw(0.1, 0.5) * (fine - broad)
    if ground != "solid":
        px, py, unit = frame(0.35, 0.5, 0.7)
        pattern = cover(_FILLS[ground](px, py, _SHAPES["square"](px, py)), unit)
        clouds = pattern + 0.35 * (clouds - pattern)
    picture = clutter(clutter(far + clouds * (near - far)))

    px, py, unit = frame(0.24, 0.38, 1)
    distance = _SHAPES[shape](px, py)
    colour = body + cover(_FILLS[fill](px, py, distance), unit) * (trim - body)
    picture = clutter(picture + cover(distance, unit) * (colour - picture))
    pixels = np.clip(picture + draw(0.02, 0.14) * (noise - 0.5), 0, 1) * 255 + 0.5
    return pixels.astype(np.uint8).transpose(0, 2, 3, 1)


def generate(split, per_class, classes=10, size=32, seed=0):
    """Return (images, labels): uint8 (classes * per_class, size, size, 3) and int64 (classes * per_class,).

    Images are RGB, `size` pixels a side, ordered by label. The first images of a class are the same whatever
    `per_class` and `classes`, so smaller sets nest in larger ones. The values of `split`, "train" and "test",
    and of `seed` each give pictures of their own.

    Raises ValueError for any other `split`, `per_class` below 1, `classes` outside 2 to MAX_CLASSES, `size`
    below 8, or a negative `seed`.
    """
    if split not in ("train", "test"):
        raise ValueError(f"split is {split!r}: expected 'train' or 'test'")
    per_class, seed = _check("per_class", per_class, 1), _check("seed", seed, 0)
    size, classes = _check("size", size, 8), _check("classes", classes, 2, MAX_CLASSES)
    images = np.empty((classes, per_class, size, size, 3), np.uint8)
    step = max(1, _CHUNK_PIXELS // size**2)
    for label in range(classes):
        # Drawn in order, so no image depends on how many follow; noise apart, so scenes ignore the size.
        digests = [sha256(f"{seed}/{split}/{label}/{name}".encode()).digest() for name in ("scene", "noise")]
        scenes, noises = [np.random.RandomState(np.frombuffer(digest, "<u4")) for digest in digests]
        for start in range(0, per_class, step):
            count = min(step, per_class - start)
            numbers = scenes.random_sample((count, _COLUMNS))
            noise = noises.random_sample((count, 3, size, size))
            images[label, start : start + count] = _render(label, numbers, noise, size)
    return images.reshape(-1, size, size, 3), np.repeat(np.arange(classes, dtype=np.int64), per_class)

"""Inputs."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from converter.errors import InputError
from families import get_family
from parity.command import run
from parity.errors import ParityInputError
from parity.networks.inputs import DEFAULT_SIZES, make_images, read_image, read_inputs
from parity.options import Options
from recipe.preprocessing import preprocess
from tests.cli.run import assert_one_line_error, call
from tests.parity import several_inputs

SPEC = "tests.parity.several_inputs:"


def test_official_preprocessing_is_bgr_minus_mean():
    pixels = np.zeros((1, 1, 3), np.uint8)
    pixels[..., 0] = 255  # red
    values = preprocess(pixels, get_family("official").preprocessing)
    assert values.shape == (3, 1, 1)
    np.testing.assert_allclose(values[:, 0, 0], [-104.00698793, -116.66876762, 255 - 122.67891434])


def test_pictures_are_resized(tmp_path):
    Image.new("RGB", (30, 20), (10, 20, 30)).save(tmp_path / "p.png")
    images = read_image(tmp_path / "p.png", get_family("official").preprocessing, size=(9, 17))
    assert images.shape == (1, 3, 9, 17)


@pytest.mark.parametrize("content", [None, b"", b"not a picture"])
def test_unreadable_pictures_are_refused(tmp_path, content):
    path = tmp_path / "p.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ParityInputError, match="not a readable picture"):
        read_image(path, get_family("official").preprocessing)


def test_random_images_depend_on_seed_and_size():
    assert make_images((8, 9), seed=0).shape == (2, 3, 8, 9)
    assert not np.array_equal(make_images((8, 9), seed=0), make_images((8, 9), seed=1))


def test_default_sizes_are_odd_even_and_of_a_square_feature_map():
    assert {tuple(size % 2 for size in sizes) for sizes in DEFAULT_SIZES} == {(0, 0), (1, 1)}
    assert sum(height == width for height, width in DEFAULT_SIZES) == 1


def compare(inputs, port="build", **settings):
    return run(Options(reference=f"{SPEC}build_reference", port=SPEC + port, inputs=inputs, **settings))


def saved(tmp_path, *ordered, **named):
    np.savez(tmp_path / "inputs.npz", *ordered, **named)
    return str(tmp_path / "inputs.npz")


@pytest.mark.parametrize("function", ["inputs", "inputs_in_order", "inputs_in_another_order"])
def test_several_inputs_of_a_function(function):
    """Integers, booleans and numbers; the masked energies are minus infinity on both sides, which agree."""
    report = compare(SPEC + function)
    assert report, report.summary
    assert {layer.input for layer in report.layers} == {SPEC + function}
    assert {layer.output for layer in report.layers if layer.path == ""} == {0, 1, 2, 3}
    assert not report.coverage.uninfluential


def test_several_inputs_of_a_file(tmp_path):
    report = compare(saved(tmp_path, **several_inputs.inputs()))
    assert report, report.summary
    assert {layer.input for layer in report.layers} == {"inputs.npz"}


def test_names_that_the_networks_do_not_know_are_given_in_order(tmp_path):
    assert compare(saved(tmp_path, *several_inputs.inputs_in_order()))


def test_a_mask_that_is_not_infinite_is_a_mistake():
    report = compare(f"{SPEC}inputs", port="build_finite")
    assert {one.path for one in report.guilty} == {""}


@pytest.mark.parametrize("port", ["build_half", "build_bfloat"])
def test_a_port_in_half_precision_is_compared_or_refused_in_one_line(port):
    said = ""
    try:
        passed = bool(compare(f"{SPEC}inputs", port=port))
    except ParityInputError as error:
        passed, said = False, str(error)
    assert passed or (said.startswith(f"--port {SPEC}{port}: ") and "\n" not in said)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("words_as_text", "gives <U3, not arrays of numbers"),
        ("nothing", "gives nothing, not arrays of numbers"),
        ("no_such", "AttributeError"),
    ],
)
def test_inputs_that_are_no_numbers_are_refused(function, said):
    with pytest.raises(ParityInputError, match=said) as caught:
        read_inputs(SPEC + function)
    assert str(caught.value).startswith(f"--inputs {SPEC}{function}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"not an archive"])
def test_an_unreadable_file_is_refused(tmp_path, content):
    path = tmp_path / "inputs.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"not a readable \.npz"):
        read_inputs(str(path))


def test_pickled_objects_are_refused(tmp_path):
    path = saved(tmp_path, words=np.array([{}], dtype=object))
    with pytest.raises(InputError, match="words cannot be read"):
        read_inputs(path)


def test_inputs_that_a_network_does_not_take_name_it(tmp_path):
    with pytest.raises(ParityInputError, match=f"--reference {SPEC}build_reference: cannot run it"):
        compare(saved(tmp_path, words=several_inputs.WORDS))


@pytest.mark.parametrize("shape", [(1, 4, 33, 33), (1, 3, 2, 0)])
def test_inputs_that_a_twin_does_not_take_are_one_line(shape, tmp_path):
    np.savez(tmp_path / "x.npz", images=np.ones(shape, np.float32))
    result = call("ccnet-parity", "--inputs", tmp_path / "x.npz", "--family", "imagenet")
    assert_one_line_error(result, 2, "x.npz: ", "cannot run on them" if 0 not in shape else "without elements")


def test_whole_numbers_and_booleans_stay_what_they_are(tmp_path):
    (arguments,) = read_inputs(saved(tmp_path, **several_inputs.inputs())).values()
    assert {name: array.dtype.kind for name, array in arguments.kwargs.items()} == {
        "words": "i",
        "mask": "b",
        "numbers": "f",
    }

"""Series in the order of space; whatever is not whole is refused, never mended."""

import shutil

import numpy as np
import pytest

from dicoms import NAME, make_dicom, save
from scanside.runtime.errors import SeriesError, UnreadableImageError, UnsupportedImageError
from scanside.train.data.dicom_series import read_series


def first_pixels(series):
    """HU of the first pixel, which counts the images as they were made."""
    return [int(one.values[0, 0]) + 1024 for one in series.slices]


def refusal(paths, **options):
    with pytest.raises(SeriesError) as caught:
        read_series(paths, **options)
    assert NAME not in str(caught.value)
    return caught.value.reason


def test_images_are_sorted_by_their_place_not_by_name(make_series):
    paths = make_series([8.0, -4.0, 0.0, 4.0])
    series = read_series(sorted(paths))
    assert first_pixels(series) == [1, 2, 3, 0]
    assert series.stacks[0].positions_mm == [-4, 0, 4, 8]


def test_the_place_is_along_the_normal_of_the_slices(make_series):
    # Sagittal: the row runs to the back, the column to the feet, the normal to the patient's right.
    places = [[x, 50.0 * x, 0] for x in (3.0, -3.0, 0.0)]
    paths = make_series(
        [0.0] * 3,
        each={"ImagePositionPatient": places},
        ImageOrientationPatient=[0, 1, 0, 0, 0, -1],
    )
    series = read_series(paths)
    assert series.stacks[0].positions_mm == [-3, 0, 3]
    assert first_pixels(series) == [0, 2, 1]


def test_a_real_mr_series_is_whole(data_dir):
    paths = list((data_dir / "mr_siemens_prisma").iterdir())
    (stack,) = read_series(paths).stacks
    assert len(stack.slices) == 35
    np.testing.assert_allclose(np.diff(stack.positions_mm), 4.8, atol=1e-3)


def test_a_real_ct_series_of_two_thicknesses_is_two_stacks(data_dir):
    thin, thick = read_series(list((data_dir / "ct_ge_hispeed_dual").iterdir())).stacks
    assert (len(thin.slices), len(thick.slices)) == (14, 14)
    # A tilted gantry: 4.22 and 7.38 mm along the table.
    np.testing.assert_allclose(np.diff(thin.positions_mm), 4.0, atol=0.01)
    np.testing.assert_allclose(np.diff(thick.positions_mm), 7.0, atol=0.01)


@pytest.mark.parametrize("lost", [1, 5, 12, 20])
def test_a_series_with_one_slice_removed_is_refused(data_dir, lost):
    paths = sorted((data_dir / "ct_ge_hispeed_dual").iterdir())
    del paths[lost]
    assert refusal(paths) == "missing positions"


def test_a_series_with_one_slice_twice_is_refused(data_dir, tmp_path):
    paths = sorted((data_dir / "mr_siemens_prisma").iterdir())
    copy = shutil.copy(paths[7], tmp_path / "copy.dcm")
    assert refusal([*paths, copy]) == "duplicate positions"


@pytest.mark.parametrize(
    ("moved", "fine"), [(4.0, True), (4.4, True), (3.6, True), (5.0, False), (3.0, False)]
)
def test_positions_may_be_rounded_but_not_uneven(make_series, moved, fine):
    paths = make_series([-4.0, 0.0, moved, moved + 4, moved + 8])
    if fine:
        assert len(read_series(paths).slices) == 5
    else:
        assert refusal(paths) == "missing positions"


@pytest.mark.parametrize(
    "each",
    [
        {"Modality": ["CT", "CT", "MR"]},
        {"PixelSpacing": [[0.7, 0.7], [0.7, 0.7], [0.8, 0.8]]},
        {"PixelSpacing": [[0.7, 0.7], [0.7, 0.7], None]},
        {
            "ImageOrientationPatient": [
                [1, 0, 0, 0, 1, 0],
                [1, 0, 0, 0, 1, 0],
                [1, 0, 0, 0, 0.995, 0.0998],
            ]
        },
    ],
)
def test_a_mixed_series_is_refused(make_series, each):
    assert refusal(make_series([0.0, 4.0, 8.0], each=each)) == "mixed series"


def test_images_of_two_sizes_or_two_series_are_mixed(make_series):
    one = make_series([0.0, 4.0], SeriesInstanceUID="1.2.3")
    other = make_series([8.0], name="other", side=40, SeriesInstanceUID="1.2.3")
    assert refusal(one + other) == "mixed series"
    another = make_series([8.0], name="another")
    assert refusal(one + another) == "mixed series"


@pytest.mark.parametrize("element", ["EchoTime", "TemporalPositionIdentifier", "AcquisitionNumber"])
def test_passes_through_the_same_positions_are_separated(make_series, element):
    paths = make_series(
        [0.0, 4.0, 8.0] * 2, each={element: [1, 1, 1, 2, 2, 2]}, Modality="MR", RescaleIntercept=0
    )
    one, two = read_series(paths).stacks
    assert one.positions_mm == two.positions_mm == [0, 4, 8]
    assert [piece.values[0, 0] for piece in one.slices + two.slices] == [0, 1, 2, 3, 4, 5]


def test_passes_through_other_positions_are_not_separated(make_series):
    paths = make_series([0.0, 4.0, 8.0, 0.0, 4.0], each={"EchoTime": [1, 1, 1, 2, 2]})
    assert refusal(paths) == "duplicate positions"
    paths = make_series([0.0, 4.0, 4.0, 8.0], name="shifted", each={"EchoTime": [1, 1, 2, 2]})
    assert refusal(paths) == "duplicate positions"


def test_a_numbered_acquisition_for_each_slice_separates_nothing(make_series):
    paths = make_series([0.0, 4.0, 8.0], each={"AcquisitionNumber": [1, 2, 3]})
    assert len(read_series(paths).stacks) == 1


@pytest.mark.parametrize("orientation", [None, [1, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0]])
def test_a_series_that_does_not_tell_its_places_is_refused(make_series, orientation):
    each = {"ImageOrientationPatient": [[1, 0, 0, 0, 1, 0], orientation]}
    assert refusal(make_series([0.0, 4.0], each=each)) == "series without geometry"


def test_an_image_alone_needs_no_geometry(tmp_path):
    words = np.arange(64, dtype=np.int16).reshape(8, 8)
    path = save(make_dicom(words, RescaleSlope=1, RescaleIntercept=0), tmp_path / "one.dcm")
    (stack,) = read_series([path]).stacks
    assert len(stack.slices) == 1
    assert stack.positions_mm == []


def test_radiographs_of_a_series_stand_alone(make_series):
    views = make_series([0.0, 0.0], Modality="DX", RescaleIntercept=0)
    other = make_series([0.0], name="lateral", side=40, Modality="DX", RescaleIntercept=0)
    series = read_series(views, ("DX",))
    assert len(series.stacks) == 2
    with pytest.raises(SeriesError, match="more than one series"):
        read_series(views + other, ("DX",))


def test_a_localiser_among_the_images_is_refused(make_series):
    kinds = [["ORIGINAL", "PRIMARY", "AXIAL"]] * 2 + [["ORIGINAL", "PRIMARY", "LOCALIZER"]]
    paths = make_series([0.0, 4.0, 8.0], each={"ImageType": kinds})
    with pytest.raises(UnsupportedImageError) as caught:
        read_series(paths)
    assert caught.value.reason == "localiser"


def test_an_enhanced_series_is_read_frame_by_frame(data_dir):
    path = data_dir / "odd" / "philips_elition_enh_1901_WIP_3DpCASL_real.dcm"
    (stack,) = read_series([path]).stacks
    assert len(stack.slices) == 40
    np.testing.assert_allclose(np.diff(stack.positions_mm), 4.0, atol=1e-3)
    assert stack.slices[0].pixel_mm == 2.5


def test_a_file_that_cannot_be_read_is_refused_as_the_device_does(data_dir):
    with pytest.raises(UnreadableImageError) as caught:
        read_series([data_dir / "bad" / "MR_truncated.dcm"])
    assert caught.value.reason == "truncated"


def test_a_series_of_maps_tells_why_it_is_of_no_use(data_dir):
    with pytest.raises(UnsupportedImageError) as caught:
        read_series([data_dir / "odd" / "eCT_Supplemental.dcm"])
    assert caught.value.reason == "not HU"

"Videos: the same frames from two libraries, and damage that is reported."

import numpy as np
import pytest
import torch

from last.core import ParseError
from last.synthetic import film, perform, write_video
from last.video import crop_size, frames_at, normalize_video, promised_frames, read_video

LIBRARIES = ("decord", "av")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    "A short video of 160 x 120 pixels."
    path = tmp_path_factory.mktemp("videos") / "clip.avi"
    write_video(path, film(perform(1, 1, 1), 2, np.random.default_rng(0)), size=(160, 120))
    return path


@pytest.mark.parametrize("how", ("crop", "squash"))
def test_two_libraries_read_the_same_frames(file, how):
    one, other = (read_video(file, 6, 64, how, library).astype(int) for library in LIBRARIES)
    assert one.shape == other.shape == (6, 64, 64, 3)
    assert np.abs(one - other).mean() < 4
    assert np.abs(one - one[::-1]).mean() > np.abs(one - other).mean()


@pytest.mark.parametrize("library", LIBRARIES)
def test_all_frames_and_some_of_them(file, library):
    every = read_video(file, 0, 48, library=library)
    assert len(every) == promised_frames(str(file))
    some = read_video(file, 4, 48, library=library)
    assert np.array_equal(some, every[frames_at(len(every), 4)])


@pytest.mark.parametrize("library", LIBRARIES)
def test_random_frames_are_those_of_the_rule(file, library):
    every = read_video(file, 0, 48, library=library)
    some = read_video(file, 4, 48, library=library, rng=np.random.default_rng(5))
    assert np.array_equal(some, every[frames_at(len(every), 4, np.random.default_rng(5))])


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    "content, message",
    [
        (lambda whole: whole[: len(whole) // 2], "cut short, "),
        (lambda whole: b"not a video", "not a video that can be read"),
        (lambda whole: b"", "empty file"),
    ],
    ids=("half", "text", "empty"),
)
def test_damage_is_named(file, tmp_path, library, content, message):
    bad = tmp_path / "bad.avi"
    bad.write_bytes(content(file.read_bytes()))
    with pytest.raises(ParseError, match=message) as e:
        read_video(bad, 4, 48, library=library)
    assert str(bad) in str(e.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ParseError, match=r"none\.avi: no such file"):
        read_video(tmp_path / "none.avi")


def test_one_frame_of_each_piece():
    assert frames_at(160)[:3].tolist() == [5, 15, 25]
    assert frames_at(40, 4, np.random.default_rng(0)).tolist() != frames_at(40, 4).tolist()
    assert (frames_at(40, 4, np.random.default_rng(0)) // 10).tolist() == [0, 1, 2, 3]


def test_short_clips_repeat_frames_in_order():
    assert frames_at(4).tolist() == sorted(list(range(4)) * 4)
    assert frames_at(1, 3).tolist() == [0, 0, 0]


def test_short_side_becomes_the_size():
    assert crop_size(1920, 1080, 224, "crop") == (398, 224)
    assert crop_size(240, 320, 224, "crop") == (224, 299)
    assert crop_size(320, 240, 224, "squash") == (224, 224)


def test_pictures_that_are_too_small_are_refused():
    with pytest.raises(ValueError, match="pictures of 320 x 16"):
        crop_size(320, 16, 224, "crop")


def test_normalized_videos_have_channels_first():
    x = normalize_video(torch.randint(0, 256, (2, 4, 8, 6, 3), dtype=torch.uint8))
    assert x.shape == (2, 3, 4, 8, 6)
    black = normalize_video(torch.zeros(1, 1, 1, 1, 3, dtype=torch.uint8)).flatten()
    assert torch.allclose(black, torch.tensor([-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225]))


# phones


def film_phone(path, times, quarters=0):
    "A video whose frame i is as bright as its number, red in one corner; frames begin at `times`."
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=100)
        stream.width, stream.height = 96, 64
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 4_000_000
        for i, time in enumerate(times):
            picture = np.full((64, 96, 3), 5 * i, np.uint8)
            picture[:20, :30] = [255, 0, 0]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = time
            container.mux(stream.encode(frame))
        container.mux(stream.encode())

    # the rotation mark is a matrix in the track's header
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 44
    cos, sin = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarters]
    matrix = np.array([cos << 16, sin << 16, 0, -sin << 16, cos << 16, 0, 0, 0, 1 << 30], ">i4")
    content[at : at + 36] = matrix.tobytes()
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("quarters", range(4))
def test_a_turned_video_is_upright_in_both_libraries(tmp_path, quarters):
    path = film_phone(tmp_path / "phone.mp4", range(12), quarters)
    one, two = (read_video(path, 4, 64, "squash", library) for library in ("decord", "av"))
    corners = [(10, 10), (10, -10), (-10, -10), (-10, 10)]  # clockwise, as the mark turns
    for video in (one, two):
        red = [int(video[0, y, x, 0]) for y, x in corners]
        assert int(np.argmax(red)) == quarters
    assert np.abs(one.astype(int) - two).mean() < 3


@pytest.mark.parametrize("library", ["decord", "av"])
def test_a_varying_rate_is_read_by_time(tmp_path, library):
    times = [*range(10), *range(10, 100, 10)]  # half of the frames in the first tenth
    path = film_phone(tmp_path / "phone.mp4", times)
    video = read_video(path, 5, 64, "squash", library)
    numbers = video[:, -10, -10].mean(-1) / 5
    seconds = np.array(times)[numbers.round().astype(int)]
    assert np.abs(seconds - [10, 30, 50, 70, 90]).max() <= 10

"Moving pictures: nobody is stretched, everybody is seen from the front, and the bars say enough."

import numpy as np

from last.moving import bar_colors, likeliest, save_gif, turned
from last.preparation import PrepareConfig, prepare
from last.skeletons import get_skeleton


def test_turned_people_keep_their_shape_and_are_seen_from_the_front(tmp_path):
    store = prepare(PrepareConfig(out=str(tmp_path / "store")))
    left, right = store.skeleton.shoulders
    for i in range(0, len(store), 20):
        clip = store[i]
        seen = turned(clip, store.skeleton)
        for a, b in ((0, 20), (3, 9)):
            before = np.linalg.norm(clip[..., a, :] - clip[..., b, :], axis=-1)
            after = np.linalg.norm(seen[..., a, :] - seen[..., b, :], axis=-1)
            np.testing.assert_allclose(before, after, atol=1e-4)
        across = seen[0, 0, left] - seen[0, 0, right]
        assert across[0] > 0.8 * np.linalg.norm(across)  # their left hand is on our right
        assert seen[0, 0, 20, 1] > seen[0, 0, 0, 1]  # head above hips


def test_nobody_to_turn_is_no_error():
    clip = np.full((1, 4, 25, 3), np.nan, np.float32)
    assert turned(clip, get_skeleton("ntu25")).shape == clip.shape


def test_true_class_and_answer_are_always_among_the_bars():
    rng = np.random.default_rng(0)
    for _ in range(200):
        p = rng.dirichlet(np.full(12, 0.2), 6)
        label, answer = int(rng.integers(12)), int(p[-1].argmax())
        top = likeliest(p, label)
        assert len(set(top.tolist())) == 5 and label in top
        assert top[0] == answer
        colors = bar_colors(top, label)
        assert (colors[0] == colors[top.tolist().index(label)]) == (answer == label)
        assert len(set(colors)) == (2 if answer == label else 3)


def test_colors_of_a_picture_survive(tmp_path):
    from PIL import Image

    frame = np.full((40, 60, 3), 255, np.uint8)
    frame[10:20, 10:20] = (31, 119, 180)
    frame[10:20, 30:40] = (255, 127, 14)
    frames = [np.roll(frame, shift, 1) for shift in range(5)]
    save_gif(frames, tmp_path / "x.gif")
    with Image.open(tmp_path / "x.gif") as moving:
        assert moving.n_frames == 5
        for i, expected in enumerate(frames):
            moving.seek(i)
            found = np.asarray(moving.convert("RGB")).astype(int)
            assert np.abs(found - expected).max() < 8
            assert (found[0] == 255).all()  # white stays white

"The puppet keeps its shape, performances and files repeat, and what is written is what is read."

import numpy as np
import pytest

from last.parsing import parse_fast, read_ntu, read_ntu_bodies
from last.puppet import ACTIONS, CLASSES, JOINT, Person, Phase, assemble, rest
from last.skeletons import get_skeleton
from last.synthetic import SynthConfig, film, ntu_text, perform, render, sense, synthesize

NTU = get_skeleton("ntu25")
HANDSHAKE = CLASSES.index("shake hands")


def body_of(move, person, frames=50):
    phase = Phase(np.linspace(0, 1, frames))
    return assemble(move(rest(frames), phase, person), person)


def moves():
    "Every function in the table, those of the partners included."
    rows = ACTIONS.values()
    return {move for row in rows for move in (row.move, row.partner) if move}


@pytest.mark.parametrize("move", sorted(moves(), key=lambda m: m.__name__))
@pytest.mark.parametrize("person", [Person(), Person.of(1, 0), Person.of(4, 0)], ids=str)
def test_bones_keep_their_length(move, person):
    body = body_of(move, person)
    for joint, parent in NTU.bones:
        if max(joint, parent) <= 20:  # all but thumbs and hand tips
            length = np.linalg.norm(body[:, joint] - body[:, parent], axis=-1)
            assert length.std() < 1e-9


@pytest.mark.parametrize("name", CLASSES)
def test_only_a_jump_leaves_the_ground(name):
    lowest = body_of(ACTIONS[name].move, Person())[..., 1].min(1)
    assert lowest.min() > -1e-9
    assert (lowest.max() > 0.05) == (name == "jump")


@pytest.mark.parametrize("move", sorted(moves(), key=lambda m: m.__name__))
def test_left_handed_is_the_mirror_image(move):
    right = body_of(move, Person())
    left = body_of(move, Person(left_handed=True))
    mirrored = left[:, list(NTU.mirror)] * [-1, 1, 1]
    if move.__name__ == "walk_in_place":  # always starts on the left
        assert np.array_equal(left, right)
    else:
        assert np.allclose(mirrored, right, atol=1e-9)


def test_actions_differ_from_each_other():
    bodies = {name: body_of(row.move, Person()) for name, row in ACTIONS.items()}
    for a in CLASSES:
        for b in CLASSES[: CLASSES.index(a)]:
            assert np.abs(bodies[a] - bodies[b]).max() > 0.1, (a, b)


def test_a_subject_is_always_the_same_person():
    assert Person.of(3, seed=0) == Person.of(3, seed=0)
    assert Person.of(3, seed=0) != Person.of(4, seed=0)
    assert Person.of(3, seed=0) != Person.of(3, seed=1)


def test_performances_repeat_and_replications_differ():
    first = perform(5, 3, 1)[0]
    assert np.array_equal(first, perform(5, 3, 1)[0])
    assert not np.array_equal(first, perform(5, 3, 2)[0])
    assert not np.array_equal(first, perform(5, 3, 1, seed=1)[0])


def test_two_persons_where_the_table_says_so():
    for label, row in enumerate(ACTIONS.values()):
        assert len(perform(label, 1, 1)) == (2 if row.partner else 1)


def test_a_camera_keeps_all_distances():
    def distances(bodies):
        joints = np.concatenate(bodies, 1)
        return np.linalg.norm(joints[:, :, None] - joints[:, None], axis=-1)

    shake = perform(HANDSHAKE, 1, 1)
    for camera in (1, 2, 3):
        filmed = film(shake, camera, np.random.default_rng(camera))
        assert np.allclose(distances(filmed), distances(shake), atol=1e-9)


def test_who_faces_the_camera_has_the_right_hand_at_greater_x():
    front = film(perform(0, 1, 1), 2, np.random.default_rng(0))[0]
    assert (front[:, JOINT["right shoulder"], 0] > front[:, JOINT["left shoulder"], 0]).all()


@pytest.fixture
def sensed():
    rng = np.random.default_rng(4)
    return [sense(body, rng) for body in film(perform(HANDSHAKE, 1, 1), 2, rng)]


@pytest.fixture
def file(sensed, tmp_path):
    path = tmp_path / "S001C002P001R001A013.skeleton"
    path.write_text(ntu_text(sensed))
    return path


def test_what_is_written_is_what_is_read(sensed, file):
    T, bodies = read_ntu_bodies(file)
    assert len(sensed[0][0]) == T
    assert {b.id for b in bodies} == {str(i) for _, _, ids in sensed for i in ids if i}
    assert sum(len(b.frames) for b in bodies) == sum((ids > 0).sum() for _, _, ids in sensed)

    for body in bodies:
        joints = next(joints for joints, _, ids in sensed if int(body.id) in ids)
        assert np.allclose(body.xyz, joints[body.frames], atol=1e-6)


def test_the_format_is_exact_enough_for_the_fast_reader(sensed, file):
    assert parse_fast(file.read_bytes())[0] == len(sensed[0][0])


def test_lost_bodies_and_new_ids_occur():
    body = film(perform(1, 3, 1), 2, np.random.default_rng(0))[0]
    ids = [sense(body, np.random.default_rng(k))[2] for k in range(40)]
    assert any((i == 0).any() for i in ids)
    assert any(len(set(i[i > 0])) == 2 for i in ids)


def test_frame_t_of_the_video_is_frame_t_of_the_skeleton(tmp_path):
    av = pytest.importorskip("av")
    from last.synthetic import write_video

    people = [body[:12] for body in film(perform(HANDSHAKE, 1, 1), 2, np.random.default_rng(4))]
    write_video(tmp_path / "v.avi", people)
    with av.open(str(tmp_path / "v.avi")) as container:
        pictures = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]

    assert len(pictures) == 12
    for t, picture in enumerate(pictures):
        assert np.abs(picture.astype(float) - render(people, t)).mean() < 8


def test_a_body_outside_of_the_picture_is_not_drawn():
    people = film(perform(0, 1, 1), 2, np.random.default_rng(0))
    empty = render([], 0)
    assert np.array_equal(render([people[0] + [50, 0, 0]], 0), empty)
    assert not np.array_equal(render(people, 0), empty)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    cfg = SynthConfig(str(tmp_path_factory.mktemp("a")), subjects=1, replications=1, cameras=2)
    return synthesize(cfg)


def test_the_same_seed_writes_the_same_bytes(small, tmp_path):
    again = synthesize(SynthConfig(str(tmp_path), subjects=1, replications=1, cameras=2))
    assert [p.name for p in small] == [p.name for p in again]
    assert [p.read_bytes() for p in small] == [p.read_bytes() for p in again]


def test_another_seed_writes_other_bytes(small, tmp_path):
    only = dict(subjects=1, replications=1, cameras=1, actions=1)
    other = synthesize(SynthConfig(str(tmp_path), **only, seed=1))[0]
    assert other.name == small[0].name
    assert other.read_bytes() != small[0].read_bytes()


def test_every_class_is_read_with_its_persons(small):
    clips = [read_ntu(p) for p in small]
    assert sorted({c.label for c in clips}) == list(range(14))
    for clip in clips:
        partner = ACTIONS[CLASSES[clip.label]].partner
        assert clip.present.any(1).sum() == (2 if partner else 1)


def test_a_video_for_each_clip_on_request(tmp_path):
    pytest.importorskip("av")
    cfg = SynthConfig(str(tmp_path), 1, replications=1, cameras=1, actions=1, video=True)
    (path,) = synthesize(cfg)
    assert (tmp_path / f"{path.stem}_rgb.avi").stat().st_size > 0


@pytest.mark.parametrize(
    "wrong", [{"cameras": 4}, {"cameras": 0}, {"actions": 15}, {"subjects": 0}, {"replications": 0}]
)
def test_settings_out_of_range_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match=r"expected cameras 1\.\.3, actions 1\.\.14"):
        synthesize(SynthConfig(str(tmp_path / "x"), **wrong))
    assert not (tmp_path / "x").exists()

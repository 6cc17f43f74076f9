"Maps that add up, agree with captum, find what was deleted, and a page that explains one answer."

import base64
import json
import re
import shlex
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import ROOT
from torch import nn

from last.causal import gated
from last.cli import main, parse
from last.explain import (
    ExplainConfig,
    command_of,
    explain,
    explain_clip,
    find_clip,
    hold_joints,
    nearest_training,
    write_pictures,
)
from last.faithfulness import curves, maps_for, random_twin, rank_agreement, rank_points, shaken
from last.features import agreement_per_clip, describe_clips, fit_to, hardest_pairs, unit_size
from last.hdm05 import read_pack
from last.interpretation import (
    attention_map,
    body_parts,
    brightness,
    class_logits,
    contributions,
    grad_cam,
    hold_still,
    integrated_gradients,
    keep_features,
    layers_of,
    moments_of,
    on_frames,
)
from last.parsing import Clip
from last.pipeline import Pipeline
from last.preparation import PrepareConfig, prepare
from last.preprocessing import PreprocessConfig
from last.runs import load_run, trained_on
from last.scores import Scores
from last.skeletons import SKELETONS, get_skeleton
from last.store import Store, write_store
from last.training import TrainConfig, train
from last.zoo import NETWORKS, build_model

NANO = ROOT / "nbs/trained/hdm05_nano"
LABELS = torch.tensor([3, 1])  # the classes that two clips are asked about
EVERY = [*NETWORKS, "nano pool=mean+max", "causal-nano attention=linear half_lives=16,64"]
EVERY += ["causal-nano gate=true"]


def network(name, seed=0):
    "A network with random weights, and running statistics that are not those of an empty one."
    torch.manual_seed(seed)
    model = build_model(name, "ntu25", 5, 12 if "causal" in name else 3).eval()
    for layer in model.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.running_mean.uniform_(-0.1, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
    return model


def batch(name, persons=2, frames=16):
    "Two clips; in the first the second person is absent, the second is shorter."
    torch.manual_seed(1)
    x = torch.randn(2, 12 if "causal" in name else 3, frames, 25, persons)
    mask = torch.ones(2, frames, persons, dtype=torch.bool)
    mask[0, :, 1:] = False
    mask[1, frames - 4 :] = False
    return x * mask[:, None, :, None], mask


@pytest.fixture(scope="module")
def nano():
    return load_run(NANO)


@pytest.fixture(scope="module")
def unseen():
    "A clip of every class (kick is number 5), of people whom the networks have never seen."
    seen = trained_on(NANO)
    clips = {clip.label: clip for clip in read_pack() if clip.name not in seen}
    return [clips[label] for label in sorted(clips)]


# -- the exact map ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_shares_and_bias_sum_to_the_logit(name):
    model, (x, mask) = network(name), batch(name)
    found = contributions(model, x, mask, LABELS)
    with torch.no_grad():
        logits = model(x, mask)
    if "gate" in name:  # it comes after the sum
        logits = class_logits(model, x, mask, LABELS)[:, None].expand(2, 5)

    total = found.values.sum((1, 2, 3)) + found.constant
    assert torch.allclose(total, logits[[0, 1], LABELS], atol=1e-4)
    assert not found.values[0, 1].any(), "an absent person decides nothing"
    if name == "infogcn":  # a layer with a ReLU lies between
        return
    assert torch.allclose(found.constant, model.head.bias[LABELS], atol=1e-4)


def test_a_gate_speaks_against_nothing():
    "For every class of a gated network: what its shares sum to is what its probabilities say."
    name = "causal-nano gate=true"
    model, (x, mask) = network(name), batch(name)
    with torch.no_grad():
        p = model(x, mask).softmax(1).double()
    logits = []
    for label in range(5):
        found = contributions(model, x, mask, torch.tensor([label, label]))
        logits.append((found.values.sum((1, 2, 3)) + found.constant).double())
        sign = -1 if label == 4 else 1
        bias = sign * model.head.bias[label].expand(2)
        assert torch.allclose(found.constant, bias, atol=1e-4)

    assert torch.allclose(logits[4], (p[:, 4] / (1 - p[:, 4])).log(), atol=1e-4)
    for label in range(1, 4):  # actions are compared with each other
        said = (p[:, label] / p[:, 0]).log()
        assert torch.allclose(logits[label] - logits[0], said, atol=1e-4)


def test_infogcn_is_linear_while_its_units_stay_on():
    "A little more of all features gives as much more of the logit."
    model, (x, mask) = network("infogcn"), batch("infogcn")
    found = contributions(model, x, mask, LABELS)
    pool = model.pool
    model.pool = lambda y, left: pool(1.001 * y, left)
    with torch.no_grad():
        more = model(x, mask)[[0, 1], LABELS] - found.logit
    assert torch.allclose(1000 * more, found.values.sum((1, 2, 3)), rtol=0.02, atol=1e-3)


def test_a_maximum_belongs_to_the_step_that_won():
    model, (x, mask) = network("nano pool=mean+max"), batch("nano")
    features = model.head.in_features // 2
    with torch.no_grad():
        model.head.weight[:, :features] = 0  # the mean has no say
        model.head.weight[:, features + 1 :] = 0  # and of the maxima only one has
        with keep_features(model) as kept:
            model(x, mask)
    won = kept.features[:, 0].mean(2).argmax(1)  # one per row
    values = contributions(model, x, mask, LABELS).values
    rows = values[0, 0], values[1, 0], values[1, 1]
    for row, step in zip(rows, won.tolist()):
        assert row[step].abs().sum() > 0
        others = [t for t in range(len(row)) if t != step]
        assert row[others].abs().sum() == 0


def test_what_is_long_ago_counts_less_in_a_causal_network():
    model = network("causal-nano memory=16")
    x, mask = batch("causal-nano", persons=1, frames=32)
    mask[:] = True
    block = model.blocks[-1]
    steps = block.steps

    def ones(*inputs):
        y, kept = steps(*inputs)
        return torch.ones_like(y), kept

    block.steps = ones
    values = contributions(model, x, mask, torch.tensor([3, 1])).values[0, 0, :, 0]
    ratio = values[1:] / values[:-1]
    assert torch.allclose(ratio, torch.full_like(ratio, 2 ** (model.stride / 16)), rtol=1e-3)


def test_nothing_is_left_behind_in_the_network(nano, unseen):
    x, mask = nano.pipeline.clips([unseen[0].points])
    before = dict(nano.model.__dict__)
    for layer in (None, *layers_of(nano.model)):
        grad_cam(nano.model, x, mask, torch.tensor([0]), layer)
    assert nano.model.__dict__ == before
    assert not any(len(m._forward_hooks) for m in nano.model.modules())
    with pytest.raises(RuntimeError, match="eval"):
        grad_cam(network("nano").train(), *batch("nano"), torch.tensor([0, 0]))


def test_nobody_is_an_error():
    x, mask = batch("nano")
    with pytest.raises(ValueError, match="nobody"):
        contributions(network("nano"), 0 * x, torch.zeros_like(mask), torch.tensor([0, 0]))


# -- Grad-CAM and integrated gradients -------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_grad_cam_of_every_network(name):
    model, (x, mask) = network(name), batch(name)
    last_layer = grad_cam(model, x, mask, LABELS)
    assert (last_layer >= 0).all() and not last_layer[0, 1].any()
    for layer in layers_of(model)[:4:3]:
        found = grad_cam(model, x, mask, LABELS, layer)
        assert found.shape[:2] == (2, 2) and found.shape[3] == 25
        assert (found >= 0).all() and found.shape[2] in (4, 8, 16)

    exact = contributions(model, x, None, LABELS).values.relu()
    if "causal" in name or name in ("reference", "large"):
        return  # means that fade, and a maximum: the gradient is not the same everywhere

    last_layer = grad_cam(model, x, None, LABELS)
    scale = exact.sum() / last_layer.sum()
    assert torch.allclose(last_layer * scale, exact, atol=1e-5)


def tap(model):
    "A layer that captum can look at: what the trunk returns, channels first."
    trunk = model.trunk
    seen = nn.Identity()

    def with_tap(x, mask):
        y, left = trunk(x, mask)
        return seen(y), left

    model.trunk = with_tap
    return seen


@pytest.mark.parametrize("name", ["nano", "nano pool=mean+max", "stgcn", "infogcn", "shiftgcn"])
def test_captum_finds_the_same_grad_cam(name):
    from captum.attr import LayerGradCam

    model, (x, _) = network(name), batch(name, persons=1)
    ours = grad_cam(model, x, None, LABELS)[:, 0]
    earlier = ours if "nano" in name else grad_cam(model, x, None, LABELS, model.units[2].graph)
    theirs = LayerGradCam(model, tap(model)).attribute(x, LABELS, relu_attributions=True)
    assert torch.allclose(ours, theirs[:, 0], atol=1e-6)
    if "nano" not in name:
        found = LayerGradCam(model, model.units[2].graph)
        theirs = found.attribute(x, LABELS, relu_attributions=True)
        assert torch.allclose(earlier[:, 0], theirs[:, 0], atol=1e-6)


@pytest.mark.parametrize("name", ["nano", "efficientgcn-b0", "causal-nano"])
def test_captum_finds_the_same_integrated_gradients(name):
    from captum.attr import IntegratedGradients

    model, (x, mask) = network(name), batch(name)
    ours = integrated_gradients(model, x, mask, LABELS, steps=4)
    found = IntegratedGradients(model).attribute(
        x, hold_still(x, mask), LABELS, (mask,), n_steps=4, method="riemann_middle"
    )
    assert torch.allclose(ours, found.sum(1).permute(0, 3, 1, 2), atol=1e-5)


def test_shares_sum_to_the_difference_to_the_still_clip(nano, unseen):
    x, mask = nano.pipeline.clips([clip.points for clip in unseen])
    labels = torch.tensor([clip.label for clip in unseen])
    shares = integrated_gradients(nano.model, x, mask, labels).sum((1, 2, 3))
    with torch.no_grad():
        moving = nano.model(x, mask).gather(1, labels[:, None])
        still = nano.model(hold_still(x, mask), mask).gather(1, labels[:, None])
    assert torch.allclose(shares, (moving - still)[:, 0], atol=0.1)


def test_a_still_joint_is_at_its_mean_over_the_frames_that_are_seen():
    x, mask = batch("nano")
    still = hold_still(x, mask)
    assert torch.allclose(still[1, :, 0], x[1, :, :12].mean(1), atol=1e-6)
    assert not still[1, :, 12:].any() and not still[0, ..., 1].any()


def test_the_attention_map_is_of_frames_and_of_networks_with_attention():
    x, mask = batch("nano")
    found = attention_map(network("nano"), x, None)
    assert found.shape == (2, 1, 8, 25)
    assert torch.allclose(found.mean(2), torch.ones(2, 1, 25), atol=1e-4)
    for name in ("nano attention=", "stgcn", "causal-nano attention=linear"):
        with pytest.raises(ValueError, match="attention"):
            attention_map(network(name), x, mask)


# -- faithfulness ----------------------------------------------------------------------------


def areas(run, clip, values):
    x, mask = run.pipeline.clips([clip.points])
    deleted, inserted = curves(run.model, x, mask, clip.label, values)
    return deleted.mean().item(), inserted.mean().item()


def test_curves_run_from_the_clip_to_the_still_clip(nano, unseen):
    x, mask = nano.pipeline.clips([unseen[5].points])
    label = unseen[5].label
    with torch.no_grad():
        moving = nano.model(x, mask).softmax(1)[0, label]
        still = nano.model(hold_still(x, mask), mask).softmax(1)[0, label]
    for values in (torch.rand(1, *x.shape[2:4]), None):
        deleted, inserted = curves(nano.model, x, mask, label, values)
        assert torch.allclose(deleted[[0, -1]], torch.stack([moving, still]), atol=1e-5)
        assert torch.allclose(inserted[[0, -1]], torch.stack([still, moving]), atol=1e-5)


def test_points_that_are_not_valid_come_last():
    mask = torch.ones(4, 1, dtype=torch.bool)
    mask[3] = False
    values = torch.tensor([[[1.0, 2], [5, 0], [3, 4], [9, 9]]])
    rank = rank_points(values, mask)
    order = [[4, 3], [0, 5], [2, 1]]
    assert torch.equal((6 * rank[0, :3]).round(), torch.tensor(order).float())
    assert (rank[0, 3] >= 1).all()


def test_integrated_gradients_beat_chance_and_all_equal_and_their_negative(nano, unseen):
    torch.manual_seed(0)
    results = {"map": [], "negative": [], "chance": [], "equal": []}
    for clip in unseen[1::2]:
        x, mask = nano.pipeline.clips([clip.points])
        values = integrated_gradients(nano.model, x, mask, torch.tensor([clip.label]))[0]
        asked = (values, -values, torch.rand_like(values), None)
        for key, candidate in zip(results, asked):
            results[key].append(areas(nano, clip, candidate))

    deleted, inserted = (
        {key: np.mean([pair[i] for pair in pairs]) for key, pairs in results.items()}
        for i in (0, 1)
    )
    for other in ("negative", "chance", "equal"):
        assert deleted["map"] < deleted[other] - 0.1
        assert inserted["map"] > inserted[other]


def test_random_weights_give_another_map_and_noise_nearly_the_same(nano, unseen):
    "Of joints, by integrated gradients; per class."
    twin = random_twin(nano, seed=0)
    untrained, noisy = [], []
    for clip in unseen[1::2]:
        x, mask = nano.pipeline.clips([clip.points])
        other, _ = nano.pipeline.clips([shaken(clip.points, 0.01, seed=0)])
        label = torch.tensor([clip.label])
        maps = [
            integrated_gradients(model, given, mask, label)[0].sum(1)
            for model, given in ((nano.model, x), (twin, x), (nano.model, other))
        ]
        untrained.append(rank_agreement(maps[0], maps[1]))
        noisy.append(rank_agreement(maps[0], maps[2]))

    assert min(noisy) > 0.6 and np.mean(noisy) > 0.85
    assert abs(np.mean(untrained)) < 0.5 < np.mean(noisy) - np.mean(untrained) + 0.1


def test_every_map_has_the_shape_of_the_input(nano, unseen):
    x, mask = nano.pipeline.clips([unseen[0].points])
    found = maps_for(nano.model)
    assert "attention" in found and "attention" not in maps_for(network("stgcn"))
    for name, ask in found.items():
        assert ask(nano.model, x, mask, torch.tensor([0])).shape == (1, 1, 32, 31), name


# -- from steps to frames and parts of the body ----------------------------------------------


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_every_joint_belongs_to_one_part(skeleton):
    parts = body_parts(skeleton)
    assert sorted(j for joints in parts.values() for j in joints) == list(range(skeleton.V))
    for side in ("left", "right"):
        for limb in ("arm", "leg"):
            names = [skeleton.joints[j] for j in parts[f"{side} {limb}"]]
            assert len(names) >= 3 and all(side in name for name in names)


@pytest.mark.parametrize("sampling", ["resize", "uniform", "pad"])
def test_moments_are_those_that_the_network_reads(sampling):
    "A joint that says which frame it is."
    skeleton = get_skeleton("ntu25")
    clip = np.random.default_rng(0).random((1, 50, 25, 3)).astype(np.float32)
    clip[:, :10] = np.nan  # nobody is there yet
    clip[0, :, 3, 0] = np.arange(50)
    clip[0, :10] = np.nan
    pre = PreprocessConfig(frames=16, sampling=sampling, center="none", scale="none")
    pipeline = Pipeline(skeleton, pre)
    x, mask = pipeline.clips([clip])
    moments = moments_of(pipeline, clip)
    seen = mask[0, :, 0].numpy()
    assert np.allclose(moments[seen], x[0, 0, :, 3, 0].numpy()[seen], atol=1e-3)


def test_a_map_on_the_frames_of_a_clip():
    skeleton = get_skeleton("ntu25")
    clip = np.random.default_rng(0).random((2, 64, 25, 3)).astype(np.float32)
    pipeline = Pipeline(skeleton, PreprocessConfig(frames=32, persons=1))
    values = torch.zeros(1, 8, 25)
    values[0, 2, 7] = 1.0  # frames 8 to 11 of 32, of which there are two for each of the clip
    found = on_frames(values, pipeline, clip)
    assert found.shape == (2, 64, 25) and not found[1].any()
    shown = np.flatnonzero(found[0, :, 7])
    assert 15 <= shown[0] <= 17 and 21 <= shown[-1] <= 24
    assert found.sum() == len(shown)
    assert brightness(found).max() == 1 and brightness(-found).max() == 0


# -- features --------------------------------------------------------------------------------


def test_pictures_are_turned_and_mirrored_but_not_bent():
    rng = np.random.default_rng(0)
    place = rng.normal(size=(20, 2))
    turned = place @ np.array([[0.6, 0.8], [0.8, -0.6]]) * 7 + 3
    assert np.allclose(fit_to(turned, place), unit_size(place), atol=1e-8)
    bent = place**3
    fitted = fit_to(bent, place)
    assert np.allclose(np.linalg.norm(fitted, axis=1), np.linalg.norm(unit_size(bent), axis=1))


def test_agreement_of_strangers_is_that_of_chance():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 300, 8))
    assert agreement_per_clip(a, 3 * a).mean() == 1
    assert agreement_per_clip(a, b, 10).mean() < 0.08


def test_the_hardest_pair_is_found_without_a_mistake():
    labels = np.repeat([0, 1, 2], 4)
    logits = 4.0 * np.eye(3)[labels]
    logits[5, 2] = 3.9  # the class is right, but just so
    pair = hardest_pairs(Scores(labels.astype(str), labels, logits))[0]
    assert pair.classes == (1, 2) and pair.clips[0] == 5


def test_features_are_what_the_classifier_reads(unseen):
    for folder in (NANO, NANO.with_name("hdm05_student"), NANO.with_name("hdm05_causal")):
        run = load_run(folder)
        features, logits = describe_clips(run, [clip.points for clip in unseen[:3]], batch=1)
        with torch.no_grad():
            again = run.model.head(torch.from_numpy(features))
            again = gated(again) if getattr(run.model, "gate", False) else again
        assert np.allclose(again.numpy(), logits, atol=1e-5)


# -- the page --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hdm05(tmp_path_factory):
    out = tmp_path_factory.mktemp("stores") / "hdm05"
    return out, prepare(PrepareConfig(out=str(out)))


def words_of(file):
    "What a reader sees."
    body = file.read_text(encoding="utf-8").partition("</style>")[2]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body))


NAME = "HDM_tr_kickLFront1Reps_029_120"


def test_page_of_a_stored_clip(hdm05, tmp_path):
    assert main(["explain", str(NANO), NAME, "--data", str(hdm05[0]), "--out", str(tmp_path)]) == 0
    page = (tmp_path / "explanation.html").read_text(encoding="utf-8")
    assert len(page) < 3e6
    assert re.findall(r"""(?:src|href|data|action)=['"]?(?!data:image/)\w""", page) == []
    for word in ("<script", "<link", "<iframe", "url(", "@import", "http:", "https:"):
        assert word not in page
    pictures = re.findall(r"data:image/\w+;base64,([^']+)'", page)
    stored = [p for p in tmp_path.iterdir() if p.suffix in (".png", ".gif")]
    assert {base64.b64decode(code) for code in pictures} == {p.read_bytes() for p in stored}
    assert {p.name for p in stored} >= {"explanation.png", "explanation.gif", "nearest.gif"}

    facts = json.loads((tmp_path / "explanation.json").read_text(encoding="utf-8"))
    most = max(facts["joints"], key=facts["joints"].get)
    assert most in ("left toes", "left foot", "left ankle")
    assert facts["held_still"][-1] < facts["held_still_at_random"][-1] - 0.2
    assert [near["label"] for near in facts["nearest"]] == ["kick"] * 3
    words = words_of(tmp_path / "explanation.html")
    assert "answers kick" in words and "This is right." in words and most in words
    assert "was part of the training" not in words and "CC BY-SA" in page


def test_nearest_training_clips_are_of_the_training_and_not_the_clip_itself(nano, hdm05):
    store, seen = hdm05[1], trained_on(NANO)
    own = sorted(seen)[0]
    clip = store[store.index.names.tolist().index(own)]
    with_it = nearest_training(nano, clip, store, seen, 4)
    assert with_it[0].name == own and with_it[0].likeness > 0.9999
    without = nearest_training(nano, clip, store, seen, 3, itself=own)
    assert [near.name for near in without] == [near.name for near in with_it[1:]]
    assert {near.name for near in with_it} <= seen
    assert nearest_training(nano, clip, store, set(), 3) == []


def test_joints_are_held_still_in_small_batches(nano, unseen):
    clip, orders = unseen[5], np.array([[0, 3], [7, 1], [20, 21]])
    x, mask = nano.pipeline.clips([clip.points])
    still = hold_still(x, mask)
    both = x.clone()
    both[:, :, :, [20, 21]] = still[:, :, :, [20, 21]]
    with torch.no_grad():
        whole = nano.model(torch.cat([x, both]), mask.expand(2, -1, -1)).softmax(1)[:, clip.label]

    sizes = []
    hook = nano.model.register_forward_hook(lambda model, given, out: sizes.append(len(out)))
    try:
        found = hold_joints(nano, clip.points, clip.label, orders)
    finally:
        hook.remove()
    assert sizes == [3, 3, 3]
    assert found.shape == (3, 3) and np.allclose(found[:, 0], whole[0], atol=1e-5)
    assert np.allclose(found[2, 2], whole[1], atol=1e-5)


def test_the_page_says_the_whole_command():
    cfg = ExplainConfig("runs/a", "my clip.npy", "stores/b", label="lie down", neighbors=5)
    said = command_of(cfg)
    assert "--label 'lie down'" in said and "--data stores/b" in said and "--neighbors 5" in said
    assert command_of(ExplainConfig("r", "c")) == "python -m last explain r c"
    assert parse("explain", shlex.split(said)[4:]) == cfg


def test_a_file_called_like_a_training_clip_is_none(tmp_path, monkeypatch):
    write_walkers(tmp_path, 3, 1, "clip{}.npy")
    run, data = tiny_run(tmp_path)
    np.save(tmp_path / "clip0.npy", Store(data)[0])
    monkeypatch.chdir(tmp_path)
    credits = []

    def draw(found, run, out, credit):
        credits.append(credit)
        write_pictures(found, run, out, credit)

    def credited(folder):
        store = Store(folder)
        store.dataset = replace(store.dataset, credit="somebody's data")
        return store

    monkeypatch.setattr("last.explain.write_pictures", draw)
    monkeypatch.setattr("last.explain.Store", credited)
    page = explain(ExplainConfig(run, "clip0.npy", data, "out"))
    assert "was part of the training" not in words_of(page)
    facts = json.loads((tmp_path / "out/explanation.json").read_text(encoding="utf-8"))
    assert facts["nearest"][0]["name"] == "clip0.npy" and credits == [""]


def test_page_of_an_array_of_another_class(tmp_path, nano, unseen):
    np.save(tmp_path / "mine.npy", unseen[5].points[0])
    out = tmp_path / "out"
    cfg = ExplainConfig(str(NANO), str(tmp_path / "mine.npy"), out=str(out), label="squat")
    words = words_of(explain(cfg))
    assert "Explained is squat" in words and "This is right" not in words
    assert "shown if --data names the store" in words


def tiny_run(folder, persons=1):
    "A run of one epoch on folder/store."
    settings = dict(model="nano", epochs=1, schedule="cosine", warmup=0, batch=32, device="cpu")
    pre = PreprocessConfig(frames=8, persons=persons)
    places = dict(data=str(folder / "store"), out=str(folder / "run"), protocol="given")
    train(TrainConfig(**places, part="train", pre=pre, **settings), quiet=True)
    return str(folder / "run"), str(folder / "store")


def write_walkers(folder, dims, persons, name="c{}"):
    "A store of ten clips of joints that are anywhere, and of nobody in the first two frames."
    points = np.random.default_rng(0).random((10, persons, 20, 25 if dims == 3 else 18, 3))
    points[:, :, :2] = np.nan
    clips = [
        Clip(name.format(i), p.astype(np.float32), i % 2, split="train" if i < 6 else "test")
        for i, p in enumerate(points)
    ]
    skeleton = "ntu25" if dims == 3 else "openpose18"
    write_store(folder / "store", clips, skeleton, ["<b>a", "costs $x$ & b"])


@pytest.mark.parametrize("dims, persons", [(2, 1), (3, 2)])
def test_image_skeletons_two_people_and_strange_names(dims, persons, tmp_path):
    write_walkers(tmp_path, dims, persons)
    run, data = tiny_run(tmp_path, persons)
    page = explain(ExplainConfig(run, "c0", data, str(tmp_path / "out")))
    text = page.read_text(encoding="utf-8")
    assert "<b>a" not in text and "was part of the training" in text


def test_page_of_a_skeleton_file(synthetic, tmp_path):
    write_walkers(tmp_path, 3, 1)
    run, _ = tiny_run(tmp_path)
    file = sorted(synthetic.rglob("*.skeleton"))[0]
    page = explain(ExplainConfig(run, str(file), out=str(tmp_path / "out")))
    assert "This is right" not in words_of(page)  # its number is of other classes


def test_causal_networks_are_explained_too(tmp_path, unseen):
    run = load_run(NANO.with_name("hdm05_causal"))
    clip = next(clip for clip in unseen if run.info.classes[clip.label] == "kick")
    found = explain_clip(run, clip)
    best = np.argsort(-found.joints)[:8]
    assert any("left" in run.info.skeleton.joints[j] for j in best)
    assert found.values.shape == clip.points.shape[:3]
    assert found.joints.sum() == pytest.approx(found.moved, abs=0.3)


def saved(folder, name, array):
    np.save(folder / name, array)
    return str(folder / name)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda folder: NAME, "--data"),
        (lambda folder: str(folder / "absent.npy"), "no such file"),
        (lambda folder: str(folder / "absent.skeleton"), "no such file"),
        (lambda folder: saved(folder, "a.npy", np.zeros((9, 25, 3))), r"\(M, T, 31, 3\).*found"),
        (lambda folder: saved(folder, "b.npy", np.full((9, 31, 3), np.nan)), "nobody"),
        (lambda folder: saved(folder, "c.npy", np.zeros((0, 31, 3))), "nobody"),
        (lambda folder: saved(folder, "d.npy", np.array(["x"])), "array of numbers"),
        (lambda folder: saved(folder, "e.npy", np.array([{}], object)), r"not a \.npy file"),
    ],
    ids=["name", "absent", "absent-skeleton", "joints", "nobody", "empty", "text", "objects"],
)
def test_what_is_wrong_with_a_clip(make, message, tmp_path, nano):
    clip = make(tmp_path)
    with pytest.raises((ValueError, OSError), match=message) as error:
        find_clip(clip, nano, None, "")
    assert clip in str(error.value)


def test_damaged_files_and_near_names(hdm05, nano, tmp_path, capsys):
    for name in ("torn.npy", "torn.skeleton"):
        (tmp_path / name).write_bytes(b"\x93NUMPY\x01")
        with pytest.raises(ValueError, match=name):
            find_clip(str(tmp_path / name), nano, None, "")
    (tmp_path / "clip.txt").write_text("1", encoding="utf-8")
    with pytest.raises(ValueError, match=r"expected a \.skeleton or \.npy"):
        find_clip(str(tmp_path / "clip.txt"), nano, None, "")

    out = ["--data", str(hdm05[0]), "--out", str(tmp_path / "out")]
    for command, words in (
        ([str(NANO), NAME.replace("029", "29")], f"did you mean {NAME}"),
        ([str(NANO), NAME, "--label", "kik"], "did you mean kick"),
        ([str(tmp_path / "no_run"), NAME], "no such run or file"),
    ):
        assert main(["explain", *command, *out]) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

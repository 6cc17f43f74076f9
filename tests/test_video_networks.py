"Video networks: shapes, layers, and checkpoints that fit or are refused."

import argparse
from pathlib import Path

import pytest
import torch

from last.video_networks import (
    VIDEO_NETWORKS,
    ShiftResNet,
    ShiftResNetConfig,
    VideoMAE,
    VideoMAEConfig,
    build_video_network,
    import_timm,
    load_video_weights,
    motion_only,
    video_shape,
)

MAE = VideoMAEConfig(width=48, depth=3, heads=4, frames=4, size=32)
SHIFT = ShiftResNetConfig(frames=4, size=48)


@pytest.fixture(scope="module")
def mae():
    torch.manual_seed(0)
    model = VideoMAE(MAE, 5)
    for block in model.blocks:
        torch.nn.init.normal_(block.attn.q_bias)
        torch.nn.init.normal_(block.attn.v_bias)

    return model.eval()


def shift_net(drop_path=0.0):
    "A ResNet whose residual blocks add something, which timm's fresh ones do not."
    torch.manual_seed(0)
    model = ShiftResNet(SHIFT, 27, drop_path)
    for block in model.net.modules():
        if hasattr(block, "bn2"):
            torch.nn.init.ones_(block.bn2.weight)

    return model


def videos(cfg, n=2):
    return torch.randn(n, 3, cfg.frames, cfg.size, cfg.size)


@pytest.mark.parametrize("name", VIDEO_NETWORKS)
def test_every_network_of_the_table_is_built(name):
    cfg = video_shape(name, frames=4, size=32)
    model = build_video_network(cfg, 9).eval()
    assert model(videos(cfg)).shape == (2, 9)
    assert model.get_features(videos(cfg)).shape == (2, model.head.in_features)


def test_size_of_vit_b():
    assert VIDEO_NETWORKS["vit_b"].tokens == 1568
    model = VideoMAE(VIDEO_NETWORKS["vit_b"])
    assert round(sum(p.numel() for p in model.parameters()) / 1e6) == 87
    assert model.head.out_features == 710


def test_keys_have_no_bias(mae):
    names = {n for n, _ in mae.named_parameters() if n.startswith("blocks.0.attn")}
    biases = {n.removeprefix("blocks.0.attn.") for n in names if "bias" in n}
    assert biases == {"q_bias", "v_bias", "proj.bias"}


@pytest.mark.parametrize("kind", ("mae", "shift"))
def test_other_shapes_are_refused(mae, kind):
    model, cfg = (mae, MAE) if kind == "mae" else (shift_net(), SHIFT)
    message = rf"expected videos \(B, 3, {cfg.frames}, {cfg.size}, {cfg.size}\)"
    with pytest.raises(ValueError, match=message):
        model(videos(cfg)[:, :, :2])
    with pytest.raises(ValueError, match=message):
        model(videos(cfg)[..., :16])


def test_frames_inside_a_tubelet_are_in_order(mae):
    x = videos(MAE)
    assert (mae(x[:, :, [1, 0, 2, 3]]) - mae(x)).abs().max() > 1e-4


def test_no_clip_of_a_batch_influences_another(mae):
    for model, cfg in ((mae, MAE), (shift_net().eval(), SHIFT)):
        x = videos(cfg)
        assert torch.allclose(model(x)[:1], model(x[:1]), atol=1e-4)


def test_frames_see_their_neighbors():
    model, x = shift_net().eval(), videos(SHIFT)
    assert (model(x[:, :, [1, 0, 2, 3]]) - model(x)).abs().max() > 1e-5


def test_blocks_are_skipped_at_random():
    x = videos(SHIFT)
    torch.manual_seed(0)
    sure, unsure = shift_net().train(), shift_net(drop_path=0.9).train()
    assert torch.equal(sure(x), sure(x))
    assert not torch.equal(unsure(x), unsure(x))


def test_motion_ignores_the_still_picture():
    x = videos(SHIFT)
    still = torch.randn(2, 3, 1, SHIFT.size, SHIFT.size)
    assert torch.allclose(motion_only(x + still), motion_only(x), atol=1e-4)
    assert motion_only(torch.ones(1, 3, 4, 8, 8)).abs().max() == 0  # nothing moves


def test_layers_for_layerwise_rates(mae):
    import_timm()
    from timm.optim import param_groups_layer_decay

    def scales(model):
        groups = param_groups_layer_decay(model, 0.05, layer_decay=0.5)
        return {g["lr_scale"] for g in groups}

    assert len(scales(shift_net())) == 6  # stem, four blocks, head
    assert len(scales(mae)) == 5  # tubelets, three blocks, head


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(name="i3d"), "unknown video network 'i3d'; known: vit_b, vit_s, tsm"),
        (dict(name="vit_s", size=100), "frames must be a multiple of 2 and size of 16"),
        (dict(name="vit_s", frames=3), "found 3 and 224"),
        (dict(name="tsm", frames=-1), "must be above 0"),
    ],
)
def test_impossible_shapes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        video_shape(**arguments)


@pytest.mark.parametrize("wrapper", ("model", "module", None))
@pytest.mark.parametrize("prefix", ("backbone.", "module.", "model.", ""))
def test_wrappers_and_prefixes_are_taken_off(mae, tmp_path, wrapper, prefix):
    state = {prefix + k: v for k, v in mae.state_dict().items()}
    torch.save({wrapper: state} if wrapper else state, tmp_path / "w.pth")

    other = VideoMAE(MAE, 5).eval()
    assert load_video_weights(other, tmp_path / "w.pth") == []
    x = videos(MAE)
    assert torch.equal(other(x), mae(x))


def test_head_for_other_classes_is_left_out(mae, tmp_path):
    torch.save(mae.state_dict(), tmp_path / "w.pth")
    other = VideoMAE(MAE, 7).eval()
    assert load_video_weights(other, tmp_path / "w.pth") == ["head.weight", "head.bias"]
    x = videos(MAE)
    assert torch.equal(other.get_features(x), mae.get_features(x))


def test_the_head_of_a_run_follows_the_names_of_its_classes(mae, tmp_path, monkeypatch):
    names = list("abcde")
    monkeypatch.setattr("last.runs.known_classes", lambda path: names)
    torch.save(mae.state_dict(), tmp_path / "w.pth")
    other = VideoMAE(MAE, 5).eval()
    assert load_video_weights(other, tmp_path / "w.pth", names[::-1]) == []
    assert torch.equal(other.head.weight, mae.head.weight.flip(0))

    others = ["v", "w", "x", "y", "z"]
    left_out = load_video_weights(VideoMAE(MAE, 5), tmp_path / "w.pth", others)
    assert left_out == ["head.weight", "head.bias"]


def test_a_missing_head_is_left_out(mae, tmp_path):
    state = {k: v for k, v in mae.state_dict().items() if not k.startswith("head.")}
    torch.save(state, tmp_path / "w.pth")
    left_out = load_video_weights(VideoMAE(MAE, 5), tmp_path / "w.pth")
    assert left_out == ["head.weight", "head.bias"]


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(extra=torch.ones(1)), "extra is not a weight of this network"),
        ({"decoder.x": torch.ones(1)}, "a checkpoint of pre-training"),
        ({"fc_norm.bias": torch.ones(3)}, r"fc_norm.bias is \(3,\), expected \(48,\)"),
    ],
    ids=("additional", "decoder", "shape"),
)
def test_weights_that_do_not_fit_are_named(mae, tmp_path, change, message):
    torch.save({**mae.state_dict(), **change}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=message):
        load_video_weights(VideoMAE(MAE, 5), tmp_path / "w.pth")


def test_missing_weight_is_named(mae, tmp_path):
    state = mae.state_dict()
    del state["blocks.1.attn.q_bias"]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"blocks\.1\.attn\.q_bias is missing"):
        load_video_weights(VideoMAE(MAE, 5), tmp_path / "w.pth")


@pytest.mark.parametrize(
    "content, message",
    [([1], "expected a dict of weights"), (MAE, "not a readable checkpoint")],
    ids=("list", "object"),
)
def test_files_of_something_else_are_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=message):
        load_video_weights(VideoMAE(MAE, 5), tmp_path / "w.pth")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        load_video_weights(VideoMAE(MAE, 5), tmp_path / "none.pth")


def test_what_the_official_training_code_writes_is_read(mae, tmp_path):
    "Its command line beside the weights, names of compiled networks, and the sine table."
    state = {**mae.state_dict(), "pos_embed": mae.pos_embed.clone()}
    x = videos(MAE)
    for prefix in ("", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."):
        weights = {prefix + k: v for k, v in state.items()}
        told = argparse.Namespace(model="vit_base_patch16_224", lr=1e-3, opt_betas=[0.9, 0.999])
        torch.save(dict(model=weights, args=told, epoch=3), tmp_path / "w.pth")
        other = VideoMAE(MAE, 5).eval()
        assert load_video_weights(other, tmp_path / "w.pth") == []
        assert torch.equal(other(x), mae(x))


@pytest.mark.parametrize(
    "table, message",
    [(lambda p: p + 0.1, "not the sine table"), (lambda p: p[:, 1:], r"pos_embed is \(1, ")],
)
def test_another_position_table_is_named(mae, tmp_path, table, message):
    torch.save({**mae.state_dict(), "pos_embed": table(mae.pos_embed)}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=message):
        load_video_weights(VideoMAE(MAE, 5), tmp_path / "w.pth")


class Bomb:
    def __reduce__(self):
        return Path.touch, (Path("bomb_went_off"),)


def test_nothing_is_executed_and_the_message_has_no_colors(mae, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(dict(model=mae.state_dict(), args=Bomb()), tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"refused: it wants .*, which is neither") as caught:
        load_video_weights(VideoMAE(MAE, 5), tmp_path / "w.pth")
    assert "\x1b" not in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "bomb_went_off").exists()

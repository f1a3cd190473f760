import msgspec, pytest, torch
from stable_audio_open.build.run import run_training
def at(config, **ch):
    t = config.training
    return msgspec.structs.replace(config, training=msgspec.structs.replace(t, trainer=msgspec.structs.replace(t.trainer, **ch)))
@pytest.mark.parametrize("which", ["autoencoder_run", "diffusion_run"])
@pytest.mark.parametrize("acc", [1,2])
@pytest.mark.parametrize("mid", [1,2,5])
def test_r(request, which, mid, tmp_path, acc):
    config = request.getfixturevalue(which)
    whole = torch.load(run_training(at(config, max_steps=6, name="whole",accumulate=acc)), weights_only=True)
    run_training(at(config, max_steps=mid, name="parts",accumulate=acc))
    parts = torch.load(run_training(at(config, max_steps=6, name="parts",accumulate=acc)), weights_only=True)
    a, b = whole["state_dict"], parts["state_dict"]
    assert a.keys()==b.keys()
    bad = [k for k in a if not torch.equal(a[k], b[k])]
    assert not bad, bad

"""The decoder of a second training phase, in a model of the first (section 4.1)."""

import torch

from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder


def take_decoder(model: AudioAutoencoder, trained: AudioAutoencoder) -> None:
    """Give a model the decoder of another that has the same encoder, and so the same latents.

    A diffusion model can be trained while the decoder is still being trained on.

    Raises:
        ValueError: When the encoders differ, or the decoders have other sizes.
    """
    ours, theirs = model.encoder.state_dict(), trained.encoder.state_dict()
    same = ours.keys() == theirs.keys() and all(
        ours[name].shape == theirs[name].shape and torch.equal(ours[name], theirs[name].to(own))
        for name, own in ours.items()
    )
    if not same:
        raise ValueError(
            "the decoder was trained with another encoder and reads other latents; give one that "
            "was trained with training.train=decoder from this model's autoencoder"
        )
    new = trained.decoder.state_dict()
    sizes = {name: tensor.shape for name, tensor in model.decoder.state_dict().items()}
    if sizes != {name: tensor.shape for name, tensor in new.items()}:
        raise ValueError("the decoders have other sizes; give one with the model's configuration")
    model.decoder.load_state_dict(new)

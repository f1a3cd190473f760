import pytest
import torch

from stable_audio_open.audio_models.tensors import check_tensors

WANTED = {"a": torch.zeros(2, 3), "b": torch.zeros((), device="meta")}
FOUND = {"a": torch.zeros(2, 3), "b": torch.zeros(())}
START = "^file.pt: "


def test_the_same_names_and_shapes_pass() -> None:
    found = {"b": torch.tensor(1.0), "a": torch.ones(2, 3)}
    check_tensors(found, WANTED, where="file.pt", network="Net")


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({"a": torch.zeros(2, 3)}, r"b has the shape of nothing, where Net has \[\]; get it$"),
        ({**FOUND, "c": torch.zeros(1)}, r"c has the shape \[1\], where Net has no such tensor;"),
        ({**FOUND, "a": torch.zeros(3, 2)}, r"a has the shape \[3, 2\], where Net has \[2, 3\];"),
        ({**FOUND, "b": torch.zeros(1)}, r"b has the shape \[1\], where Net has \[\];"),
        ({}, "a has the shape of nothing"),
        ({**FOUND, "b": torch.tensor(1)}, "b is of the type int64; allowed: "),
        ({**FOUND, "b": torch.tensor(torch.nan)}, "b holds NaN; allowed: "),
    ],
)
def test_the_first_that_differs_is_told(found: dict[str, torch.Tensor], told: str) -> None:
    with pytest.raises(ValueError, match=START + told):
        check_tensors(found, WANTED, where="file.pt", network="Net", hint="; get it")

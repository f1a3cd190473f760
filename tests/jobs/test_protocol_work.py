"""The files that a protocol asks for, and what was written by earlier versions."""

from stable_audio_open.evaluation.generations.sets import SetFile
from stable_audio_open.evaluation.protocols.protocol import CaptionPrompt
from stable_audio_open.jobs.protocol.generations import generation_files
from stable_audio_open.jobs.protocol.work import clip_files


def test_seeds_belong_to_captions():
    prompts = [CaptionPrompt(id=f"{i}", text=f"t{i}", clip="c", references=()) for i in range(3)]
    items = generation_files(prompts, [5, 6, 7])
    assert [(i.id, i.file, i.clip, i.prompt, i.seed) for i in items] == [
        ("0", "0.flac", "c", "t0", 5),
        ("1", "1.flac", "c", "t1", 6),
        ("2", "2.flac", "c", "t2", 7),
    ]
    assert clip_files(["c"]) == [SetFile(id="c", file="c.flac", clip="c")]

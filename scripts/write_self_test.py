"""Write the numbers that `stable-audio-open doctor` holds the bundled model against.

    python scripts/write_self_test.py

To be run when the bundled model changes; the file belongs to the package.
"""

import msgspec

from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.jobs.doctor.self_test import FILE, measure_stored

if __name__ == "__main__":
    data = msgspec.json.format(msgspec.json.encode(measure_stored()), indent=2)
    replace_bytes(FILE, data + b"\n")
    print(FILE)

# The service of stable-audio-open: page, HTTP API and queue.
#
#   docker build --tag stable-audio-open .                              for CPUs
#   docker build --build-arg DEVICE=cuda --tag stable-audio-open:cuda . for NVIDIA GPUs
#   docker run --publish 7860:7860 --volume "$PWD/keys:/run/secrets/keys:ro" stable-audio-open
#
# The file `keys` has a line NAME:SECRET for each who may come in; it belongs to user 1000 alone.
ARG PYTHON=3.12
FROM python:${PYTHON}-slim-bookworm
ARG DEVICE=cpu

WORKDIR /app
COPY pyproject.toml README.md LICENSE ATTRIBUTIONS.md ./
COPY stable_audio_open stable_audio_open
# PyTorch without CUDA is a tenth of the size; it stands before the package, which then keeps it.
# Versions are bounded in pyproject.toml.
# hadolint ignore=DL3013
RUN if [ "$DEVICE" = cpu ]; then \
      pip install --no-cache-dir "torch>=2.8,<2.12" "torchaudio>=2.8,<2.11.1" \
        --index-url https://download.pytorch.org/whl/cpu; \
    fi \
    && pip install --no-cache-dir ".[ui]" \
    && useradd --uid 1000 --create-home sound

USER 1000
# Models of the hub; mount a volume to keep them.
ENV HF_HOME=/home/sound/models
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:7860/health', timeout=4)"]
ENTRYPOINT ["stable-audio-open", "serve", "--host", "0.0.0.0"]
CMD ["--auth", "/run/secrets/keys"]

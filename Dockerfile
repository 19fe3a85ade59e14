# The serving image: quadfollow with its models, onnxruntime with CUDA 13 and cuDNN 9 from wheels; no TensorFlow.
#
#   docker build -t quadfollow .
#   docker run --gpus all -p 8000:8000 -p 5555:5555 -p 5556:5556 quadfollow
#
# So run, it serves everybody who can reach these ports, and warns of that. With keys (docs/security.md):
#
#   docker run --rm -v quadfollow-keys:/keys quadfollow keys new drone --keys /keys --out - > drone.json
#   docker run --gpus all -p … -v quadfollow-keys:/keys:ro -e QUADFOLLOW_SERVE_KEYS=/keys --read-only --cap-drop=all quadfollow
#
# A small image for machines without a GPU:
#
#   docker build -t quadfollow:cpu --build-arg EXTRAS= --build-arg DEVICE=cpu .
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG EXTRAS=cuda
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /source
RUN python3 -m venv /opt/quadfollow
# What it depends on first: this layer stays while only the sources change.
COPY pyproject.toml constraints.txt ./
RUN python3 -c "import sys, tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
        extras = [line for name in sys.argv[1].split(',') if name for line in project['optional-dependencies'][name]]; \
        print(*project['dependencies'], *extras, sep='\n')" "${EXTRAS}" > requirements.txt \
    && /opt/quadfollow/bin/pip install --constraint constraints.txt --requirement requirements.txt
COPY . .
RUN /opt/quadfollow/bin/pip wheel --no-deps --wheel-dir /wheels . \
    && /opt/quadfollow/bin/pip install --no-deps /wheels/*.whl \
    && /opt/quadfollow/bin/pip uninstall --yes pip setuptools

FROM ${BASE}
# What opencv-python's wheel expects of the system, and what an extra needs beside it.
ARG PACKAGES=
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 ${PACKAGES} \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin quadfollow
# A volume mounted here is the server's user's own.
RUN install --directory --owner=10001 --group=10001 --mode=700 /keys
COPY --from=build /opt/quadfollow /opt/quadfollow
ARG DEVICE=cuda
# Every option of `quadfollow serve` is an environment variable like these; a device that is not there is an error.
# onnxruntime would otherwise report usage to its makers.
ENV PATH=/opt/quadfollow/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ORT_DISABLE_TELEMETRY=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    QUADFOLLOW_SERVE_HOST=0.0.0.0 \
    QUADFOLLOW_SERVE_INSECURE_PUBLIC=1 \
    QUADFOLLOW_SERVE_PORT=8000 \
    QUADFOLLOW_SERVE_DEVICE=${DEVICE}
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000 5555 5556
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python3", "-c", "import os, ssl, urllib.request as u; s = 'https' if os.environ.get('QUADFOLLOW_SERVE_TLS_CERT') else 'http'; u.urlopen('%s://127.0.0.1:%s/readyz' % (s, os.environ['QUADFOLLOW_SERVE_PORT']), timeout=2, context=ssl._create_unverified_context())"]
ENTRYPOINT ["quadfollow"]
CMD ["serve"]

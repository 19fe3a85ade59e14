# Three images of one file; none but `train` holds TensorFlow.
#
#   docker build -t quadfollow .                                  # serves, on an NVIDIA GPU: CUDA 13 and cuDNN 9 from wheels
#   docker run --gpus all -p 8000:8000 -p 5555:5555 -p 5556:5556 quadfollow
#   docker build -t quadfollow:cpu --build-arg EXTRAS=openvino --build-arg DEVICE=auto .       # serves without one, and is small
#   docker build -t quadfollow:sim --target sim .                 # flies: `docker run quadfollow:sim` shows the demo in the city
#   docker build -t quadfollow:train --target train .             # trains and exports, on the processor
#
# So run, the server serves everybody who can reach these ports, and warns of that. With keys (docs/security.md):
#
#   docker run --rm -v quadfollow-keys:/keys quadfollow keys new drone --keys /keys --out - > drone.json
#   docker run --gpus all -p … -v quadfollow-keys:/keys:ro -e QUADFOLLOW_SERVE_KEYS=/keys --read-only --cap-drop=all quadfollow
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS source
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /source
RUN python3 -m venv /opt/quadfollow
# What it depends on comes first: the layers that install that stay while only the sources change.
COPY pyproject.toml constraints.txt deploy/requirements.py ./

# The program comes into an image on top of its packages, in a layer of its own: when only the sources change, neither
# a build nor a registry nor a machine that runs it takes the gigabytes of packages anew.
FROM source AS program
COPY . .
RUN /opt/quadfollow/bin/pip install --no-deps --prefix /program .

FROM source AS serve-packages
ARG EXTRAS=cuda
RUN python3 requirements.py "${EXTRAS}" > requirements.txt \
    && /opt/quadfollow/bin/pip install --constraint constraints.txt --requirement requirements.txt \
    && /opt/quadfollow/bin/pip uninstall --yes pip setuptools

FROM ${BASE} AS system
# What opencv-python's wheel expects of the system.
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin quadfollow
# onnxruntime would otherwise report usage to its makers.
ENV PATH=/opt/quadfollow/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ORT_DISABLE_TELEMETRY=1
WORKDIR /tmp
STOPSIGNAL SIGTERM
ENTRYPOINT ["quadfollow"]

FROM system AS serve
# A volume mounted here is the server's user's own.
RUN install --directory --owner=10001 --group=10001 --mode=700 /keys
COPY --from=serve-packages /opt/quadfollow /opt/quadfollow
COPY --from=program /program /opt/quadfollow
ARG DEVICE=cuda
# Every option of `quadfollow serve` is an environment variable like these; a device that is not there is an error.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    QUADFOLLOW_SERVE_HOST=0.0.0.0 \
    QUADFOLLOW_SERVE_INSECURE_PUBLIC=1 \
    QUADFOLLOW_SERVE_PORT=8000 \
    QUADFOLLOW_SERVE_DEVICE=${DEVICE}
USER 10001:10001
EXPOSE 8000 5555 5556
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python3", "-c", "import os, ssl, urllib.request as u; s = 'https' if os.environ.get('QUADFOLLOW_SERVE_TLS_CERT') else 'http'; u.build_opener(u.ProxyHandler({}), u.HTTPSHandler(context=ssl._create_unverified_context())).open('%s://127.0.0.1:%s/readyz' % (s, os.environ['QUADFOLLOW_SERVE_PORT']), timeout=2)"]
CMD ["serve"]

FROM source AS sim-packages
RUN python3 requirements.py sim,record,mavlink > requirements.txt \
    && /opt/quadfollow/bin/pip install --constraint constraints.txt --requirement requirements.txt \
    && /opt/quadfollow/bin/pip uninstall --yes pip setuptools

FROM system AS sim
# The city's pictures come from OpenGL: a GPU's, or Mesa's on the processor.
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends libegl1 libegl-mesa0 libgl1-mesa-dri \
    && rm -rf /var/lib/apt/lists/*
COPY --from=sim-packages /opt/quadfollow /opt/quadfollow
COPY --from=program /program /opt/quadfollow
ENV QUADFOLLOW_DEMO_DEVICE=cpu \
    QUADFOLLOW_DEMO_WORLD=city \
    QUADFOLLOW_DEMO_OUT=/tmp/demo \
    QUADFOLLOW_FLY_OUT=/tmp/fly
USER 10001:10001
CMD ["demo"]

FROM source AS train-packages
# TensorFlow itself needs setuptools.
RUN python3 requirements.py export > requirements.txt \
    && /opt/quadfollow/bin/pip install --constraint constraints.txt --requirement requirements.txt \
    && /opt/quadfollow/bin/pip uninstall --yes pip

FROM system AS train
COPY --from=train-packages /opt/quadfollow /opt/quadfollow
COPY --from=program /program /opt/quadfollow
# Keras writes its settings to the home folder, which this user has not.
ENV KERAS_HOME=/tmp/keras TF_CPP_MIN_LOG_LEVEL=2
USER 10001:10001
CMD ["train", "--help"]

# The last stage is what `docker build` makes unless told otherwise.
FROM serve

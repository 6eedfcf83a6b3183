# Three stages: the first builds; the second picks out what runs; the third is that and nothing else:
# no shell, no package manager, no pip. Any builder builds it: no BuildKit features.

# A release pins it: --build-arg PYTHON_IMAGE=python:3.13-slim@sha256:...
ARG PYTHON_IMAGE=python:3.13-slim

FROM $PYTHON_IMAGE AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

# The packages first: this layer lasts until a lock changes.
COPY requirements.txt requirements-build.txt ./
RUN python3 -m venv /opt/app \
    && /opt/app/bin/pip install -q --require-hashes --no-deps -r requirements.txt \
    && python3 -m venv /opt/build \
    && /opt/build/bin/pip install -q --require-hashes --no-deps -r requirements-build.txt

COPY pyproject.toml README.md LICENSE ./
COPY quart_app quart_app
RUN /opt/build/bin/pip wheel -q --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/app/bin/pip install -q --no-deps --no-index dist/*.whl \
    && /opt/app/bin/pip check \
    && /opt/app/bin/pip uninstall -q -y pip


FROM build AS pick
COPY scripts/image_root.py ./
COPY hypercorn.toml /image/srv/
RUN /opt/app/bin/python image_root.py /image \
    && chroot /image /opt/app/bin/quart-app --help > /dev/null


FROM scratch
ENV PATH=/opt/app/bin \
    LANG=C.UTF-8 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LOGNAME=quart-app \
    QUART_APP_BIND=0.0.0.0:8000 \
    QUART_APP_LOG_FORMAT=json
COPY --from=pick /image /
WORKDIR /srv
# LOGNAME: aiomysql asks for the user's name when it is imported, and a number alone has none.
# A number, so that Kubernetes' runAsNonRoot can see that it is not root. Nothing is ever written.
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# Alive, not ready: a database that is away must not get a healthy container killed.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-m", "quart_app.healthcheck"]
CMD ["quart-app", "serve"]

# Two images of one environment. `worker` holds only the dependencies: a coordinator sends its code to Dask workers.
# `derain` adds the flows; it runs flows, a Prefect worker, a Prefect server or an MLflow server.
#
#   docker build --target worker -t derain-worker .
#   docker build --target derain -t derain-flows .
#
# For CUDA add --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130.

ARG BASE=python:3.11-slim

FROM ${BASE} AS environment
# Package index with PyTorch's builds for one kind of device; empty: pip's default index.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# Extras of pyproject.toml that are installed too.
ARG EXTRAS=server
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_PYTHON=/opt/derain
# hadolint ignore=DL3008
RUN apt-get update --quiet --quiet \
 && apt-get install --yes --quiet --quiet --no-install-recommends binutils \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml requirements.lock ./
# Only the project's dependencies are installed here, without its code, so that changed code does not reinstall them.
# MLflow names libraries among its dependencies that it imports only to evaluate and plot.
RUN touch README.md LICENSE \
 && python -m venv --without-pip /opt/derain \
 && pip install --quiet -c requirements.lock ${TORCH_INDEX:+--extra-index-url ${TORCH_INDEX}} torch \
 && pip install --quiet -c requirements.lock ".[${EXTRAS}]" \
 && pip uninstall --quiet --yes derain-flows contourpy fonttools kiwisolver matplotlib scikit-learn skops
# Remove files needed only to compile against, test or debug these packages, and Arrow's network protocol.
WORKDIR /opt/derain/lib
RUN find . -type d \( -name tests -o -path '*/torch/test' -o -path '*/torch/include' -o -path '*/pyarrow/include' \) \
      -prune -exec rm -r {} + \
 && find . -path '*/torch/bin/*' -type f ! -name torch_shm_manager -delete \
 && find . -path '*/pyarrow/*flight*' -delete \
 && find . -name '*.so*' -type f \( -path '*/torch/lib/*' -o -path '*/_polars_runtime*' -o -path '*/pyarrow/*' \
      -o -path '*/numcodecs/*' -o -path '*/asyncpg/*' \) -exec strip --strip-unneeded {} +

FROM ${BASE} AS worker
LABEL org.opencontainers.image.title="derain-flows worker" \
      org.opencontainers.image.description="A Dask worker or scheduler for derain-flows, which sends it its code" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=environment /opt/derain /opt/derain
# Freed memory stays in the process, as for workers that a run starts itself. Only /tmp has to be writable.
ENV PATH=/opt/derain/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1 \
    MALLOC_MMAP_MAX_=0 \
    MALLOC_TRIM_THRESHOLD_=8589934592
USER 10001:10001
WORKDIR /tmp
CMD ["dask", "worker", "tcp://scheduler:8786", "--nthreads", "1", "--memory-limit", "0", "--no-dashboard", \
     "--local-directory", "/tmp/dask"]

FROM worker AS derain
ARG REVISION=unknown
LABEL org.opencontainers.image.title="derain-flows" \
      org.opencontainers.image.description="Derain whole buckets of rainy photographs" \
      org.opencontainers.image.revision="${REVISION}"
USER 0:0
COPY . /app
RUN pip --python /opt/derain install --quiet --no-cache-dir --no-build-isolation --no-deps --editable /app \
 && install -d -o 10001 -g 10001 /data /app/var
# The settings of [tool.prefect] in pyproject.toml, for any working directory.
ENV PREFECT_HOME=/tmp/prefect \
    PREFECT_PLUGINS_ENABLED=true \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    DO_NOT_TRACK=1 \
    DERAIN_WORKSPACE=/data/workspace
USER 10001:10001
WORKDIR /app
VOLUME /data
CMD ["python", "-m", "flows.derain_batch"]

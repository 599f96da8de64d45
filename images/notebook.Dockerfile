# A notebook machine: sudo, a C++ toolchain, JupyterLab. `regrow images build` makes the build context (build.py).
#
# One file for CPU and CUDA: they differ in BASE_IMAGE and TORCH only. Any Debian or Ubuntu with Python 3.11 or later is
# a base. Only what every Docker engine's builder can do is used, so no `RUN --mount`. What changes most comes last: new
# code of Regrow's rebuilds the last layer.
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${BASE_IMAGE} AS system
ARG NB_UID=1000
ENV LANG=C.UTF-8 \
    SHELL=/bin/bash \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt \
    PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PATH=/opt/regrow/bin:${PATH}
RUN export DEBIAN_FRONTEND=noninteractive \
 && apt-get update \
 && apt-get install -y --no-install-recommends \
      bash-completion build-essential ca-certificates cmake curl fuse3 gdb git git-lfs iproute2 less locales nano \
      ninja-build openssh-client openssl perl pkg-config procps python3 python3-dev python3-venv sudo tini unzip vim-tiny \
 && apt-get clean && rm -rf /var/lib/apt/lists/*
COPY profile.sh /etc/profile.d/regrow.sh
# Ubuntu's images have a user of their own with uid 1000.
RUN python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Regrow needs Python 3.11 or later in the base image.")' \
 && taken=$(getent passwd "$NB_UID" | cut -d: -f1) \
 && { [ -z "$taken" ] || userdel --remove "$taken"; } \
 && useradd --create-home --shell /bin/bash --uid "$NB_UID" jovyan \
 && echo 'Defaults env_keep += "SSL_CERT_FILE REQUESTS_CA_BUNDLE PIP_CERT http_proxy https_proxy no_proxy"' > /etc/sudoers.d/regrow \
 && echo 'jovyan ALL=(ALL) NOPASSWD: ALL' >> /etc/sudoers.d/regrow \
 && chmod 0440 /etc/sudoers.d/regrow \
 && install -d -o jovyan -g jovyan /opt/regrow /build /build/user /home/jovyan/projects
USER jovyan
WORKDIR /home/jovyan
COPY notebook.lock /tmp/notebook.lock
RUN python3 -m venv /opt/regrow \
 && pip install --no-cache-dir --quiet --require-hashes --only-binary :all: -r /tmp/notebook.lock

# torch is installed in a stage of its own, so that a wheel from the context is not kept in a layer of the image.
FROM system AS torch
ARG TORCH=cpu
ARG TORCH_VERSION=2.13.0
ARG TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu
COPY wheels /tmp/wheels
COPY torch-cpu.lock torch-cuda.lock /tmp/
USER root
RUN set -e; install -d /torch; \
    install_torch() { pip install --no-cache-dir --quiet --prefix /torch "$@"; }; \
    case "$TORCH" in \
      cpu) install_torch --require-hashes -r /tmp/torch-cpu.lock; \
           install_torch --no-deps --no-index --find-links /tmp/wheels "torch==$TORCH_VERSION" \
           || install_torch --no-deps --index-url "$TORCH_CPU_INDEX" "torch==$TORCH_VERSION" ;; \
      cuda) install_torch --require-hashes -r /tmp/torch-cuda.lock ;; \
      none) ;; \
      *) echo "TORCH is cpu, cuda or none, not '$TORCH'." >&2; exit 2 ;; \
    esac

FROM system
COPY --from=torch --chown=jovyan:jovyan /torch /opt/regrow
COPY regrow-*.whl /tmp/
# What is there from the beginning is not what its user has added (client/environment.py).
RUN pip install --no-cache-dir --quiet --no-index --no-deps /tmp/regrow-*.whl && pip check \
 && mkdir -p /opt/regrow/share/regrow/packages \
 && pip list --format=freeze | sed 's/==.*//' > /opt/regrow/share/regrow/packages/pip \
 && apt-mark showmanual > /opt/regrow/share/regrow/packages/apt
# The labels io.regrow.version, .abi and .uid are added afterwards (build.py): the ABI key is worked out in the image.
# NVIDIA's bases say `all`: where NVIDIA's is the default runtime, every container would get every GPU. A container that
# is given GPUs (`--gpus`, device_requests) has this set by the engine.
ENV NVIDIA_VISIBLE_DEVICES=void
EXPOSE 8888
ENTRYPOINT ["tini", "--"]
CMD ["regrow-singleuser"]

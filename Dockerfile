# One image for every process: `app serve` unless another command is named (worker, relay, scheduler, migrate, ...).
# It holds no secret and no setting of an installation, is run by a user without rights, and writes to /tmp and /data
# alone, so that its own file system may be read-only.
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS build
WORKDIR /srv/app
# Two environments: what builds, and what is shipped, in which there is not even pip.
RUN python -m venv /srv/tools && python -m venv --without-pip /srv/venv
COPY requirements/build.txt requirements/runtime.txt requirements/
RUN /srv/tools/bin/pip install --no-cache-dir --require-hashes -r requirements/build.txt \
    && /srv/tools/bin/pip --python /srv/venv/bin/python install --no-cache-dir --require-hashes -r requirements/runtime.txt
# The command `app`, on the folder in which the code will lie: migrations and settings are found beside it.
COPY pyproject.toml LICENSE ./
RUN mkdir /srv/wheels \
    && /srv/tools/bin/python -c 'from hatchling.build import build_editable; build_editable("/srv/wheels")' \
    && /srv/tools/bin/pip --python /srv/venv/bin/python install --no-cache-dir --no-index --no-deps /srv/wheels/*.whl
COPY settings.toml alembic.ini ./
COPY alembic alembic
COPY app app
RUN /srv/venv/bin/python -m compileall -q app alembic

FROM python:${PYTHON}
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin groundplan \
    && install --directory --owner 10001 --group 10001 --mode 0700 /data
COPY --from=build /srv/venv /srv/venv
COPY --from=build /srv/app /srv/app
WORKDIR /srv/app
ENV PATH=/srv/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    APP_ENV=production \
    APP_FILES__FOLDER=/data/files
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# For `app serve`; the other processes have no port: run those with --no-healthcheck.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/api/v1/core/health/live')"]
ENTRYPOINT ["app"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]

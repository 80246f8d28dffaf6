# One image for every process of Aisle: portal, workers, dispatcher, agent, gateway, model servers.
FROM python:3.11-slim

WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir --require-hashes -r requirements.txt

# Kernels are compiled into the image; at run time the code is read-only. What changes most often comes last.
ENV NUMBA_CACHE_DIR=/tmp/kernels PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    DJANGO_SETTINGS_MODULE=portal.settings AISLE_HOME=/var/lib/aisle
COPY engine engine
RUN NUMBA_CACHE_DIR=/app/kernels python -c "from engine.warmup import warm_up; warm_up()" \
    && install -d -o 10001 -g 10001 -m 700 /var/lib/aisle /var/lib/aisle/static
COPY manage.py pyproject.toml ./
COPY static static
COPY templates templates
COPY portal portal
COPY models_app models_app
COPY deployments_app deployments_app
COPY monitoring_app monitoring_app
RUN python -m compileall -q engine portal models_app deployments_app monitoring_app

# Numba uses only a folder that it may write to: each container starts with a copy of the kernels in its /tmp.
RUN printf '%s\n' '#!/bin/sh' '[ -d "$NUMBA_CACHE_DIR" ] || cp -r /app/kernels "$NUMBA_CACHE_DIR"' 'exec "$@"' >start \
    && chmod 755 start
USER 10001:10001
ENTRYPOINT ["/app/start"]
VOLUME /var/lib/aisle
CMD ["python", "-m", "uvicorn", "portal.asgi:application", "--host", "0.0.0.0", "--port", "8000", \
     "--lifespan", "off", "--no-access-log", "--no-server-header"]
